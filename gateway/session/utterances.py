"""What a device says: the steps of its assembler become the utterance that is open, and a turn that answers it."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime

from gateway.errors import BrokerUnavailable, DeviceFault
from gateway.events import Listening
from gateway.pipeline.assemble import (
    Assembler,
    Cancelled,
    Closed,
    NeedsSpeechProbability,
    Opened,
    Paused,
    Refused,
    Rejected,
    Resumed,
    Step,
)
from gateway.pipeline.turn_request import TurnServices
from gateway.session.admission import Admission, Opening
from gateway.session.detection import Detection
from gateway.session.direct import DirectQuestion
from gateway.session.floor import Floor
from gateway.session.profile import Profile
from gateway.session.records import Records
from gateway.session.speculating import Speculating
from gateway.session.telling import Teller
from gateway.values import (
    Codec,
    DeviceAddress,
    EndedBy,
    Outcome,
    ReplyForm,
    TurnKind,
    TurnRecord,
    Utterance,
)
from gateway.wire.frame import FIRST_GATEWAY_TURN, Flag, Frame, FrameCodec, encode

UNPACED_MS = 24 * 3600 * 1000
"""What whoever asks in this process holds of a reply: all of it, as soon as it is made."""


@dataclass(frozen=True, slots=True)
class _Recording:
    """The utterance that is open."""

    turn: int
    started_at: datetime
    device: DeviceAddress
    opening: Opening


class Utterances:
    """At most one is open at a time; what begins one ends the turn before it."""

    def __init__(
        self,
        services: TurnServices,
        profile: Profile,
        assembler: Assembler,
        detection: Detection,
        admission: Admission,
        speculating: Speculating,
        floor: Floor,
        records: Records,
        teller: Teller,
    ) -> None:
        self._services = services
        self._profile = profile
        self._assembler = assembler
        self._detection = detection
        self._admission = admission
        self._speculating = speculating
        self._floor = floor
        self._records = records
        self._teller = teller
        self._open: _Recording | None = None

    @property
    def is_open(self) -> bool:
        """The device is speaking, or what it said is about to be answered."""
        return self._open is not None

    async def apply(self, steps: Sequence[Step], at: float) -> None:
        """Do what follows from what arrived `at` that moment of the monotonic clock."""
        for step in steps:
            match step:
                case Opened():
                    await self._begin(step.turn)
                case Paused():
                    if self._open is not None:
                        self._speculating.begin(step.utterance, self._open.opening)
                case Resumed():
                    self._speculating.drop()
                case Closed():
                    self._profile.spoke(step.utterance)
                    await self._answer(step.utterance.turn, step.utterance.reply_form, closed=step)
                case Cancelled():
                    if self._open is not None:
                        await self.drop()
                    else:
                        await self._floor.stop()
                case Refused():
                    await self._begin(step.turn)
                    await self._answer(step.turn, step.reply_form, fault=step.fault)
                case Rejected():
                    self._teller.tell(step.fault, step.turn)
                case NeedsSpeechProbability():
                    probabilities = await self._detection.probabilities(step)
                    await self.apply(self._assembler.hear(probabilities, at), at)

    async def answer_directly(self, question: DirectQuestion, turn: int, at: float) -> None:
        """Answer a question that did not come over MQTT. What the device said over MQTT stays how it speaks; what it is
        saying goes unanswered, as what it said before would."""
        if self._open is not None:
            await self.cut_off(at)
        await self._begin(turn)
        audio = question.audio
        utterance = Utterance(turn, ReplyForm.STREAM, Codec.FILE, 0, (audio,), EndedBy.MARKER, len(audio))
        await self._answer(turn, ReplyForm.STREAM, closed=Closed(utterance, 0.0, too_long=False), direct=question)

    async def drop(self) -> None:
        """End unanswered the utterance that is being recorded, if one is."""
        self._speculating.drop()
        if self._open is None:
            return
        recording = self._open
        admitted = await recording.opening.admitted()
        self._open = None
        record = TurnRecord(
            recording.device, recording.turn, TurnKind.SPEECH, Outcome.INTERRUPTED, recording.started_at
        )
        await self._records.end(record, admitted.epoch)

    async def cut_off(self, at: float) -> None:
        """End what is being said, unanswered, since something else comes that does not wait. A device that sends frames
        is told to drop its turn: it takes no other reply while it records."""
        if self._open is not None and self._open.turn < FIRST_GATEWAY_TURN:
            frame = Frame(self._open.turn, 0, Flag.CANCEL, FrameCodec.MP3, self._profile.limits.rate)
            with suppress(BrokerUnavailable):  # then nothing else is heard either
                await self._services.broker.publish(
                    self._profile.topic, encode(frame), qos=self._services.settings.mqtt_qos_out
                )
        await self.apply(self._assembler.cancel(), at)

    def conversation_erased(self) -> None:
        """What is being said belongs to a new conversation."""
        if self._open is not None:
            self._open.opening.ask_again()

    async def _begin(self, turn: int) -> None:
        await self._floor.conclude(flush=True)
        self._floor.cut_off_playing()
        self._speculating.open_utterance()
        self._open = _Recording(turn, self._services.now(), self._profile.address, self._admission.begin())
        self._services.emit(Listening(self._profile.address, turn))
        # Connections are opened while the person speaks.
        self._services.engines.prepare()

    async def _answer(
        self,
        turn: int,
        form: ReplyForm,
        *,
        closed: Closed | None = None,
        fault: DeviceFault | None = None,
        direct: DirectQuestion | None = None,
    ) -> None:
        opening = self._admission.begin() if self._open is None else self._open.opening
        admitted = await opening.admitted()
        request = self._profile.turn_request(
            admitted, turn, TurnKind.SPEECH, form, closed=closed, fault=fault, ahead=self._speculating.take()
        )
        if direct is not None:
            limits = replace(request.limits, payload=None, buffer_ms=UNPACED_MS)
            request = replace(request, limits=limits, send=direct.send)
        # Until here what was heard is still an open utterance: to end now is to end it, and that is told.
        self._open = None
        self._floor.start(request)
