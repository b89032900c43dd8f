"""What a turn is about, and what it works with."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from gateway.audio import Pcm
from gateway.broker.protocol import Broker
from gateway.config import Settings
from gateway.engines.encoder import Mp3Encoder
from gateway.engines.registry import Engines
from gateway.errors import DeviceFault
from gateway.events import Event
from gateway.personality import UNSAID, Personality
from gateway.pipeline.speculation import Speculation
from gateway.pipeline.transmit import Publish, ReplyLimits
from gateway.store import OpenConversation, Store
from gateway.values import DeviceAddress, ReplyForm, TurnKind, Utterance

AUTO_LANGUAGE = "auto"
FALLBACK_LANGUAGE = "es"
"""What is spoken when the language is to be detected and nothing has been heard yet."""


def wanted_language(settings: Settings, own: str | None) -> str | None:
    """The language to recognise for a device whose `own` is this, if it has one; None: detect it."""
    wanted = own or settings.language
    return None if wanted == AUTO_LANGUAGE else wanted


@dataclass(frozen=True, slots=True)
class TurnServices:
    """What every turn of the gateway works with."""

    settings: Settings
    engines: Engines
    store: Store
    broker: Broker
    emit: Callable[[Event], None]
    clip: Callable[[str, str], Pcm]
    monotonic: Callable[[], float]
    now: Callable[[], datetime]
    """Local time, with its zone."""
    encoder: Callable[[int, int], Mp3Encoder] = Mp3Encoder
    """Gives an encoder for a reply of this rate in Hz and bit rate in kbit/s."""


@dataclass(frozen=True, slots=True)
class TurnRequest:
    """What a turn is about: an utterance, or a text to answer (`ask`) or to speak (`say`).

    `conversation` is as it was when the device began to speak; without one nothing is remembered or kept. `fault`
    refuses the turn: the device is told, audibly, and nothing else is done. `language` None means the device's.
    """

    number: int
    kind: TurnKind
    device: DeviceAddress
    reply_form: ReplyForm
    limits: ReplyLimits
    topic: str
    personality: Personality = UNSAID
    """Who answers: what holds for the device, all that is said of it anywhere taken together."""
    conversation: OpenConversation | None = None
    language: str | None = None
    utterance: Utterance | None = None
    text: str = ""
    received_ms: int | None = None
    largest_message: int | None = None
    too_long: bool = False
    fault: DeviceFault | None = None
    send: Publish | None = None
    """Takes the reply instead of the device's topic: that of whoever asked in this process. It is not the device's way
    to speak, and a text for the device does not follow it."""
    ahead: Speculation | None = None
    """What was recognised of the utterance, all that is speech in it, before its end was certain."""
