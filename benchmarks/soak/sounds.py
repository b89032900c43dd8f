"""What is heard of the board, told apart by pitch: each answer has its own, and so has everything else.

But for the messages that the gateway holds ready for when its engines have nothing to say: those are speech.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from gateway.audio import resample, to_float32
from gateway.engines.clips import CLIP_TEXTS, clip
from tests.fakes.openai_server import SPEECH_RATE, Audio

ANSWERS = 100
"""Answers in a row that no two have the same pitch of."""
ERROR_HZ = (440, 311)
"""The two notes of the firmware's error tone."""
MESSAGE_HZ = 500
"""Whatever else the gateway has its engines say: that something failed."""
LANGUAGE = "en"
"""Of the gateway."""
END_HZ = 560
"""The end of every answer."""
END_S = 0.3
SECONDS_A_CHARACTER = 0.05

ERROR, MESSAGE, END, UNKNOWN = "error tone", "message", "end", "unknown"

_WINDOW, _HOP = 960, 480
_NEAR_HZ = 8
_SHORTEST_RUN = 4
"""Windows of one pitch that are a sound of their own, not the seam of two."""
_QUIET = 200
_BLOCK = 12
"""Windows of what may be speech that are looked up in the gateway's messages at a time: about a quarter of a second."""
_LIKE = 0.9
"""Likeness, of 1, to a message. A piece of one has 0.97 after MP3, a piece of other speech at most 0.83."""
_LOOKUP_RATE = 4000


def pitch(turn: int) -> int:
    """Hz of the answer to question `turn`."""
    return 620 + 25 * (turn % ANSWERS)


def tone(turn: int | None, seconds: float, *, last: bool) -> Audio:
    """The answer to question `turn`, or a part of it, or (None) a message; `last` ends in the sound of the end."""
    hertz = np.full(round(seconds * SPEECH_RATE), MESSAGE_HZ if turn is None else pitch(turn), np.float64)
    if last:
        hertz[-round(END_S * SPEECH_RATE) :] = END_HZ
    phase = 2 * np.pi * np.cumsum(hertz) / SPEECH_RATE
    return Audio((8000 * np.sin(phase)).astype("<i2").tobytes(), "audio/pcm")


@dataclass(frozen=True, slots=True)
class Stretch:
    """Seconds of one pitch: `what` is a number, of answers modulo `ANSWERS`, or one of the names above."""

    what: int | str
    seconds: float


def stretches(samples: NDArray[np.int16], rate: int) -> list[Stretch]:
    """What was heard, in order, silence and seams left out."""
    labels = [_label(samples[at : at + _WINDOW], rate) for at in range(0, len(samples) - _WINDOW + 1, _HOP)]
    for first in range(0, len(labels) - _BLOCK + 1, _BLOCK // 2):
        block = samples[first * _HOP : (first + _BLOCK) * _HOP]
        if _may_be_speech(labels[first : first + _BLOCK]) and _likeness_to_messages(block, rate) > _LIKE:
            labels[first : first + _BLOCK] = [MESSAGE] * _BLOCK
    runs = [(what, len(list(run))) for what, run in groupby(labels)]
    return [
        Stretch(what, windows * _HOP / rate)
        for what, windows in runs
        if what is not None and windows >= (_SHORTEST_RUN if what != UNKNOWN else 4 * _SHORTEST_RUN)
    ]


def _label(window: NDArray[np.int16], rate: int) -> int | str | None:
    if np.sqrt(np.mean(window.astype(np.float64) ** 2)) < _QUIET:
        return None
    size = 8 * _WINDOW
    hertz = float(np.argmax(np.abs(np.fft.rfft(window * np.hanning(_WINDOW), size)))) * rate / size
    known: dict[int | str, float] = {MESSAGE: MESSAGE_HZ, END: END_HZ}
    known |= {turn: pitch(turn) for turn in range(ANSWERS)}
    names = [ERROR] * len(ERROR_HZ) + list(known)
    distances = np.abs(np.array([*ERROR_HZ, *known.values()]) - hertz)
    nearest = int(np.argmin(distances))
    return names[nearest] if distances[nearest] <= _NEAR_HZ else UNKNOWN


def _may_be_speech(labels: Sequence[int | str | None]) -> bool:
    """Whether there is sound in these windows that is more than one pitch, be it with pauses."""
    sounding = [each for each in labels if each is not None]
    return len(sounding) >= _SHORTEST_RUN and len(set(sounding) - {MESSAGE}) + (UNKNOWN in sounding) > 1


@functools.cache
def _messages(length: int) -> tuple[NDArray[np.complex128], NDArray[np.float64]]:
    """All messages that the gateway holds ready, one after the other at _LOOKUP_RATE: their spectrum, for correlation
    with `length` samples, and the norm of each piece of so many samples."""
    gap = np.zeros(_LOOKUP_RATE // 2, np.float32)
    parts = [gap]
    for name in CLIP_TEXTS[LANGUAGE]:
        spoken = clip(name, LANGUAGE)
        parts += [resample(to_float32(spoken.samples), spoken.rate, _LOOKUP_RATE), gap]
    said = np.concatenate(parts).astype(np.float64)
    energy_to = np.concatenate([[0.0], np.cumsum(said**2)])
    energy = energy_to[length:] - energy_to[:-length]
    # Next to nothing is like anything.
    norm = np.sqrt(np.maximum(energy, 0.01 * energy.max()))
    return np.fft.rfft(said, 2 ** int(np.ceil(np.log2(len(said) + length)))), norm


def _likeness_to_messages(block: NDArray[np.int16], rate: int) -> float:
    """How much a piece of sound is one of a message of the gateway, wherever in it that lies: 1 if it is the same."""
    heard = resample(to_float32(block), rate, _LOOKUP_RATE).astype(np.float64)
    spectrum, norm = _messages(len(heard))
    size = 2 * (len(spectrum) - 1)
    product = np.fft.irfft(spectrum * np.conj(np.fft.rfft(heard, size)), size)[: len(norm)]
    return float((product / norm).max() / (np.linalg.norm(heard) + 1e-9))
