"""What is heard of the board, told apart by pitch: each answer has its own, and so has everything else."""

from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from tests.fakes.openai_server import SPEECH_RATE, Audio

ANSWERS = 100
"""Answers in a row that no two have the same pitch of."""
ERROR_HZ = (440, 311)
"""The two notes of the firmware's error tone."""
MESSAGE_HZ = 500
"""Whatever else the gateway says: that something failed."""
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
