"""Cuts an endless stream of raw PCM into utterances, by the speech probability of each of its windows."""

from collections.abc import Iterable
from dataclasses import dataclass

from gateway.audio import SPEECH_RATE, SPEECH_WINDOW
from gateway.pipeline.endpoint import PAUSE_WINDOWS, Endpoint, Phase
from gateway.values import EndedBy

_SAMPLE_BYTES = 2
_PRE_ROLL_WINDOWS = 9
"""288 ms kept from before the window that speech was first heard in: the beginning of a word is quiet."""
_UNHEARD_MAX_WINDOWS = 2
"""64 ms. So much at the end of an utterance that nobody has listened to is no word."""
_MAX_LAG_WINDOWS = 16
"""About half a second. A detector that is further behind is not waited for: its windows count as quiet."""


@dataclass(frozen=True, slots=True)
class NeedsSpeechProbability:
    """New audio, s16le mono at `rate` Hz: so many whole windows of 32 ms. `fresh` when it begins a stream, and the
    detector is to begin with it. `optional` when nothing ends by it."""

    pcm: bytes
    rate: int
    windows: int
    fresh: bool
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Began:
    """Speech has begun a new utterance."""


@dataclass(frozen=True, slots=True)
class Hushed:
    """Speech pauses, and the open utterance may be over; `audio` (s16le at `rate` Hz) is what there is of it."""

    audio: bytes
    rate: int


@dataclass(frozen=True, slots=True)
class WentOn:
    """It was not over: more than silence came since `Hushed`, or may have."""


@dataclass(frozen=True, slots=True)
class Ended:
    """The open utterance is over; `audio` is s16le."""

    audio: bytes
    ended_by: EndedBy


Move = Began | Hushed | WentOn | Ended


class RawStream:
    """One stream of s16le mono PCM at `rate` Hz, open from its first sample.

    Every decision is taken at the end of a window of 32 ms counted from the stream's first sample, so it does not
    depend on how the stream was cut into messages. What follows an end belongs to the next utterance. Speech that
    goes on after the limit, or after `drop`, opens nothing before it has once paused for the end of speech.

    With `pauses` it tells `Hushed` at each pause of an utterance; an end that comes without `WentOn` between says that
    nothing but silence came since.
    """

    def __init__(self, rate: int, limit_s: float, end_of_speech_ms: int, *, pauses: bool = False) -> None:
        self.rate = rate
        self._pauses = pauses
        self._hushed = False
        self._limit = int(limit_s * rate)
        self._endpoint = Endpoint(end_of_speech_ms)
        self._audio = bytearray()
        self._base = 0
        """Which sample of the stream `_audio` begins with."""
        self._open = True
        self._begin = 0
        """The first sample of the open utterance; when none is open, the first that was in none."""
        self._asked = 0
        self._heard = 0

    @property
    def overdue(self) -> int:
        """How many windows the detector is behind beyond what is waited for."""
        return max(0, self._asked - self._heard - _MAX_LAG_WINDOWS)

    def take(self, payload: bytes) -> NeedsSpeechProbability | None:
        """Add the next bytes of the stream; return the windows that became whole with them, to be judged."""
        self._audio += payload
        asked = self._asked
        self._asked = self._received * SPEECH_RATE // (SPEECH_WINDOW * self.rate)
        if self._asked == asked:
            return None
        pcm = self._cut(self._sample_of(asked), self._sample_of(self._asked))
        return NeedsSpeechProbability(pcm, self.rate, self._asked - asked, fresh=asked == 0)

    @property
    def hushed(self) -> bool:
        """The open utterance may be over: only silence has been heard since `Hushed`."""
        return self._hushed

    def wait_for(self, end_of_speech_ms: int) -> None:
        """Let speech end, from now on, at that much silence."""
        self._endpoint.wait_for(end_of_speech_ms)

    def hear(self, probabilities: Iterable[float | None]) -> list[Move]:
        """Take the speech probabilities of the next windows, in order; return what follows from them. None is one that
        is not known: the window counts as quiet."""
        moves: list[Move] = []
        for probability in probabilities:
            moves += self._hear_window(probability)
        self._forget()
        return moves

    def finish(self, ended_by: EndedBy) -> list[Move]:
        """End the open utterance with all that came; half a sample at the end is dropped."""
        return [*self.doubt(), self._end(self._received, ended_by)]

    def doubt(self) -> list[Move]:
        """Say whether too much has come that nobody has listened to for the utterance to have been over."""
        if self._received <= self._sample_of(self._heard + _UNHEARD_MAX_WINDOWS):
            return []
        return self._go_on()

    def drop(self) -> None:
        """Leave the open utterance unanswered."""
        self._open = self._hushed = False
        self._begin = self._received

    def _hear_window(self, probability: float | None) -> list[Move]:
        moves: list[Move] = []
        before = self._endpoint.phase
        phase = self._endpoint.push(probability)
        self._heard += 1
        end = self._sample_of(self._heard)
        quiet = self._endpoint.quiet_windows
        if quiet == 0:
            moves += self._go_on()
        if self._open and (phase is Phase.ENDED or end - self._begin > self._limit):
            moves.append(self._end(end, EndedBy.SILENCE))
        elif self._open and self._pauses and quiet == PAUSE_WINDOWS:
            self._hushed = True
            moves.append(Hushed(self._cut(self._begin, end), self.rate))
        if not self._open and phase is Phase.SPEAKING and before in (Phase.WAITING, Phase.ENDED):
            self._open = True
            self._begin = max(self._begin, self._sample_of(max(0, self._heard - 1 - _PRE_ROLL_WINDOWS)))
            moves.append(Began())
        return moves

    def _go_on(self) -> list[Move]:
        moves: list[Move] = [WentOn()] if self._hushed else []
        self._hushed = False
        return moves

    def _end(self, end: int, ended_by: EndedBy) -> Ended:
        begin = self._begin
        self._hushed = False
        if end - begin > self._limit:
            end, ended_by = begin + self._limit, EndedBy.LIMIT
        self._open = False
        self._begin = end
        return Ended(self._cut(begin, end), ended_by)

    def _forget(self) -> None:
        """Let go of what no utterance can need any more, and has been handed out to be judged."""
        keep = self._begin
        if not self._open:
            keep = max(keep, self._sample_of(max(0, self._heard - _PRE_ROLL_WINDOWS)))
        keep = min(keep, self._sample_of(self._asked))
        del self._audio[: _SAMPLE_BYTES * (keep - self._base)]
        self._base = keep

    @property
    def _received(self) -> int:
        return self._base + len(self._audio) // _SAMPLE_BYTES

    def _sample_of(self, window: int) -> int:
        """Where `window` begins, in samples of the stream."""
        return window * SPEECH_WINDOW * self.rate // SPEECH_RATE

    def _cut(self, start: int, end: int) -> bytes:
        return bytes(self._audio[_SAMPLE_BYTES * (start - self._base) : _SAMPLE_BYTES * (end - self._base)])
