"""Engines are found by name, without importing them; other packages may bring more."""

import subprocess
import sys
from pathlib import Path

import pytest

from gateway.config import Settings
from gateway.engines.catalog import BUILT_IN, EngineSpec, engines_of, find_engine
from gateway.errors import ConfigurationError, Stage


@pytest.mark.parametrize("spec", BUILT_IN, ids=lambda spec: f"{spec.stage}-{spec.name}")
def test_every_engine_of_the_catalog_exists_under_its_name(spec: EngineSpec) -> None:
    assert spec.is_installed
    assert spec.load().from_settings(Settings()).name == spec.name


def test_choosing_imports_no_engine() -> None:
    """Seconds of imports are for the engines that are used."""
    script = (
        "import sys; from gateway.engines.catalog import BUILT_IN; from gateway.engines import registry;"
        "assert all(spec.is_installed for spec in BUILT_IN);"
        "print(*sorted({'ctranslate2', 'faster_whisper', 'openai', 'gtts', 'pocketsphinx', 'espeakng_loader'}"
        " & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


@pytest.mark.parametrize(
    ("stage", "name", "hint"),
    [
        (Stage.STT, "fasterwhisper", "did you mean faster-whisper?"),
        (Stage.STT, "pocket-sphinx", "did you mean pocketsphinx?"),
        (Stage.TTS, "espeak-ng", "did you mean espeak?"),
        (Stage.LLM, "open-ai", "did you mean openai?"),
        (Stage.LLM, "zzz", "there are: auto, openai, home-assistant, offline"),
        (Stage.TOOLS, "zzz", "there are: auto, none, clock, home-assistant, mcp"),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest(stage: Stage, name: str, hint: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        find_engine(stage, name)
    assert str(caught.value).endswith(f"has no engine {name!r}; {hint}")


@pytest.mark.parametrize(
    ("stage", "name", "package", "command"),
    [
        (Stage.TTS, "espeak", "espeakng_loader", "pip install 'mqtt-voice-gateway[espeak]'"),
        (Stage.STT, "pocketsphinx", "pocketsphinx", "pip install 'mqtt-voice-gateway[pocketsphinx]'"),
        (Stage.TTS, "gtts", "gtts", "pip install mqtt-voice-gateway"),
    ],
)
def test_a_missing_package_is_answered_with_what_to_install(
    monkeypatch: pytest.MonkeyPatch, stage: Stage, name: str, package: str, command: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    spec = find_engine(stage, name)
    assert not spec.is_installed
    with pytest.raises(ConfigurationError) as caught:
        spec.check({}, Settings())
    assert str(caught.value).endswith(command)


@pytest.mark.parametrize("stage", [Stage.STT, Stage.LLM, Stage.TTS])
def test_openai_wants_a_key_or_a_server(stage: Stage) -> None:
    spec = find_engine(stage, "openai")
    spec.check({"OPENAI_API_KEY": "k"}, Settings())
    spec.check({"OPENAI_BASE_URL": "http://127.0.0.1:11434/v1"}, Settings())
    with pytest.raises(ConfigurationError, match="OPENAI_API_KEY, or OPENAI_BASE_URL"):
        spec.check({"OPENAI_API_KEY": " "}, Settings())


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another package, installed."""
    (tmp_path / "shouting_plugin.py").write_text("class Shouting:\n    name = 'shouting'\n", encoding="utf-8")
    info = tmp_path / "shouting_plugin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: shouting-plugin\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text(
        "[mqtt_voice_gateway.tts]\n"
        "shouting = shouting_plugin:Shouting\n"
        "espeak = shouting_plugin:Shouting\n"
        "broken = shouting_plugin:Whispering\n"
        "gone = no_such_plugin:Shouting\n",
        encoding="utf-8",
    )
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.mark.usefixtures("plugin")
def test_another_package_may_bring_an_engine_but_not_replace_one() -> None:
    spec = find_engine(Stage.TTS, "shouting")
    spec.check({}, Settings())
    assert spec.load().__name__ == "Shouting"  # type: ignore[attr-defined]
    assert find_engine(Stage.TTS, "espeak").target.startswith("gateway.")
    assert "shouting" not in engines_of(Stage.STT)


@pytest.mark.usefixtures("plugin")
@pytest.mark.parametrize("name", ["broken", "gone"])
def test_an_entry_point_that_leads_nowhere_says_so(name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"the engine {name} cannot be loaded from"):
        find_engine(Stage.TTS, name).load()
