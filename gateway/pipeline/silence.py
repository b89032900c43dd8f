"""Cutting away the silence that voices put before and after what they say. Pure.

Services send 50 to 500 ms of it around each piece of a reply: at the beginning the listener waits for nothing, and
between pieces it adds to the pause that belongs there.
"""

from collections import deque
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from gateway.audio import Pcm

LOUD = 64
"""A sample above this (-54 dBFS) is sound: the softest consonants of a voice lie above it, what a codec makes of
silence below."""

PRE_ROLL_MS = 20.0
"""Kept before the first sound of every piece: an `f` or an `h` swells from nothing."""

LEADING_MAX_MS = 1000.0
"""Where nothing is loud for so long, silence is not what it is taken for: all of it is passed on."""

HELD_MAX_MS = 2000.0
"""A longer silence within a piece is passed on before it is known whether sound follows."""

_SENTENCE_PAUSE_MS = 350.0
_CLAUSE_PAUSE_MS = 180.0
_WORD_PAUSE_MS = 40.0


def longest_pause_ms(text: str) -> float:
    """How much silence may follow `text`: a sentence, a clause, or one that was broken off between two words."""
    end = text.rstrip("\"»”)]'")[-1:]
    if end in tuple(".!?…"):
        return _SENTENCE_PAUSE_MS
    return _CLAUSE_PAUSE_MS if end in tuple(",;:") else _WORD_PAUSE_MS


class SilenceTrimmer:
    """Takes the audio of one reply piece by piece, as it comes, and gives it without needless silence.

    What is given does not depend on how a piece was cut into blocks. Silence that stays is held back only while it is
    not certain that it stays. Pauses inside a piece are the voice's own and are kept whole.
    """

    def __init__(self) -> None:
        self._rate = 0
        self._held: list[NDArray[np.int16]] = []
        self._held_samples = 0
        self._before_sound = True
        self._lead_ms = PRE_ROLL_MS
        self._patience_ms = LEADING_MAX_MS
        self._pause_ms = 0.0
        self._trailing_samples = 0

    def begin(self, text: str) -> None:
        """The audio of `text` comes next, after what was fed before."""
        # What was passed on of the silence after the last piece is part of the pause between the two.
        self._lead_ms = max(PRE_ROLL_MS, self._pause_ms - self._ms(self._trailing_samples))
        self._before_sound = True
        self._patience_ms = LEADING_MAX_MS
        self._trailing_samples = 0
        self._pause_ms = longest_pause_ms(text)

    def feed(self, pcm: Pcm) -> Iterator[Pcm]:
        """Take the next block of the piece; give what is certain to stay."""
        if pcm.rate != self._rate:
            # Another engine goes on after the first one broke off.
            yield from self._let_go(self._held_samples)
            self._rate = pcm.rate
        samples = pcm.samples
        begins, ends = _sound_in(samples)
        if self._before_sound:
            self._hold(samples[:begins])
            if self._held_samples > self._samples(self._patience_ms):
                self._patience_ms = 0.0
            elif ends == 0:
                return
            else:
                self._cut_away(self._held_samples - self._samples(self._lead_ms))
            yield from self._let_go(self._held_samples)
            if ends == 0:
                return
            self._before_sound = False
            samples = samples[begins:]
            ends -= begins
        if ends > 0:
            yield from self._let_go(self._held_samples)
            self._trailing_samples = 0
            yield Pcm(samples[:ends], pcm.rate)
            samples = samples[ends:]
        yield from self._trail(samples)

    def end(self) -> Iterator[Pcm]:
        """The piece is over: the silence beyond the pause that may follow is cut away. One without any sound, which
        may be a very quiet voice, is given as it is."""
        if self._before_sound:
            yield from self._let_go(self._held_samples)
        self._cut_away(self._held_samples)

    def _trail(self, silence: NDArray[np.int16]) -> Iterator[Pcm]:
        """Pass on what the pause after the piece may hold; keep the rest until sound follows."""
        room = max(0, self._samples(self._pause_ms) - self._trailing_samples)
        passed = silence[:room]
        if len(passed):
            self._trailing_samples += len(passed)
            yield Pcm(passed, self._rate)
        self._hold(silence[room:])
        yield from self._let_go(self._held_samples - self._samples(HELD_MAX_MS))

    def _hold(self, silence: NDArray[np.int16]) -> None:
        if len(silence):
            self._held.append(silence)
            self._held_samples += len(silence)

    def _let_go(self, count: int) -> Iterator[Pcm]:
        """Give the first `count` samples of what is held."""
        for part in self._take(count):
            yield Pcm(part, self._rate)

    def _cut_away(self, count: int) -> None:
        """Lose the first `count` samples of what is held."""
        deque(self._take(count), maxlen=0)

    def _take(self, count: int) -> Iterator[NDArray[np.int16]]:
        while count > 0:
            first = self._held[0]
            part = first[:count]
            count -= len(part)
            self._held_samples -= len(part)
            if len(part) == len(first):
                del self._held[0]
            else:
                self._held[0] = first[len(part) :]
            yield part

    def _samples(self, ms: float) -> int:
        return round(ms * self._rate / 1000)

    def _ms(self, samples: int) -> float:
        return samples * 1000 / self._rate if self._rate else 0.0


def _sound_in(samples: NDArray[np.int16]) -> tuple[int, int]:
    """Return where the sound in `samples` begins and ends; (their number, 0) if there is none."""
    loud = (samples > LOUD) | (samples < -LOUD)
    begins = int(loud.argmax()) if len(loud) else 0
    if begins == len(loud) or not loud[begins]:
        return len(loud), 0
    return begins, len(loud) - int(loud[::-1].argmax())
