"""Finds where speech pauses, begins and ends in a row of speech probabilities, one for each window of 32 ms."""

from enum import Enum, StrEnum, auto

from gateway.audio import SPEECH_RATE, SPEECH_WINDOW

WINDOW_MS = 1000 * SPEECH_WINDOW // SPEECH_RATE

PAUSE_WINDOWS = 4
"""128 ms of quiet are a pause: speech may be over. Shorter ones are in the middle of words, before a `p` or a `t`."""

# Silero's own thresholds (`threshold`, and `neg_threshold` = `threshold` - 0.15).
_VOICE_ABOVE = 0.5
_QUIET_BELOW = 0.35


class Phase(StrEnum):
    """Where in an utterance the last window lies."""

    WAITING = "waiting"
    SPEAKING = "speaking"
    PAUSED = "paused"
    ENDED = "ended"
    """The pause has just become the end of speech; what follows is waiting again."""


class _Sound(Enum):
    VOICE = auto()
    UNSURE = auto()
    QUIET = auto()


_NEXT = {
    (Phase.WAITING, _Sound.VOICE): Phase.SPEAKING,
    (Phase.WAITING, _Sound.UNSURE): Phase.WAITING,
    (Phase.WAITING, _Sound.QUIET): Phase.WAITING,
    (Phase.SPEAKING, _Sound.VOICE): Phase.SPEAKING,
    (Phase.SPEAKING, _Sound.UNSURE): Phase.SPEAKING,
    (Phase.SPEAKING, _Sound.QUIET): Phase.PAUSED,
    (Phase.PAUSED, _Sound.VOICE): Phase.SPEAKING,
    (Phase.PAUSED, _Sound.UNSURE): Phase.PAUSED,
    (Phase.PAUSED, _Sound.QUIET): Phase.PAUSED,
    (Phase.ENDED, _Sound.VOICE): Phase.SPEAKING,
    (Phase.ENDED, _Sound.UNSURE): Phase.WAITING,
    (Phase.ENDED, _Sound.QUIET): Phase.WAITING,
}


class Endpoint:
    """Follows one stream. Speech ends when a pause, counted from its first quiet window, lasts
    `end_of_speech_ms`; a window that is neither voice nor quiet changes nothing, but its time counts."""

    def __init__(self, end_of_speech_ms: int) -> None:
        self.wait_for(end_of_speech_ms)
        self._pause_windows = 0
        self._quiet_windows = 0
        self._phase = Phase.WAITING

    @property
    def phase(self) -> Phase:
        return self._phase

    @property
    def quiet_windows(self) -> int:
        """How many windows of the pause, up to the last, were heard to be quiet without one between that was not."""
        return self._quiet_windows

    def wait_for(self, end_of_speech_ms: int) -> None:
        """Let speech end, from now on, at a pause of `end_of_speech_ms`."""
        self._end_windows = max(1, -(-end_of_speech_ms // WINDOW_MS))

    def push(self, probability: float | None) -> Phase:
        """Take the speech probability (0..1) of the next window; return the phase that it leads to. None, which is
        not known, counts as quiet, for speech has to end; but nobody has heard that it was."""
        sound = _Sound.QUIET if probability is None else _sound(probability)
        phase = _NEXT[self._phase, sound]
        self._pause_windows = self._pause_windows + 1 if phase is Phase.PAUSED else 0
        heard_quiet = phase is Phase.PAUSED and sound is _Sound.QUIET and probability is not None
        self._quiet_windows = self._quiet_windows + 1 if heard_quiet else 0
        self._phase = Phase.ENDED if self._pause_windows >= self._end_windows else phase
        return self._phase


def _sound(probability: float) -> _Sound:
    if probability > _VOICE_ABOVE:
        return _Sound.VOICE
    return _Sound.QUIET if probability < _QUIET_BELOW else _Sound.UNSURE
