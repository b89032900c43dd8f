"""What a simulation does: how many devices, how each of them speaks, and what goes wrong on the way. Pure."""

from dataclasses import dataclass

from gateway.values import Codec
from gateway.wire.frame import LAST_DEVICE_TURN

RAW, FILE, MIXED = "raw", "file", "mixed"
SINGLE_FORMS = (str(Codec.PCM), str(Codec.ADPCM), str(Codec.OPUS), RAW, FILE)
FORMS = (*SINGLE_FORMS, MIXED)
"""How a device speaks: frames of a codec, bare samples, a whole sound file; or each of these by some devices."""

SLOW_EVERY = 10
"""With slow consumers, one device in so many is one."""

_CONSONANTS, _VOWELS = "bdfglmnprtvz", "aeiou"
_SYLLABLES = tuple(consonant + vowel for consonant in _CONSONANTS for vowel in _VOWELS)
_SYLLABLES_A_NAME = 3


@dataclass(frozen=True, slots=True)
class Plan:
    """What is simulated. Shares are 0 to 1.

    `run` sets the devices of one simulation apart from those of another on the same broker. `language` is an ISO 639
    code. `ramp_s` is how long it takes until the last device has begun. `patience_s` is the longest wait for the first
    sound of an answer, counted from the end of the question; `pause_s` the mean rest between an answer and the next
    question.
    """

    devices: int
    seconds: float
    run: str
    language: str = "es"
    form: str = str(Codec.PCM)
    loss: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    jitter_s: float = 0.0
    slow_consumers: bool = False
    barge_in: float = 0.0
    ramp_s: float = 0.0
    patience_s: float = 10.0
    pause_s: float = 10.0

    def spelling(self, index: int) -> str:
        """The id of device `index` (0, 1, …)."""
        return f"sim-{self.run}-{index + 1:03d}"

    def form_of(self, index: int) -> str:
        return SINGLE_FORMS[index % len(SINGLE_FORMS)] if self.form == MIXED else self.form

    def is_slow(self, index: int) -> bool:
        """Whether this device reads slowly: the last of each ten, and always one."""
        if not self.slow_consumers:
            return False
        return index % SLOW_EVERY == SLOW_EVERY - 1 or (self.devices < SLOW_EVERY and index == self.devices - 1)

    @property
    def _turns_each(self) -> int:
        return LAST_DEVICE_TURN // self.devices

    def first_turn(self, index: int) -> int:
        """Where the turns of this device begin: each has numbers of its own, so that a frame that was meant for another
        is seen."""
        return 1 + index * self._turns_each

    def owner_of(self, turn: int) -> str | None:
        """The device among whose numbers `turn` is; None for a number that no device chooses."""
        index = (turn - 1) // self._turns_each
        return self.spelling(index) if turn <= LAST_DEVICE_TURN and index < self.devices else None


def name_of(index: int) -> str:
    """A name that person `index` alone has: letters only, all of one length, so that none is a part of another."""
    syllables = []
    for _ in range(_SYLLABLES_A_NAME):
        index, syllable = divmod(index, len(_SYLLABLES))
        syllables.append(_SYLLABLES[syllable])
    return "".join(syllables).capitalize()


def index_of(word: str) -> int | None:
    """Whose name `word` is, in whatever case: the inverse of `name_of`. None for a word that is nobody's."""
    word = word.lower()
    if len(word) != len(name_of(0)):
        return None
    index = 0
    for at in range(len(word) - 2, -1, -2):
        syllable = word[at : at + 2]
        if syllable not in _SYLLABLES:
            return None
        index = index * len(_SYLLABLES) + _SYLLABLES.index(syllable)
    return index
