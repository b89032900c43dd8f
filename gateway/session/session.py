"""One device's session: its worker, what arrives for it, and what waits for the floor.

Everything that a device sends is handled in order by one task, the worker, which exists only while there is
something to do: a thousand idle devices cost no task.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from gateway.engines.vad import SpeechDetector
from gateway.errors import DeviceFault, ErrorCode, SessionLimitReached, Stage, StoreError
from gateway.events import FORGET, HelloSaid, PresenceChanged, SessionsErased
from gateway.pipeline.assemble import Assembler, AssemblyLimits
from gateway.pipeline.speculation import SpeculationCounts
from gateway.pipeline.turn_request import TurnServices
from gateway.session.admission import Admission
from gateway.session.announcing import Announcing, new_announcement_id
from gateway.session.detection import Detection
from gateway.session.direct import DirectQuestion
from gateway.session.floor import CANCEL_WAIT_S, Floor
from gateway.session.inbox import AnnounceAsked, Arrived, Asked, ForgetAsked, Inbox, Item, Request
from gateway.session.profile import Profile
from gateway.session.records import Records
from gateway.session.speculating import Speculating, listens_for_pauses
from gateway.session.telling import Teller
from gateway.session.utterances import Utterances
from gateway.session.worker import Worker
from gateway.values import Announcement, DeviceAddress, DeviceId, TurnKind, end_of_speech_ms
from gateway.wire.announcements import parse_text
from gateway.wire.frame import FIRST_GATEWAY_TURN
from gateway.wire.messages import Abort, Forget, Played, parse_control, parse_hello
from gateway.wire.topics import Leaf, Topics

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SessionServices:
    """What every session of the gateway works with."""

    turns: TurnServices
    topics: Topics
    detector: SpeechDetector
    speculation: SpeculationCounts
    count_overflow: Callable[[], None]
    told: Callable[[], Awaitable[None]]
    """Waits until what has been emitted so far is published, or for a little while."""


class Session:
    """What the gateway knows of one device while it runs. Conversations live in the store."""

    def __init__(self, device: DeviceId, spelling: str, services: SessionServices) -> None:
        self.id = device
        self._services = services
        settings = services.turns.settings
        self._settings = settings
        self._profile = Profile(device, spelling, settings, services.topics)
        self._assembler = Assembler(
            AssemblyLimits(
                utterance_max_s=settings.utterance_max_s,
                message_max_bytes=settings.message_max_bytes,
                idle_limit_s=settings.idle_limit_s,
                end_of_speech_ms=end_of_speech_ms(settings.end_of_speech),
                pauses=listens_for_pauses(services.turns),
            )
        )
        self._known = False
        self._inbox = Inbox(settings.queue_messages)
        self._worker = Worker(f"session {device}", self._step, self._log_defect)
        self._teller = Teller(lambda: self.address, services.turns.emit, services.turns.monotonic)
        self._detection = Detection(services.detector, self._teller)
        self._admission = Admission(services.turns, lambda: self.address, self._teller)
        self._speculating = Speculating(services.turns, self._profile, services.speculation)
        self._records = Records(services.turns, self._teller)
        self._floor = Floor(services.turns, self._records, self._worker.wake)
        self._utterances = Utterances(
            services.turns,
            self._profile,
            self._assembler,
            self._detection,
            self._admission,
            self._speculating,
            self._floor,
            self._records,
            self._teller,
        )
        self._announcing = Announcing(
            services.turns,
            self._profile,
            self._assembler,
            self._admission,
            self._utterances,
            self._floor,
            services.told,
        )

    # From outside

    @property
    def idle(self) -> bool:
        """True when the session may be put away without anything being lost but its device's last form."""
        return not self._worker.works and not self._records.writing

    @property
    def address(self) -> DeviceAddress:
        return self._profile.address

    def post(self, leaf: Leaf, payload: bytes, spelling: str) -> None:
        """Take a message of the device for its worker; beyond the bounds it is dropped, counted and told once."""
        if not self._inbox.put(Arrived(leaf, payload, spelling, self._now())):
            self._services.count_overflow()
            if self._inbox.first_overflow():
                message = f"more than {len(self._inbox)} messages wait; newer ones are dropped"
                self._tell(DeviceFault(ErrorCode.BUSY, Stage.RECEIVE, message, retryable=True))
            return
        self._worker.stir()

    async def forget(self) -> int | None:
        """Erase the conversation; return how many messages it had, or None if there was none.

        Raises:
            StoreError: it could not be erased.
        """
        done: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
        self._take_request(ForgetAsked(done))
        return await done

    def ask(self, question: DirectQuestion) -> None:
        """Have a question answered that comes not over MQTT; it interrupts as any other does."""
        question.handed_to(lambda: self._take_request(Asked(question)))
        self._take_request(Asked(question))

    async def announce(self, announcement: Announcement) -> str | None:
        """Have the device speak; return why it will not, if there is no room for it."""
        done: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        self._take_request(AnnounceAsked(announcement, done))
        return await done

    def _take_request(self, asked: Request) -> None:
        self._inbox.put_request(asked)
        self._worker.stir()

    async def close(self) -> None:
        """End what runs: a reply that is being spoken gets its end, and its record is written."""
        await self._worker.close(CANCEL_WAIT_S)
        await self._utterances.drop()
        await self._floor.conclude(flush=False)
        self._floor.let_go()
        self._announcing.drop("the gateway ended")
        await self._records.settle(CANCEL_WAIT_S)

    # The worker

    async def _step(self) -> bool:
        """Do one thing, or wait for one; False when there is nothing left to do or to wait for."""
        if self._floor.ended:
            await self._floor.conclude(flush=False)
            return True
        if self._inbox:
            await self._handle(self._inbox.take())
            return True
        now = self._now()
        deadline = self._assembler.deadline
        if deadline is not None and deadline <= now:
            await self._utterances.apply(self._assembler.tick(now), now)
            return True
        self._floor.note_heard_out()
        if await self._announcing.step(now):
            return True
        moments = [at for at in (deadline, self._floor.heard_out_at, self._announcing.next_at) if at is not None]
        if self._floor.free and not moments:
            self._detection.release()
            return False
        await self._worker.wait(min(moments, default=None), now)
        return True

    def _log_defect(self, defect: Exception) -> None:
        """A defect ends only what it hit."""
        log.error("session %s: an unexpected defect", self.id, exc_info=defect)
        self._tell(DeviceFault(ErrorCode.INTERNAL, Stage.RECEIVE, "an unexpected defect; see the log"))

    async def _handle(self, item: Item) -> None:
        if isinstance(item, ForgetAsked):
            await self._get_to_know()
            await self._answer_forget(item.done)
            return
        if isinstance(item, AnnounceAsked):
            await self._get_to_know()
            if not item.done.done():  # else whoever asked has gone, and counts on nothing
                item.done.set_result(self._announcing.put(item.announcement))
            return
        if isinstance(item, Asked):
            await self._get_to_know()
            await self._answer_directly(item.question)
            return
        if item.leaf in (Leaf.IN, Leaf.HELLO, Leaf.ONLINE):
            self._profile.spells_itself(item.spelling)
        await self._get_to_know()
        try:
            await self._handlers[item.leaf](self, item)
        except DeviceFault as fault:
            self._tell(fault)

    async def _get_to_know(self) -> None:
        """Recall once what the store knows of the device, so that it is served right before it speaks up."""
        if self._known:
            return
        try:
            known = await self._services.turns.store.session(self.id)
            before = await self._services.turns.store.recollect(self.id, FIRST_GATEWAY_TURN)
        except StoreError as exc:
            # Tried again with the next message.
            self._teller.tell_store(exc)
            return
        self._known = True
        self._profile.recall(known, before)
        self._tell_assembler()
        if before.number is not None:
            self._assembler.continue_after(before.number)

    def _tell_assembler(self) -> None:
        if (hello := self._profile.hello) is not None:
            self._assembler.hello_said(hello.rate, hello.end_of_speech)

    # What arrives

    async def _on_audio(self, arrived: Arrived) -> None:
        # Whoever speaks is there, whatever a will said.
        self._announcing.device_is_offline = False
        await self._utterances.apply(self._assembler.receive(arrived.payload, arrived.at), arrived.at)

    async def _on_hello(self, arrived: Arrived) -> None:
        payload = arrived.payload
        if len(payload) > self._settings.hello_max_bytes:
            raise _too_large("hello", len(payload), self._settings.hello_max_bytes)
        hello = parse_hello(payload)
        self._profile.said_hello(hello)
        self._services.turns.emit(HelloSaid(self.address, hello.raw))
        # The language may be another now.
        self._speculating.drop()
        if hello.ignored:
            message = f"hello: taken without {'; '.join(hello.ignored)}"
            self._tell(DeviceFault(ErrorCode.BAD_JSON, Stage.RECEIVE, message))
        self._tell_assembler()
        turns = self._services.turns
        try:
            await turns.store.save_device_info(self.address, hello.raw, self._settings.sessions_max, _utc(turns.now()))
        except SessionLimitReached as exc:
            raise DeviceFault(ErrorCode.BUSY, Stage.STORE, str(exc)) from exc
        except StoreError as exc:
            self._teller.tell_store(exc)

    async def _on_online(self, arrived: Arrived) -> None:
        payload = arrived.payload
        if payload not in (b"online", b"offline"):
            raise DeviceFault(ErrorCode.BAD_JSON, Stage.RECEIVE, "the online topic takes the text online or offline")
        self._announcing.device_is_offline = payload == b"offline"
        self._services.turns.emit(PresenceChanged(self.address, online=payload == b"online"))

    async def _on_control(self, arrived: Arrived) -> None:
        payload = arrived.payload
        if len(payload) > self._settings.hello_max_bytes:
            raise _too_large("control", len(payload), self._settings.hello_max_bytes)
        match parse_control(payload):
            case Abort():
                self._announcing.drop("the device was told to stop")
                await self._utterances.apply(self._assembler.cancel(), arrived.at)
                await self._floor.stop()
            case Played() as played:
                self._floor.note_played(played)
            case Forget():
                await self._forget()

    async def _on_say(self, arrived: Arrived) -> None:
        self._announce(TurnKind.SAY, arrived.payload)

    async def _on_ask(self, arrived: Arrived) -> None:
        self._announce(TurnKind.ASK, arrived.payload)

    _handlers: dict[Leaf, Callable[["Session", Arrived], Awaitable[None]]] = {  # noqa: RUF012 - never changed
        Leaf.IN: _on_audio,
        Leaf.HELLO: _on_hello,
        Leaf.ONLINE: _on_online,
        Leaf.CONTROL: _on_control,
        Leaf.SAY: _on_say,
        Leaf.ASK: _on_ask,
    }

    def _announce(self, kind: TurnKind, payload: bytes) -> None:
        spoken = parse_text(payload, self._settings.text_max_chars)
        ttl_s = self._settings.announcement_ttl_s
        refusal = self._announcing.put(spoken.announcement(kind, new_announcement_id(), ttl_s))
        if refusal is not None:
            raise DeviceFault(ErrorCode.BUSY, Stage.RECEIVE, refusal, retryable=True)

    async def _answer_directly(self, question: DirectQuestion) -> None:
        if not question.left:
            question.turn = self._assembler.take_gateway_turn()
            try:
                await self._utterances.answer_directly(question, question.turn, self._now())
            except BaseException:
                # No turn has it: whoever asked would wait for ever.
                question.end()
                raise
        elif question.turn is not None and question.turn == self._floor.number:
            await self._floor.stop()

    # Erasing

    async def _answer_forget(self, done: "asyncio.Future[int | None]") -> None:
        try:
            result = await self._forget()
        except Exception as exc:
            if not done.done():
                done.set_exception(exc)
            if not isinstance(exc, StoreError):
                raise
            return
        if not done.done():
            done.set_result(result)

    async def _forget(self) -> int | None:
        self._speculating.drop()
        await self._floor.conclude(flush=True)
        await self._records.settle(CANCEL_WAIT_S)
        erased = await self._services.turns.store.forget(self.id)
        self._utterances.conversation_erased()
        self._services.turns.emit(SessionsErased((self.address,), FORGET))
        return None if erased is None else erased.message_count

    def _tell(self, fault: DeviceFault, turn: int | None = None) -> None:
        self._teller.tell(fault, turn)

    def _now(self) -> float:
        return self._services.turns.monotonic()


def _utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC)


def _too_large(what: str, size: int, limit: int) -> DeviceFault:
    return DeviceFault(ErrorCode.BAD_JSON, Stage.RECEIVE, f"{what} of {size} bytes is larger than {limit}")
