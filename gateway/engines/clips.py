"""Short messages made ahead of time: what a device hears when the engines have nothing to say.

They are part of the package, made by `scripts/make_clips.py`: the spoken ones from `CLIP_TEXTS`, the sounds, which are
the same in every language, from `CLIP_NOTES`.
"""

from dataclasses import dataclass
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Final

import soundfile

from gateway.audio import Pcm
from gateway.errors import ErrorCode

CLIP_TEXTS: Final = {
    "es": {
        "stt_failed": "No he podido entenderte. Inténtalo otra vez.",
        "llm_failed": "Ahora no puedo responder. Inténtalo dentro de un momento.",
        "tts_failed": "Tengo la respuesta, pero no puedo decirla en voz alta.",
        "timeout": "Esto tarda demasiado. Inténtalo otra vez.",
        "busy": "Estoy ocupado. Inténtalo dentro de un momento.",
        "rate_limited": "Son muchas preguntas seguidas. Espera un momento.",
        "audio_undecodable": "No puedo leer el audio que me ha llegado.",
        "audio_too_short": "Eso ha sido demasiado corto.",
        "audio_too_long": "Eso ha sido demasiado largo.",
        "internal": "Algo ha fallado por mi parte. Inténtalo otra vez.",
        "nothing_heard": "No he oído nada.",
    },
    "en": {
        "stt_failed": "I could not understand you. Please try again.",
        "llm_failed": "I cannot answer right now. Please try again in a moment.",
        "tts_failed": "I have the answer, but I cannot say it aloud.",
        "timeout": "This is taking too long. Please try again.",
        "busy": "I am busy. Please try again in a moment.",
        "rate_limited": "That is a lot of questions in a row. Please wait a moment.",
        "audio_undecodable": "I cannot read the audio that I received.",
        "audio_too_short": "That was too short.",
        "audio_too_long": "That was too long.",
        "internal": "Something went wrong on my side. Please try again.",
        "nothing_heard": "I did not hear anything.",
    },
}
"""What each clip says, by language and name. Every language has the same names."""

THINKING: Final = "thinking"


@dataclass(frozen=True, slots=True)
class Note:
    """A soft tone, struck like a bell: it begins after `at_s` and fades within `lasts_s` seconds. `pitch` is in Hz."""

    at_s: float
    pitch: float
    lasts_s: float


CLIP_NOTES: Final = {THINKING: (Note(0.0, 523.25, 0.35), Note(0.16, 659.26, 0.4))}
"""What is heard of each clip that is a sound."""

FALLBACK_LANGUAGE: Final = "en"

_CLIP_OF: Final[dict[str, str]] = {ErrorCode.NO_SPEECH: "nothing_heard"}
"""Error codes whose clip has another name."""


def clip(name: str, language: str) -> Pcm:
    """Return the clip for `name`, an error code or a key of `CLIP_TEXTS` or `CLIP_NOTES`, in `language` or else in
    English.

    An error code without a clip of its own has `internal`. A clip is read when first asked for (about a millisecond)
    and then kept.

    Raises:
        KeyError: `name` is neither a clip nor an error code.
    """
    if name in CLIP_NOTES:
        return _read(name, "")
    name = _CLIP_OF.get(name, name)
    texts = CLIP_TEXTS.get(language, CLIP_TEXTS[FALLBACK_LANGUAGE])
    if name not in texts:
        if name not in set(ErrorCode):
            raise KeyError(f"there is no clip {name!r}")
        name = "internal"
    return _read(str(name), language if language in CLIP_TEXTS else FALLBACK_LANGUAGE)


def clip_file(name: str, language: str = "") -> Traversable:
    """Where the clip `name` lies in the package; only the spoken ones have a `language`."""
    folder = resources.files("gateway") / "clips"
    return (folder / language if language else folder) / f"{name}.flac"


@cache
def _read(name: str, language: str) -> Pcm:
    with clip_file(name, language).open("rb") as file:
        samples, rate = soundfile.read(file, dtype="int16")
    samples.flags.writeable = False
    return Pcm(samples, rate)
