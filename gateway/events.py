"""What happens in a turn, told once; observers (MQTT, statistics, logs) listen and nothing in the path knows them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.errors import ErrorCode, Stage
from gateway.values import Announcement, AnnouncementStatus, DeviceAddress, TurnRecord


@dataclass(frozen=True, slots=True)
class Listening:
    """A device has begun to speak."""

    device: DeviceAddress
    turn: int


@dataclass(frozen=True, slots=True)
class Thinking:
    """An utterance is whole; it is being recognised and answered. Not published as an event, only as state."""

    device: DeviceAddress
    turn: int


@dataclass(frozen=True, slots=True)
class Transcribed:
    """Speech was recognised."""

    device: DeviceAddress
    turn: int
    text: str
    language: str


@dataclass(frozen=True, slots=True)
class SentenceReady:
    """A piece of the reply has been written and goes to be spoken."""

    device: DeviceAddress
    turn: int
    index: int
    text: str


@dataclass(frozen=True, slots=True)
class Speaking:
    """The first audio of the reply has left."""

    device: DeviceAddress
    turn: int


@dataclass(frozen=True, slots=True)
class EnginePassedOver:
    """An engine failed or was too slow: it rests, and the next of the list is tried within the same turn."""

    device: DeviceAddress
    turn: int
    stage: Stage
    engine: str
    message: str
    rest_s: float


@dataclass(frozen=True, slots=True)
class ToolCalled:
    """A tool did something for the chat model, or failed at it. `arguments` and `result` are private: they hold what
    was said, and only the log tells them, where it may."""

    device: DeviceAddress
    turn: int
    name: str
    ok: bool
    ms: int
    arguments: str
    result: str


@dataclass(frozen=True, slots=True)
class Failed:
    """Something went wrong. `turn` is None outside a turn; `device` is None when the topic named none."""

    device: DeviceAddress | None
    turn: int | None
    code: ErrorCode
    stage: Stage
    message: str
    retryable: bool
    topic_spelling: str = ""


@dataclass(frozen=True, slots=True)
class TurnEnded:
    """A turn is over; there is exactly one for every turn that began."""

    record: TurnRecord


@dataclass(frozen=True, slots=True)
class HelloSaid:
    """A device said what it is: `info` is its `hello` as it came, unknown keys included."""

    device: DeviceAddress
    info: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class HelloErased:
    """Somebody has had the broker forget what a device said of itself: it is gone for good."""

    device: DeviceAddress


@dataclass(frozen=True, slots=True)
class AssistantChosen:
    """Who answers on a device is known, or has changed. `persona` is empty where none is chosen."""

    device: DeviceAddress
    language: str
    persona: str


@dataclass(frozen=True, slots=True)
class PresenceChanged:
    """A device's `online` topic said something."""

    device: DeviceAddress
    online: bool


@dataclass(frozen=True, slots=True)
class AnnouncementChanged:
    """An announcement has come so far on one device. `turn` is the turn that speaks it, None outside any; `reason` says
    why it was not spoken whole."""

    device: DeviceAddress
    announcement: Announcement
    status: AnnouncementStatus
    turn: int | None = None
    reason: str = ""


FORGET = "forget"
CLEANUP = "cleanup"


@dataclass(frozen=True, slots=True)
class SessionsErased:
    """Conversations were erased; `reason` is FORGET (the device is still there) or CLEANUP (it is gone)."""

    devices: tuple[DeviceAddress, ...]
    reason: str


Event = (
    Listening
    | Thinking
    | Transcribed
    | SentenceReady
    | Speaking
    | EnginePassedOver
    | ToolCalled
    | Failed
    | TurnEnded
    | HelloSaid
    | HelloErased
    | AssistantChosen
    | PresenceChanged
    | AnnouncementChanged
    | SessionsErased
)
Listener = Callable[[Event], None]


class Events:
    """Tells every listener of every event, in order. A listener must not block; one that raises is the
    program's own defect and is not hidden."""

    def __init__(self) -> None:
        self._listeners: list[Listener] = []

    def listen(self, listener: Listener) -> None:
        self._listeners.append(listener)

    def emit(self, event: Event) -> None:
        for listener in self._listeners:
            listener(event)
