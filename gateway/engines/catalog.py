"""The engines there are: those of the gateway and those that other packages bring.

A package adds an engine by an entry point of the group `mqtt_voice_gateway.stt`, `.llm` or `.tts`, whose name is the
engine's and whose value is a class with `from_settings(settings)` (see `gateway.engines.protocols`); tools likewise,
by one of the group `mqtt_voice_gateway.tools` (see `gateway.engines.tools.protocol`).

Nothing here imports an engine or its packages before it is used: a package that is not installed costs nothing, and
whether it is there is found out without importing it.
"""

import difflib
import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from importlib.util import find_spec
from typing import Any, Final, Protocol

from gateway.config import Settings
from gateway.errors import ConfigurationError, Stage

DISTRIBUTION: Final = "mqtt-voice-gateway"
ENTRY_POINT_GROUP: Final = "mqtt_voice_gateway"

STAGE_LABELS: Final = {
    Stage.STT: "speech to text",
    Stage.LLM: "chat",
    Stage.TTS: "text to speech",
    Stage.TOOLS: "tools",
}

OPENAI_VARIABLES: Final = ("OPENAI_API_KEY", "OPENAI_BASE_URL")


class EngineClass(Protocol):
    """What the target of an engine is: one of the protocols of its stage, made from the settings."""

    def from_settings(self, settings: Settings) -> Any: ...


@dataclass(frozen=True, slots=True)
class EngineSpec:
    """Where an engine is and what it needs.

    `target` is `module:Class`; `packages` are the modules that it imports; `extra` is the gateway's extra that
    installs them, empty where they come with it. `needs_openai` engines want one of `OPENAI_VARIABLES`; `needs_setting`
    is the setting without which there is nothing for it to do.
    """

    stage: Stage
    name: str
    target: str
    packages: tuple[str, ...] = ()
    extra: str = ""
    needs_openai: bool = False
    needs_setting: str = ""

    @property
    def is_installed(self) -> bool:
        """Whether its packages are there."""
        return all(find_spec(package) is not None for package in self.packages)

    @property
    def install_command(self) -> str:
        """What to type when its packages are missing."""
        return f"pip install '{DISTRIBUTION}[{self.extra}]'" if self.extra else f"pip install {DISTRIBUTION}"

    def check(self, environ: Mapping[str, str], settings: Settings) -> None:
        """Find out whether it can work, as far as can be told without starting it.

        Raises:
            ConfigurationError: a package, a variable or a setting is missing; the message says what to do.
        """
        if not self.is_installed:
            raise ConfigurationError(f"{self.name} ({STAGE_LABELS[self.stage]}) needs: {self.install_command}")
        if self.needs_openai and not any(environ.get(name, "").strip() for name in OPENAI_VARIABLES):
            raise ConfigurationError(
                f"{self.name} ({STAGE_LABELS[self.stage]}) needs OPENAI_API_KEY, or OPENAI_BASE_URL for a compatible"
                " server (Ollama, vLLM, …)"
            )
        if self.needs_setting and not getattr(settings, self.needs_setting):
            raise ConfigurationError(
                f"{self.name} ({STAGE_LABELS[self.stage]}) needs the setting {self.needs_setting}: see docs/tools.md"
            )

    def load(self) -> EngineClass:
        """Import the engine's class.

        Raises:
            ConfigurationError: another package's entry point leads nowhere.
        """
        module, _, attribute = self.target.partition(":")
        try:
            loaded: EngineClass = getattr(importlib.import_module(module), attribute)
        except (ImportError, AttributeError) as error:
            raise ConfigurationError(f"the engine {self.name} cannot be loaded from {self.target}: {error}") from error
        return loaded


_ENGINES: Final = "gateway.engines"
BUILT_IN: Final = (
    EngineSpec(Stage.STT, "faster-whisper", f"{_ENGINES}.stt.faster_whisper:FasterWhisper", ("faster_whisper",)),
    EngineSpec(Stage.STT, "openai", f"{_ENGINES}.stt.openai:OpenAITranscription", ("openai",), needs_openai=True),
    EngineSpec(
        Stage.STT, "pocketsphinx", f"{_ENGINES}.stt.pocketsphinx:PocketSphinx", ("pocketsphinx",), "pocketsphinx"
    ),
    EngineSpec(Stage.LLM, "openai", f"{_ENGINES}.llm.openai:OpenAIChat", ("openai",), needs_openai=True),
    EngineSpec(
        Stage.LLM,
        "home-assistant",
        f"{_ENGINES}.llm.home_assistant:HomeAssistantChat",
        needs_setting="home_assistant_url",
    ),
    EngineSpec(Stage.LLM, "offline", f"{_ENGINES}.llm.offline:OfflineChat"),
    EngineSpec(Stage.TTS, "gtts", f"{_ENGINES}.tts.gtts:GoogleTranslateSpeech", ("gtts",)),
    EngineSpec(Stage.TTS, "openai", f"{_ENGINES}.tts.openai:OpenAISpeech", ("openai",), needs_openai=True),
    EngineSpec(Stage.TTS, "espeak", f"{_ENGINES}.tts.espeak:EspeakSpeech", ("espeakng_loader",), "espeak"),
    EngineSpec(Stage.TOOLS, "clock", f"{_ENGINES}.tools.clock:Clock"),
    EngineSpec(
        Stage.TOOLS,
        "home-assistant",
        f"{_ENGINES}.tools.home_assistant:HomeAssistant",
        needs_setting="home_assistant_url",
    ),
    EngineSpec(Stage.TOOLS, "mcp", f"{_ENGINES}.tools.mcp:McpServers", ("mcp",), "mcp", needs_setting="mcp_servers"),
)


def engines_of(stage: Stage) -> dict[str, EngineSpec]:
    """Every engine of `stage` by name, the gateway's own first; another package cannot take one of their names."""
    found = {spec.name: spec for spec in BUILT_IN if spec.stage == stage}
    for point in entry_points(group=f"{ENTRY_POINT_GROUP}.{stage}"):
        found.setdefault(point.name, EngineSpec(stage, point.name, point.value))
    return found


def find_engine(stage: Stage, name: str) -> EngineSpec:
    """Return the engine called `name`.

    Raises:
        ConfigurationError: there is none; the message names the nearest one.
    """
    engines = engines_of(stage)
    if name in engines:
        return engines[name]
    words = "auto, none" if stage is Stage.TOOLS else "auto"
    nearest = difflib.get_close_matches(name, engines, n=1, cutoff=0.5)
    hint = f"did you mean {nearest[0]}?" if nearest else f"there are: {words}, {', '.join(engines)}"
    raise ConfigurationError(f"{STAGE_LABELS[stage]} has no engine {name!r}; {hint}")
