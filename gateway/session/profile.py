"""How a device is addressed and answered: what it said of itself, and how it spoke last."""

import logging

from gateway.config import Settings, personality_of
from gateway.errors import DeviceFault
from gateway.personality import NOTHING_KEPT, UNSAID, Kept, Personality
from gateway.pipeline.speculation import Speculation
from gateway.pipeline.steps import Closed
from gateway.pipeline.transmit import ReplyLimits
from gateway.pipeline.turn_request import TurnRequest
from gateway.session.admission import Admitted
from gateway.store import Recollection, SessionSummary
from gateway.values import DeviceAddress, DeviceId, ReplyForm, TurnKind, Utterance
from gateway.wire.messages import Hello, parse_hello
from gateway.wire.topics import Leaf, Topics, largest_payload

log = logging.getLogger(__name__)


class Profile:
    """What the gateway knows of one device while it runs."""

    def __init__(self, device: DeviceId, spelling: str, settings: Settings, topics: Topics) -> None:
        """`spelling` is somebody's; the device's own counts as soon as it is known."""
        self._id = device
        self._spelling = spelling
        self._spelling_is_own = False
        self._settings = settings
        self._topics = topics
        self._hello: Hello | None = None
        self._kept = NOTHING_KEPT
        self._last_form: ReplyForm | None = None
        self.last_largest: int | None = None
        """The largest payload in bytes of what the device said last."""

    @property
    def address(self) -> DeviceAddress:
        return DeviceAddress(self._id, self._spelling)

    @property
    def topic(self) -> str:
        """Where its replies go."""
        return self._topics.device(self._spelling, Leaf.OUT)

    def personality(self, admitted: Admitted) -> Personality:
        """Who answers in a turn that is `admitted`: what operators have said of the device by then, and the device of
        itself. While the database does not answer, what it said last counts."""
        if admitted.conversation is not None:
            self._kept = admitted.conversation.kept
        hello = self._hello.personality if self._hello is not None else UNSAID
        return personality_of(self._settings, self._id, self._kept, hello)

    @property
    def hello(self) -> Hello | None:
        """What it said of itself, in this run or an earlier one."""
        return self._hello

    @property
    def form_of_texts(self) -> ReplyForm:
        """How a text for it goes: in its last form; frames if it only said hello; else one message."""
        return self._last_form or (ReplyForm.FRAMES if self._hello is not None else ReplyForm.MESSAGE)

    @property
    def limits(self) -> ReplyLimits:
        """What it can take."""
        settings, hello = self._settings, self._hello
        payload = self.last_largest
        if hello is not None and hello.max_packet is not None:
            payload = largest_payload(hello.max_packet, self.topic, settings.mqtt_qos_out)
        return ReplyLimits(
            payload=payload,
            buffer_ms=(hello.buffer_ms if hello else None) or settings.reply_buffer_ms,
            rate=(hello.reply_rate if hello else None) or settings.reply_rate,
            bitrate_kbps=(hello.reply_bitrate_kbps if hello else None) or settings.reply_bitrate_kbps,
        )

    def turn_request(
        self,
        admitted: Admitted,
        number: int,
        kind: TurnKind,
        form: ReplyForm,
        *,
        language: str | None = None,
        closed: Closed | None = None,
        text: str = "",
        fault: DeviceFault | None = None,
        ahead: Speculation | None = None,
    ) -> TurnRequest:
        """What a turn of this device is about: what it said (`closed`), or a `text`, whose `language` is the device's
        unless given."""
        personality = self.personality(admitted)
        return TurnRequest(
            number=number,
            kind=kind,
            device=self.address,
            reply_form=form,
            limits=self.limits,
            topic=self.topic,
            personality=personality,
            conversation=admitted.conversation,
            language=language or personality.language,
            utterance=closed.utterance if closed else None,
            text=text,
            largest_message=self.last_largest,
            received_ms=round(closed.received_s * 1000) if closed else None,
            too_long=closed.too_long if closed else False,
            fault=fault or admitted.refusal,
            ahead=ahead,
        )

    def spells_itself(self, spelling: str) -> None:
        """The device published on a topic of its own, spelled like this."""
        self._spelling = spelling
        self._spelling_is_own = True

    def operators_said(self, kept: Kept) -> None:
        """Take over what operators have said of the device by now."""
        self._kept = kept

    def said_hello(self, hello: Hello) -> None:
        self._hello = hello

    def spoke(self, utterance: Utterance) -> None:
        self._last_form, self.last_largest = utterance.reply_form, utterance.largest_message

    def recall(self, known: SessionSummary | None, before: Recollection) -> None:
        """Take over what the store knows, where the device has not said otherwise since."""
        if self._last_form is None:
            self._last_form, self.last_largest = before.reply_form, before.largest_message
        if known is None:
            return
        if not self._spelling_is_own and known.spelling:
            self._spelling = known.spelling
        if self._hello is None and known.device_info:
            try:
                self._hello = parse_hello(known.device_info)
            except DeviceFault as fault:
                log.warning("session %s: what is stored of its hello is not usable: %s", self._id, fault.message)
