"""The values that the parts of the gateway hand to each other. Frozen, and without behaviour of their own."""

import re
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from typing import Literal, NewType

DeviceId = NewType("DeviceId", str)
"""A device's canonical id, which is also its session id: 12 lower-case hex digits for a MAC."""

RESERVED_DEVICE_ID = "gateway"
UNNAMED_PREFIX = "http-"
"""Begins the id of a conversation that somebody began over HTTP without naming a device."""
_UNNAMED = re.compile(rf"{UNNAMED_PREFIX}[0-9a-f]{{12}}")
_DEVICE_ID = re.compile(r"[A-Za-z0-9_:.-]{1,64}")
_MAC = re.compile(r"(?:ESP32-)?([0-9A-F]{2})([:-]?)([0-9A-F]{2})(?:\2[0-9A-F]{2}){4}", re.IGNORECASE)


@lru_cache(maxsize=4096)
def parse_device_id(spelling: str) -> DeviceId:
    """Return the canonical id of the device spelled `spelling`.

    Every spelling of one MAC (`A4:CF:12:8B:3F:9E`, `a4-cf-12-8b-3f-9e`, `ESP32-a4cf128b3f9e`, …) has one id.

    Raises:
        ValueError: `spelling` is reserved, empty, too long, or holds a character that an id may not have.
    """
    if spelling == RESERVED_DEVICE_ID:
        raise ValueError("the device id 'gateway' is reserved for the gateway's own topics")
    if not _DEVICE_ID.fullmatch(spelling):
        raise ValueError("a device id is 1 to 64 characters of A-Z a-z 0-9 _ - : .")
    if _MAC.fullmatch(spelling):
        digits = re.sub(r"[:-]", "", spelling).lower()
        return DeviceId(digits[-12:])
    return DeviceId(spelling)


def is_unnamed(device: DeviceId) -> bool:
    """Whether `device` is only a conversation over HTTP: there is nothing that could speak by itself, or be looked at
    by people."""
    return _UNNAMED.fullmatch(device) is not None


@dataclass(frozen=True, slots=True)
class DeviceAddress:
    """Whose conversation it is, and how the device spells itself in topics."""

    id: DeviceId
    spelling: str


class ReplyForm(StrEnum):
    """How the reply travels; it follows from how the request came."""

    FRAMES = "frames"
    STREAM = "stream"
    """Bare MP3 bytes over several messages, then an empty one."""
    MESSAGE = "message"
    """The whole reply in one message."""


class Codec(StrEnum):
    """How the audio of an utterance is coded."""

    PCM = "pcm"
    """Signed 16-bit little-endian, mono."""
    ADPCM = "adpcm"
    """IMA ADPCM, each part standing alone."""
    OPUS = "opus"
    """One packet a part."""
    FILE = "file"
    """The bytes of an audio file that libsndfile reads; rate and channels are in it."""


END_OF_SPEECH_MS = {"relaxed": 1250, "normal": 700, "eager": 300}
"""Silence that is the end of speech, by the names that people know it under (Home Assistant has the same three)."""
END_OF_SPEECH_LEAST_MS, END_OF_SPEECH_MOST_MS = 100, 10_000


def end_of_speech_ms(wish: str | int) -> int:
    """Return how many milliseconds of silence are the end of speech: a preset, or a number of them.

    Raises:
        ValueError: it is neither, or out of its bounds.
    """
    if wish in END_OF_SPEECH_MS:
        return END_OF_SPEECH_MS[str(wish)]
    try:
        milliseconds = int(wish)
    except ValueError:
        milliseconds = 0
    if not END_OF_SPEECH_LEAST_MS <= milliseconds <= END_OF_SPEECH_MOST_MS:
        presets = ", ".join(END_OF_SPEECH_MS)
        raise ValueError(f"must be {presets}, or {END_OF_SPEECH_LEAST_MS} to {END_OF_SPEECH_MOST_MS} milliseconds")
    return milliseconds


class EndedBy(StrEnum):
    """Why an utterance ended."""

    MARKER = "marker"
    SILENCE = "silence"
    IDLE = "idle"
    LIMIT = "limit"


@dataclass(frozen=True, slots=True)
class Gap:
    """A stretch of audio that was lost: `samples` of silence at the utterance's rate."""

    samples: int


@dataclass(frozen=True, slots=True)
class LinkCounts:
    """What the link did to the frames of one utterance."""

    lost: int = 0
    duplicate: int = 0
    late: int = 0


@dataclass(frozen=True, slots=True)
class Utterance:
    """One thing said to the gateway, as it arrived: still coded, gaps marked.

    `rate` is in Hz (0 for a file, which says its own). `largest_message` is the payload in bytes of the
    largest message it came in: without a `hello`, no reply message may be larger.
    """

    turn: int
    reply_form: ReplyForm
    codec: Codec
    rate: int
    parts: tuple[bytes | Gap, ...]
    ended_by: EndedBy
    largest_message: int
    link: LinkCounts = LinkCounts()


@dataclass(frozen=True, slots=True)
class Transcript:
    """What was understood; `text` is empty when nobody spoke."""

    text: str
    language: str


Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True, slots=True)
class Message:
    """One line of a conversation."""

    role: Role
    text: str


class Outcome(StrEnum):
    """How a turn ended."""

    COMPLETED = "completed"
    INTERRUPTED = "interrupted"
    SILENT = "silent"
    FAILED = "failed"


class TurnKind(StrEnum):
    """What began a turn."""

    SPEECH = "speech"
    ASK = "ask"
    SAY = "say"


class Priority(StrEnum):
    """How much an announcement matters; the least first."""

    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"
    URGENT = "urgent"
    """It interrupts."""


@dataclass(frozen=True, slots=True)
class Announcement:
    """A text for a device to speak (`say`) or to answer (`ask`), whoever sent it.

    `language` None means the device's. `ttl_s` is how many seconds it may wait to be begun. `volume`, from 0 to 100, is
    a hint to the device.
    """

    id: str
    kind: TurnKind
    text: str
    language: str | None = None
    priority: Priority = Priority.NORMAL
    ttl_s: float = 300.0
    volume: int | None = None


class AnnouncementStatus(StrEnum):
    """What has become of an announcement on one device."""

    QUEUED = "queued"
    STARTED = "started"
    DONE = "done"
    """It has been spoken, as far as the gateway can know."""
    INTERRUPTED = "interrupted"
    FAILED = "failed"
    EXPIRED = "expired"
    DISPLACED = "displaced"
    """It waited, and gave way to one of a higher priority."""
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Timings:
    """Milliseconds. `received` is from the first message of the utterance to its end; each of the others is
    from the end of the utterance (or the arrival of `ask` / `say`) to that moment; None if it never came."""

    received: int | None = None
    stt: int | None = None
    llm_first_token: int | None = None
    tts_first_audio: int | None = None
    first_audio_out: int | None = None
    total: int | None = None


@dataclass(frozen=True, slots=True)
class TurnRecord:
    """A turn that has ended, whole.

    `heard` is the question; `said` is only what reached the device; `error` is the code of what failed.
    `chunks` and `bytes` count messages and MP3 bytes sent. `reply_form` is how the reply went, or was to go, and
    `largest_message` the largest payload in bytes that the device had sent by then, if it had spoken: a text for
    the device later goes the same way.
    """

    device: DeviceAddress
    turn: int
    kind: TurnKind
    outcome: Outcome
    started_at: datetime
    heard: str = ""
    said: str = ""
    language: str = ""
    error: str | None = None
    cached: bool = False
    chunks: int = 0
    bytes: int = 0
    timings: Timings = field(default_factory=Timings)
    link: LinkCounts = LinkCounts()
    reply_form: ReplyForm | None = None
    largest_message: int | None = None
