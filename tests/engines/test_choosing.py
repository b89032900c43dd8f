"""What `auto` finds, what an explicit list demands, and what people are told about it."""

import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from faster_whisper import utils as faster_whisper_utils

from gateway.config import Settings
from gateway.engines.choosing import MINIATURE_MODEL, WHISPER_REPOSITORIES, Choice, EngineChoice, choose
from gateway.errors import ConfigurationError

HUB, GTTS = "https://huggingface.co", "https://translate.google.com"
KEY = {"OPENAI_API_KEY": "sk-secret"}
SERVER = {"OPENAI_BASE_URL": "http://127.0.0.1:11434/v1"}


class Network:
    """A network on which only some servers answer."""

    def __init__(self, *answering: str) -> None:
        self.answering = answering
        self.asked: list[str] = []

    async def __call__(self, url: str) -> bool:
        self.asked.append(url)
        return url in self.answering


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """An empty Hugging Face cache."""
    return tmp_path / "hub"


def put_into(cache: Path, *models: str, file: str = "model.bin") -> None:
    for model in models:
        repository = cache / ("models--" + WHISPER_REPOSITORIES[model].replace("/", "--"))
        (repository / "refs").mkdir(parents=True)
        (repository / "refs" / "main").write_text("0123abcd", encoding="utf-8")
        (repository / "snapshots" / "0123abcd").mkdir(parents=True)
        (repository / "snapshots" / "0123abcd" / file).write_bytes(b"")


async def chosen(
    cache: Path, network: Network | None = None, environ: dict[str, str] | None = None, **settings: object
) -> Choice:
    return await choose(
        Settings(**settings),  # type: ignore[arg-type]
        {"HF_HUB_CACHE": str(cache), **(environ or {})},
        network or Network(),
    )


def names(stage: Sequence[EngineChoice]) -> list[str]:
    return [one.spec.name for one in stage]


def models(stage: Sequence[EngineChoice]) -> list[object]:
    return [one.settings.get("stt_model") for one in stage]


def test_the_names_of_the_models_are_those_of_faster_whisper() -> None:
    known = faster_whisper_utils._MODELS
    assert {name: known[name] for name in WHISPER_REPOSITORIES} == WHISPER_REPOSITORIES


async def test_with_nothing_at_hand_everything_is_offline_and_says_so(cache: Path) -> None:
    choice = await chosen(cache)
    assert (names(choice.stt), names(choice.llm), names(choice.tts)) == (["faster-whisper"], ["offline"], ["espeak"])
    assert dict(choice.stt[0].settings) == {
        "stt_model": str(MINIATURE_MODEL),
        "stt_beam_size": 1,
        "stt_device": "cpu",
        "stt_compute_type": "int8",
    }
    assert choice.lines == [
        "speech to text: faster-whisper with the miniature test model, offline",
        "chat: offline, because neither OPENAI_API_KEY nor OPENAI_BASE_URL is set",
        "text to speech: espeak, offline",
    ]
    phrases = len(json.loads((MINIATURE_MODEL / "phrases.json").read_text(encoding="utf-8")))
    speech, chat, voice = choice.notes
    assert speech.startswith(f"No speech model is at hand: the miniature test model knows {phrases} phrases as espeak")
    assert "GATEWAY_STT_MODEL" in speech
    assert "OPENAI_API_KEY" in chat
    assert "espeak" in voice


async def test_english_without_a_model_is_for_pocketsphinx(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    choice = await chosen(cache, language="en")
    assert names(choice.stt) == ["pocketsphinx"]
    assert "pocketsphinx understands English" in choice.notes[0]
    monkeypatch.setitem(sys.modules, "pocketsphinx", None)
    assert models((await chosen(cache, language="en")).stt) == [str(MINIATURE_MODEL)]


@pytest.mark.parametrize(
    ("cached", "device", "model"),
    [
        (("tiny",), "cpu", "tiny"),
        (("tiny", "base", "medium", "large-v3-turbo"), "cpu", "base"),
        (("tiny", "base", "small"), "cpu", "small"),
        (("tiny", "base", "small"), "auto", "small"),
        (("small", "medium", "large-v3"), "cuda", "large-v3"),
        (("large-v3", "large-v3-turbo"), "cuda", "large-v3-turbo"),
    ],
)
@pytest.mark.parametrize("environ", [{}, KEY, SERVER])
async def test_the_best_model_in_the_cache_that_can_keep_up_is_used(
    cache: Path, cached: tuple[str, ...], device: str, model: str, environ: dict[str, str]
) -> None:
    put_into(cache, *cached)
    network = Network(HUB)
    choice = await chosen(cache, network, environ, stt_device=device)
    assert choice.lines[0] == f"speech to text: faster-whisper {model}, found in the cache"
    assert models(choice.stt) == [model]
    assert HUB not in network.asked


async def test_a_model_that_was_not_fetched_whole_does_not_count(cache: Path) -> None:
    put_into(cache, "base", file="config.json")
    assert models((await chosen(cache)).stt) == [str(MINIATURE_MODEL)]


async def test_a_model_is_fetched_when_the_hub_answers_with_something_to_fall_back_on(cache: Path) -> None:
    choice = await chosen(cache, Network(HUB))
    assert choice.lines[0] == "speech to text: faster-whisper base, fetched from the model hub (145 MB, once)"
    assert models(choice.stt) == ["base"]
    assert choice.stt[0].otherwise is not None
    assert models([choice.stt[0].otherwise]) == [str(MINIATURE_MODEL)]
    assert "No speech model" not in " ".join(choice.notes)


async def test_another_hub_is_asked_when_the_environment_names_one(cache: Path) -> None:
    network = Network("http://hub.local")
    assert models((await chosen(cache, network, {"HF_ENDPOINT": "http://hub.local"})).stt) == ["base"]
    assert HUB not in network.asked


@pytest.mark.parametrize("variable", ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"])
async def test_offline_means_that_nothing_is_asked(cache: Path, variable: str) -> None:
    network = Network(HUB, GTTS)
    choice = await chosen(cache, network, {variable: "1"})
    assert network.asked == []
    assert names(choice.tts) == ["espeak"]


async def test_a_key_means_openai_for_everything_that_is_not_here(cache: Path) -> None:
    network = Network(HUB)
    choice = await chosen(cache, network, KEY)
    assert (names(choice.stt), names(choice.llm), names(choice.tts)) == (["openai"], ["openai"], ["openai", "espeak"])
    assert choice.lines[1] == "chat: openai, because OPENAI_API_KEY is set"
    assert choice.lines[2] == "text to speech: openai, because OPENAI_API_KEY is set; else espeak, offline"
    assert choice.notes == []
    assert HUB not in network.asked
    assert "sk-secret" not in repr(choice)


async def test_a_server_may_only_chat_so_something_local_stands_behind_it(cache: Path) -> None:
    choice = await chosen(cache, Network(), SERVER)
    assert names(choice.stt) == ["openai", "faster-whisper"]
    assert models(choice.stt) == [None, str(MINIATURE_MODEL)]
    assert names(choice.llm) == ["openai"]
    assert names(choice.tts) == ["openai", "espeak"]
    assert models((await chosen(cache, Network(HUB), SERVER)).stt) == [None, "base"]


@pytest.mark.parametrize(
    ("environ", "voices"),
    [({}, ["gtts", "espeak"]), (KEY, ["openai", "gtts", "espeak"]), (SERVER, ["openai", "gtts", "espeak"])],
)
async def test_gtts_speaks_when_its_server_answers(cache: Path, environ: dict[str, str], voices: list[str]) -> None:
    choice = await chosen(cache, Network(GTTS), environ)
    assert names(choice.tts) == voices
    assert "espeak" not in " ".join(note for note in choice.notes if "phrases" not in note)


async def test_with_no_voice_at_all_the_start_fails_and_says_what_to_install(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'mqtt-voice-gateway\[espeak\]'"):
        await chosen(cache)
    assert names((await chosen(cache, Network(GTTS))).tts) == ["gtts"]


@pytest.mark.parametrize(
    "model", ["tiny", "base.en", "distil-large-v3", "turbo", "someone/some-model", "./models/mine"]
)
async def test_a_configured_model_is_used_whatever_else_there_is(cache: Path, model: str) -> None:
    put_into(cache, "small")
    choice = await chosen(cache, Network(HUB), KEY, stt_model=model)
    assert names(choice.stt) == ["faster-whisper"]
    assert dict(choice.stt[0].settings) == {}
    assert choice.lines[0] == f"speech to text: faster-whisper with the configured model {Path(model).name}"


async def test_a_folder_may_be_named_like_anything(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "whisper-1").mkdir()
    assert names((await chosen(cache, None, KEY, stt_model="whisper-1")).stt) == ["faster-whisper"]


async def test_a_servers_model_is_for_the_server(cache: Path) -> None:
    put_into(cache, "small")
    assert names((await chosen(cache, None, KEY, stt_model="gpt-4o-transcribe")).stt) == ["openai"]
    # Without a server it can only be meant for faster-whisper, which says at its start that it knows no such model.
    (only,) = (await chosen(cache, stt_model="gpt-4o-transcribe")).stt
    assert (only.spec.name, dict(only.settings)) == ("faster-whisper", {})


async def test_a_model_named_for_another_engine_does_not_count(cache: Path) -> None:
    put_into(cache, "small")
    assert models((await chosen(cache, None, KEY, stt_model="openai:whisper-1")).stt) == ["small"]


async def test_the_network_is_asked_everything_at_once(cache: Path) -> None:
    together = asyncio.Barrier(2)

    async def probe(url: str) -> bool:
        await together.wait()
        return False

    async with asyncio.timeout(5):
        await choose(Settings(), {"HF_HUB_CACHE": str(cache)}, probe)


# Explicit lists


async def test_a_list_is_used_in_its_order_and_must_start(cache: Path) -> None:
    network = Network()
    choice = await chosen(
        cache, network, KEY, stt="pocketsphinx, openai,pocketsphinx", llm="offline", tts="espeak,gtts"
    )
    assert (names(choice.stt), names(choice.llm)) == (["pocketsphinx", "openai"], ["offline"])
    assert choice.lines[2] == "text to speech: espeak, as configured; else gtts, as configured"
    assert all(one.required for one in (*choice.stt, *choice.llm, *choice.tts))
    assert choice.notes == []
    assert network.asked == []


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"stt": "whisper"}, "did you mean faster-whisper?"),
        ({"tts": "espeak,gtt"}, "did you mean gtts?"),
        ({"llm": "openai"}, "needs OPENAI_API_KEY, or OPENAI_BASE_URL"),
        ({"stt": "auto,openai"}, "auto alone, not 'auto,openai'"),
        ({"tts": " , "}, "takes engine names in order"),
    ],
)
async def test_a_list_that_cannot_work_fails_at_once(cache: Path, settings: dict[str, str], message: str) -> None:
    network = Network()
    with pytest.raises(ConfigurationError) as caught:
        await chosen(cache, network, **settings)
    assert message in str(caught.value)
    assert network.asked == []


# Tools


async def test_tools_are_offered_when_there_is_more_than_the_clock(cache: Path) -> None:
    assert (await chosen(cache)).tools == ()
    for configured, name in (
        ({"home_assistant_url": "http://home:8123"}, "home-assistant"),
        ({"mcp_servers": ("files=server /data",)}, "mcp"),
    ):
        choice = await chosen(cache, None, KEY, **configured)
        assert names(choice.tools) == [name, "clock"]
        assert choice.lines[-1] == f"tools: {name}, because {next(iter(configured))} is set; clock"
        assert not any(one.required for one in choice.tools)


async def test_tools_that_are_named_must_work_and_none_are_none(cache: Path) -> None:
    choice = await chosen(cache, tools="clock")
    assert (names(choice.tools), choice.tools[0].required) == (["clock"], True)
    assert (await chosen(cache, tools="none", home_assistant_url="http://home:8123")).tools == ()
    for tools, message in (
        ("home-assistant", "home-assistant (tools) needs the setting home_assistant_url"),
        ("clok", "tools has no engine 'clok'; did you mean clock?"),
    ):
        with pytest.raises(ConfigurationError) as caught:
            await chosen(cache, tools=tools)
        assert message in str(caught.value)


async def test_home_assistant_answers_where_there_is_no_chat_model(cache: Path) -> None:
    home = {"home_assistant_url": "http://home:8123"}
    assert names((await chosen(cache, **home)).llm) == ["home-assistant", "offline"]
    assert names((await chosen(cache, None, KEY, **home)).llm) == ["openai"]
