"""The way of an utterance through Whisper: find the speech, cut it, encode, decode with others, and doubt the result.

A result that repeats itself, does not end or is improbable is what too short a window looks like; such a window is
heard once more at its full 30 s. There the result is taken as it is: a third attempt, by chance (a temperature), takes
as long again while a person waits, and gives another answer each time.
"""

from collections import deque
from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter
from threading import Lock
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gateway.engines.batching import Job
from gateway.engines.stt.whisper import Decoded, Rows, Whisper, Window
from gateway.engines.stt.windows import FULL_FRAMES, WindowMode, cut, token_limit, window_frames
from gateway.values import Transcript

MOST_REPETITION: Final = 2.4
LEAST_LOG_PROBABILITY: Final = -1.0
NO_SPEECH_PROBABILITY: Final = 0.6
"""Whisper's own limits. A window that is probably no speech and whose words are improbable is silence."""


class Hearing(Job):
    """One utterance on its way."""

    def __init__(self, samples: NDArray[np.float32], language: str | None) -> None:
        """`samples`: mono, 16 kHz. `language` None means: detect it."""
        super().__init__()
        self.samples = samples
        self.language = language
        self.parts: deque[NDArray[np.float32]] | None = None
        """What of the speech is still to be heard, the next first; None before it has been looked for."""
        self.frames = 0
        """How long the next part is, of at most as many as its window has."""
        self.window = 0
        self.rows: Rows | None = None
        self.doubted: Decoded | None = None
        """What was heard in too short a window, until the full one has been heard."""
        self.texts: list[str] = []

    @property
    def transcript(self) -> Transcript:
        """What was heard. The language is empty if it was to be detected and nobody spoke."""
        return Transcript("".join(self.texts).strip(), self.language or "")


class Listener:
    """The two steps of a hearing, for `Batcher`."""

    def __init__(self, whisper: Whisper, mode: WindowMode) -> None:
        self._whisper = whisper
        self._mode = mode
        self._lock = Lock()
        self.retried = 0
        """Windows that were heard again at their full length."""

    def encode(self, hearings: Sequence[Hearing]) -> None:
        """The first step: encode the next window of each, those of equal length together."""
        prepared = [
            (hearing.window, hearing, mel) for hearing in hearings if (mel := self._prepare(hearing)) is not None
        ]
        for window, group in groupby(sorted(prepared, key=itemgetter(0)), key=itemgetter(0)):
            _, together, spectrograms = zip(*group, strict=True)
            for hearing, rows in zip(together, self._whisper.encode(spectrograms, window), strict=True):
                hearing.rows = rows
                hearing.key = window
                if hearing.language is None:
                    hearing.language = self._whisper.detect(rows)

    def decode(self, hearings: Sequence[Hearing]) -> None:
        """The second step: write down windows of equal length together."""
        windows = []
        for hearing in hearings:
            assert hearing.rows is not None
            assert hearing.language is not None
            windows.append(Window(hearing.rows, hearing.language, token_limit(hearing.frames)))
        decoded = self._whisper.decode(windows)
        # Of all before any is changed: what raises is done again for each alone.
        texts = [self._text(*each) for each in zip(hearings, windows, decoded, strict=True)]
        for hearing, heard, text in zip(hearings, decoded, texts, strict=True):
            hearing.rows = None
            self._take(hearing, heard, text)

    def _prepare(self, hearing: Hearing) -> NDArray[np.float32] | None:
        """Return the spectrogram of the next part; None, and the hearing is done, if nobody speaks."""
        if hearing.parts is None:
            hearing.parts = deque(cut(self._whisper.speech_in(hearing.samples)))
        if not hearing.parts:
            hearing.done = True
            return None
        spectrogram = self._whisper.spectrogram(hearing.parts[0])
        hearing.frames = spectrogram.shape[1]
        mode = self._mode if hearing.doubted is None else WindowMode.FULL
        hearing.window = window_frames(mode, hearing.frames, self._whisper.mels)
        return spectrogram

    def _text(self, hearing: Hearing, window: Window, decoded: Decoded) -> str | None:
        """What was said in the window; None if that is too doubtful for one that is not full."""
        if doubtful(decoded) and hearing.window < FULL_FRAMES:
            return None
        heard = better(decoded, hearing.doubted)
        improbable = heard.log_probability <= LEAST_LOG_PROBABILITY
        return "" if improbable and self._whisper.no_speech(window) > NO_SPEECH_PROBABILITY else heard.text

    def _take(self, hearing: Hearing, decoded: Decoded, text: str | None) -> None:
        assert hearing.parts is not None
        if text is None:
            hearing.doubted = decoded
            with self._lock:
                self.retried += 1
            return
        hearing.texts.append(text)
        hearing.doubted = None
        hearing.parts.popleft()
        hearing.done = not hearing.parts


def doubtful(decoded: Decoded) -> bool:
    """Whether `decoded` looks as if it went wrong."""
    return decoded.at_limit or decoded.repetition > MOST_REPETITION or decoded.log_probability < LEAST_LOG_PROBABILITY


def better(full: Decoded, short: Decoded | None) -> Decoded:
    """What to believe of a full window and, if it was heard before in a shorter one, of that.

    If both are doubtful, the more probable of those that do not repeat themselves.
    """
    if short is None or not doubtful(full):
        return full
    return max((full, short), key=lambda heard: (heard.repetition <= MOST_REPETITION, heard.log_probability))
