"""Which engines a run uses, and why: the lists that the settings name, or what `auto` finds usable here."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from gateway.config import Settings
from gateway.engines.catalog import OPENAI_VARIABLES, STAGE_LABELS, EngineSpec, find_engine
from gateway.engines.choice import own_choice
from gateway.engines.reachable import reachable
from gateway.errors import ConfigurationError, Stage

MINIATURE_MODEL: Final = Path(__file__).parents[1] / "models" / "mini-whisper"

WHISPER_REPOSITORIES: Final = {
    "tiny": "Systran/faster-whisper-tiny",
    "base": "Systran/faster-whisper-base",
    "small": "Systran/faster-whisper-small",
    "medium": "Systran/faster-whisper-medium",
    "large-v3": "Systran/faster-whisper-large-v3",
    "large-v3-turbo": "mobiuslabsgmbh/faster-whisper-large-v3-turbo",
}
"""The multilingual models of faster-whisper by name, as `faster_whisper.utils` has them; importing it to ask takes
most of a second."""

_OTHER_WHISPER_NAMES: Final = {"large", "large-v1", "large-v2", "large-v3.5", "turbo"}

_BEST_FIRST: Final = {
    # Beyond `small`, one window of 30 s takes a processor longer than the time limit of a turn.
    "cpu": ("small", "base", "tiny"),
    "cuda": ("large-v3-turbo", "large-v3", "medium", "small", "base", "tiny"),
}
_FETCHED_MODEL: Final = "base"
_FETCHED_MB: Final = 145

_GET_A_MODEL: Final = (
    "For people's speech install a real one: connect to the network once, or set GATEWAY_STT_MODEL to"
    f" {_FETCHED_MODEL} or to a folder."
)

_MODEL_HUB: Final = "https://huggingface.co"
GTTS_SERVER: Final = "https://translate.google.com"
_TRUE: Final = {"1", "ON", "YES", "TRUE"}

Probe = Callable[[str], Awaitable[bool]]
"""Whether the server of a URL answers; takes a few seconds at most and never raises."""


@dataclass(frozen=True, slots=True)
class EngineChoice:
    """An engine that is used and why.

    `note` is what a person should know about it, in a sentence or two; `settings` are used in place of the configured
    ones. `required` engines were asked for by name: the gateway does not start without them. `otherwise` is used
    instead if this one cannot start.
    """

    spec: EngineSpec
    why: str
    note: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    required: bool = False
    otherwise: "EngineChoice | None" = None


@dataclass(frozen=True, slots=True)
class Choice:
    """The engines of a run in the order in which they are asked."""

    stt: tuple[EngineChoice, ...]
    llm: tuple[EngineChoice, ...]
    tts: tuple[EngineChoice, ...]
    tools: tuple[EngineChoice, ...] = ()

    @property
    def lines(self) -> list[str]:
        """One line a stage, for the banner."""
        lines = [
            f"{STAGE_LABELS[stage[0].spec.stage]}: {'; else '.join(chosen.why for chosen in stage)}"
            for stage in (self.stt, self.llm, self.tts)
        ]
        if self.tools:
            lines.append(f"{STAGE_LABELS[Stage.TOOLS]}: {'; '.join(chosen.why for chosen in self.tools)}")
        return lines

    @property
    def notes(self) -> list[str]:
        """What a person should know: what fell back to an offline engine, and what to do about it."""
        stages = (self.stt, self.llm, self.tts, self.tools)
        return [chosen.note for stage in stages for chosen in stage if chosen.note]


async def choose(settings: Settings, environ: Mapping[str, str], probe: Probe = reachable) -> Choice:
    """Choose the engines of all stages. Takes as long as `probe`, where `auto` has to ask the network.

    Raises:
        ConfigurationError: a choice that cannot work; the message says what to do.
    """
    stt = _listed(Stage.STT, settings.stt, settings, environ)
    llm = _listed(Stage.LLM, settings.llm, settings, environ)
    tts = _listed(Stage.TTS, settings.tts, settings, environ)
    tools = _chosen_tools(settings, environ)
    auto = _Auto(settings, environ, probe)
    chosen_stt, chosen_tts = await asyncio.gather(_unless(stt, auto.stt), _unless(tts, auto.tts))
    choice = Choice(chosen_stt, llm or auto.llm(), chosen_tts, tools)
    if not choice.tts:
        install = find_engine(Stage.TTS, "espeak").install_command
        raise ConfigurationError(
            f"nothing here can speak: for a voice without a network, {install}; or set OPENAI_API_KEY, or give gtts"
            " access to the network"
        )
    return choice


def named_engines(stage: Stage, setting: str) -> list[EngineSpec]:
    """The engines that `setting` lists, in order; none when it says `auto`. Whether they can work is not looked at.

    Raises:
        ConfigurationError: there is no such engine, or the list makes no sense.
    """
    names = list(dict.fromkeys(name.strip() for name in setting.split(",") if name.strip()))
    if names == ["auto"]:
        return []
    if not names or "auto" in names:
        raise ConfigurationError(f"{STAGE_LABELS[stage]} takes engine names in order, or auto alone, not {setting!r}")
    return [find_engine(stage, name) for name in names]


def _listed(stage: Stage, setting: str, settings: Settings, environ: Mapping[str, str]) -> tuple[EngineChoice, ...]:
    """The engines that `setting` lists, each of which can work as far as can be told; none when it says `auto`."""
    specs = named_engines(stage, setting)
    for spec in specs:
        spec.check(environ, settings)
    return tuple(EngineChoice(spec, f"{spec.name}, as configured", required=True) for spec in specs)


def _chosen_tools(settings: Settings, environ: Mapping[str, str]) -> tuple[EngineChoice, ...]:
    """The toolboxes that are listed. `auto` offers none where there is nothing but the clock: the system prompt tells
    the time already, every function costs a model time to read, and some servers take none."""
    if settings.tools.strip() == "none":
        return ()
    if listed := _listed(Stage.TOOLS, settings.tools, settings, environ):
        return listed
    configured = []
    for name in ("home-assistant", "mcp"):
        spec = find_engine(Stage.TOOLS, name)
        if getattr(settings, spec.needs_setting):
            spec.check(environ, settings)
            configured.append(EngineChoice(spec, f"{name}, because {spec.needs_setting} is set"))
    clock = EngineChoice(find_engine(Stage.TOOLS, "clock"), "clock")
    return (*configured, clock) if configured else ()


async def _unless(
    listed: tuple[EngineChoice, ...], automatic: Callable[[], Awaitable[tuple[EngineChoice, ...]]]
) -> tuple[EngineChoice, ...]:
    return listed or await automatic()


class _Auto:
    """What `auto` means for each stage."""

    def __init__(self, settings: Settings, environ: Mapping[str, str], probe: Probe) -> None:
        self._settings = settings
        self._environ = environ
        self._probe = probe
        self._openai_variable = next((name for name in OPENAI_VARIABLES if environ.get(name, "").strip()), None)
        self._offline = any(
            environ.get(name, "").upper() in _TRUE for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
        )

    async def stt(self) -> tuple[EngineChoice, ...]:
        """The recogniser that was configured; or the best that is here; or a server; or one that can be fetched; or
        what little can be had offline."""
        whisper = find_engine(Stage.STT, "faster-whisper")
        named = own_choice(self._settings.stt_model, "faster-whisper")
        if named and (_is_whisper(named) or self._openai_variable is None):
            return (EngineChoice(whisper, f"faster-whisper with the configured model {Path(named).name}"),)
        cached = self._cached_model()
        if not named and cached is not None:
            why = f"faster-whisper {cached}, found in the cache"
            return (EngineChoice(whisper, why, settings={"stt_model": cached}),)
        chosen = self._openai(Stage.STT)
        if self._openai_variable == "OPENAI_API_KEY":
            return chosen
        # A base URL alone may be a server that only chats, so something local stands behind it.
        if await self._answers(self._environ.get("HF_ENDPOINT", "").strip() or _MODEL_HUB):
            why = f"faster-whisper {_FETCHED_MODEL}, fetched from the model hub ({_FETCHED_MB} MB, once)"
            settings = {"stt_model": _FETCHED_MODEL}
            return (*chosen, EngineChoice(whisper, why, settings=settings, otherwise=self._offline_stt(whisper)))
        return (*chosen, self._offline_stt(whisper))

    def llm(self) -> tuple[EngineChoice, ...]:
        """A server; or Home Assistant's agent, and for what that does not understand, as where there is neither, the
        small assistant that says that it has no model."""
        if chosen := self._openai(Stage.LLM):
            return chosen
        note = (
            "No chat model is configured: the offline assistant only tells the time and the date and repeats what was"
            " asked. Set OPENAI_API_KEY, or OPENAI_BASE_URL for a compatible server (Ollama, vLLM, …)."
        )
        why = f"offline, because neither {' nor '.join(OPENAI_VARIABLES)} is set"
        offline = EngineChoice(find_engine(Stage.LLM, "offline"), why, note)
        if not self._settings.home_assistant_url:
            return (offline,)
        agent = find_engine(Stage.LLM, "home-assistant")
        return (EngineChoice(agent, "home-assistant, because home_assistant_url is set"), offline)

    async def tts(self) -> tuple[EngineChoice, ...]:
        """A server's voice, then Google's, then espeak's, each as far as it is there; perhaps none."""
        gtts, espeak = find_engine(Stage.TTS, "gtts"), find_engine(Stage.TTS, "espeak")
        chosen = self._openai(Stage.TTS)
        if gtts.is_installed and await self._answers(GTTS_SERVER):
            chosen += (EngineChoice(gtts, "gtts, its server answers"),)
        if espeak.is_installed:
            note = "" if chosen else "No online voice is in reach: espeak speaks, clearly but like a machine."
            chosen += (EngineChoice(espeak, "espeak, offline", note),)
        return chosen

    def _openai(self, stage: Stage) -> tuple[EngineChoice, ...]:
        if self._openai_variable is None:
            return ()
        return (EngineChoice(find_engine(stage, "openai"), f"openai, because {self._openai_variable} is set"),)

    async def _answers(self, url: str) -> bool:
        return not self._offline and await self._probe(url)

    def _cached_model(self) -> str | None:
        """The best of the models in the Hugging Face cache that can keep up here."""
        from huggingface_hub import try_to_load_from_cache

        cache = self._environ.get("HF_HUB_CACHE", "").strip() or None
        best_first = _BEST_FIRST["cuda" if self._settings.stt_device == "cuda" else "cpu"]
        for name in best_first:
            if isinstance(try_to_load_from_cache(WHISPER_REPOSITORIES[name], "model.bin", cache), str):
                return name
        return None

    def _offline_stt(self, whisper: EngineSpec) -> EngineChoice:
        pocketsphinx = find_engine(Stage.STT, "pocketsphinx")
        if self._settings.language == "en" and pocketsphinx.is_installed:
            note = f"No Whisper model is at hand: pocketsphinx understands English, roughly. {_GET_A_MODEL}"
            return EngineChoice(pocketsphinx, "pocketsphinx, offline, English only", note)
        phrases = len(json.loads((MINIATURE_MODEL / "phrases.json").read_text(encoding="utf-8")))
        note = (
            f"No speech model is at hand: the miniature test model knows {phrases} phrases as espeak says them."
            f" {_GET_A_MODEL}"
        )
        # With a wider beam the miniature ends some phrases early; it was only tried in int8, on a processor.
        settings = {
            "stt_model": str(MINIATURE_MODEL),
            "stt_beam_size": 1,
            "stt_device": "cpu",
            "stt_compute_type": "int8",
        }
        return EngineChoice(whisper, "faster-whisper with the miniature test model, offline", note, settings)


def _is_whisper(model: str) -> bool:
    """Whether `model` is a model of faster-whisper: a folder, a name in the hub or a size, not a server's model."""
    if "/" in model or model.startswith((".", "~")) or Path(model).is_dir():
        return True
    name = model.removeprefix("distil-").removesuffix(".en")
    return name in WHISPER_REPOSITORIES or name in _OTHER_WHISPER_NAMES
