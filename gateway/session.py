"""One device's session: its assembler, at most one running turn, and what waits for it. Barge-in lives here.

Everything that a device sends is handled in order by one task, the worker, which exists only while there is
something to do: a thousand idle devices cost no task. The session, not the turn, does what is left to do when a turn
is cancelled.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from gateway.engines.vad import SpeechDetector, SpeechStream
from gateway.errors import DeviceFault, EngineBusy, ErrorCode, SessionLimitReached, Stage, StoreError
from gateway.events import FORGET, Failed, Listening, PresenceChanged, SessionsErased, Thinking, TurnEnded
from gateway.limits import SlidingWindow
from gateway.pipeline.assemble import (
    Assembler,
    AssemblyLimits,
    Cancelled,
    Closed,
    NeedsSpeechProbability,
    Opened,
    Refused,
    Rejected,
    Step,
)
from gateway.pipeline.transmit import ReplyLimits
from gateway.pipeline.turn import Turn, TurnRequest, TurnServices
from gateway.store import CachedAnswer, CacheLimits
from gateway.values import DeviceAddress, DeviceId, Outcome, ReplyForm, TurnKind, TurnRecord
from gateway.wire.frame import FIRST_GATEWAY_TURN
from gateway.wire.messages import (
    Abort,
    Forget,
    Hello,
    Played,
    parse_control,
    parse_hello,
    parse_text,
)
from gateway.wire.topics import Leaf, Topics, largest_payload

log = logging.getLogger(__name__)

T = TypeVar("T")

CANCEL_WAIT_S = 3.0
"""A cancelled turn that has not ended by then is left behind; whatever it still sends is known by its number."""

RECORD_WAIT_S = 0.2
"""The next turn does not wait longer for the record of the last one; the store keeps their order."""

RECORD_PATIENCE_S = 3.0
"""A turn is told to be done after this even if its record is still not written, and that is told first."""

PENDING_TEXTS = 8
"""Texts of `say` and `ask` that may wait for the turn before them."""

NOTHING_HEARD = "…"
"""What stands in the conversation for a reply that was cut off before a word of it was heard."""

QUEUE_MAX_BYTES = 8 * 1024 * 1024
FAULT_WINDOW_S = 10.0
FAULTS_TOLD = 50
"""Errors of one device that are told in a window; a flood of them is told in part, with how many were not."""


@dataclass(frozen=True, slots=True)
class SessionServices:
    """What every session of the gateway works with."""

    turns: TurnServices
    topics: Topics
    detector: SpeechDetector
    count_overflow: Callable[[], None]


@dataclass(frozen=True, slots=True)
class _Pending:
    kind: TurnKind
    text: str
    language: str | None


@dataclass(frozen=True, slots=True)
class _Recording:
    """The utterance that is open. `refusal` is why it will not be answered: it is one too many."""

    turn: int
    started_at: datetime
    device: DeviceAddress
    refusal: DeviceFault | None


@dataclass(frozen=True, slots=True)
class _Playing:
    """The last turn, and until when (of the monotonic clock) the device plays what it holds of its reply."""

    turn: Turn
    record: TurnRecord
    until: float


@dataclass(frozen=True, slots=True)
class _Arrived:
    leaf: Leaf
    payload: bytes
    spelling: str
    at: float


@dataclass(frozen=True, slots=True)
class _ForgetAsked:
    done: "asyncio.Future[int | None]"


class Session:
    """What the gateway knows of one device while it runs. Conversations live in the store."""

    def __init__(self, device: DeviceId, spelling: str, services: SessionServices) -> None:
        self.id = device
        self._spelling = spelling
        self._spelling_is_own = False
        self._services = services
        settings = services.turns.settings
        self._settings = settings
        self._assembler = Assembler(
            AssemblyLimits(
                utterance_max_s=settings.utterance_max_s,
                message_max_bytes=settings.message_max_bytes,
                idle_limit_s=settings.idle_limit_s,
                end_of_speech_ms=settings.end_of_speech_ms,
            )
        )
        self._stream: SpeechStream | None = None
        self._stream_rate = 0
        self._hello: Hello | None = None
        self._known = False
        self._last_form: ReplyForm | None = None
        self._last_largest: int | None = None
        self._inbox: deque[_Arrived | _ForgetAsked] = deque()
        self._inbox_bytes = 0
        self._overflowing = False
        self._wake = asyncio.Event()
        self._worker: asyncio.Task[None] | None = None
        self._turn: Turn | None = None
        self._task: asyncio.Task[None] | None = None
        self._playing: _Playing | None = None
        self._open: _Recording | None = None
        self._pending: deque[_Pending] = deque()
        self._turn_starts = SlidingWindow(settings.turns_per_minute, 60.0)
        self._faults = SlidingWindow(FAULTS_TOLD, FAULT_WINDOW_S)
        self._writes: set[asyncio.Task[Any]] = set()

    # From outside

    @property
    def idle(self) -> bool:
        """True when the session may be put away without anything being lost but its device's last form."""
        return self._worker is None and not self._writes

    @property
    def address(self) -> DeviceAddress:
        return DeviceAddress(self.id, self._spelling)

    def post(self, leaf: Leaf, payload: bytes, spelling: str) -> None:
        """Take a message of the device for its worker; beyond the bounds it is dropped, counted and told once."""
        # One alone is taken whatever its size, so that the device hears that it is too large.
        too_many_bytes = bool(self._inbox) and self._inbox_bytes + len(payload) > QUEUE_MAX_BYTES
        if len(self._inbox) >= self._settings.queue_messages or too_many_bytes:
            self._services.count_overflow()
            if not self._overflowing:
                self._overflowing = True
                message = f"more than {len(self._inbox)} messages wait; newer ones are dropped"
                self._tell(DeviceFault(ErrorCode.BUSY, Stage.RECEIVE, message, retryable=True))
            return
        self._inbox_bytes += len(payload)
        self._inbox.append(_Arrived(leaf, payload, spelling, self._now()))
        self._stir()

    async def forget(self) -> int | None:
        """Erase the conversation; return how many messages it had, or None if there was none.

        Raises:
            StoreError: it could not be erased.
        """
        done: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
        self._inbox.append(_ForgetAsked(done))
        self._stir()
        return await done

    async def close(self) -> None:
        """End what runs: a reply that is being spoken gets its end, and its record is written."""
        if self._worker is not None:
            self._worker.cancel()
            await asyncio.wait({self._worker}, timeout=CANCEL_WAIT_S)
        await self._drop_utterance()
        await self._interrupt(flush=False)
        if self._writes:
            await asyncio.wait(self._writes, timeout=CANCEL_WAIT_S)

    # The worker

    def _stir(self) -> None:
        self._wake.set()
        if self._worker is None:
            self._worker = asyncio.create_task(self._work(), name=f"session {self.id}")

    async def _work(self) -> None:
        try:
            while await self._guarded_step():
                pass
        finally:
            self._worker = None

    async def _guarded_step(self) -> bool:
        """Do one thing; False when there is nothing left to do or to wait for. A defect ends only what it hit."""
        try:
            return await self._step()
        except Exception:
            log.exception("session %s: an unexpected defect", self.id)
            self._tell(DeviceFault(ErrorCode.INTERNAL, Stage.RECEIVE, "an unexpected defect; see the log"))
            return True

    async def _step(self) -> bool:
        self._wake.clear()
        now = self._now()
        deadline = self._assembler.deadline
        if self._task is not None and self._task.done():
            await self._interrupt(flush=False)
        elif self._inbox:
            await self._handle(self._inbox.popleft())
            # Told again only after the queue has been empty, not whenever one place in it was free.
            self._overflowing = self._overflowing and bool(self._inbox)
        elif deadline is not None and deadline <= now:
            await self._apply(self._assembler.tick(now), now)
        elif self._pending and self._task is None and self._open is None and self._played_out_at <= now:
            await self._start_pending(self._pending.popleft())
        elif self._task is None and deadline is None and not self._pending:
            return False
        else:
            if self._pending and self._task is None and self._open is None:
                deadline = min(self._played_out_at, self._played_out_at if deadline is None else deadline)
            try:
                async with asyncio.timeout(None if deadline is None else deadline - now):
                    await self._wake.wait()
            except TimeoutError:
                pass
        return True

    @property
    def _played_out_at(self) -> float:
        """When the device has played what it holds of the last reply. A text that follows it waits until then: the
        device could not hold both, and might take the new reply for the end of the old."""
        return self._playing.until if self._playing is not None else 0.0

    async def _handle(self, item: _Arrived | _ForgetAsked) -> None:
        if isinstance(item, _ForgetAsked):
            await self._get_to_know()
            await self._answer_forget(item.done)
            return
        self._inbox_bytes -= len(item.payload)
        if item.leaf in (Leaf.IN, Leaf.HELLO, Leaf.ONLINE):
            self._spelling = item.spelling
            self._spelling_is_own = True
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
            self._tell_store(exc)
            return
        self._known = True
        self._last_form, self._last_largest = before.reply_form, before.largest_message
        if before.number is not None:
            self._assembler.continue_after(before.number)
        if known is None:
            return
        if not self._spelling_is_own and known.spelling:
            self._spelling = known.spelling
        if self._hello is None and known.device_info:
            try:
                self._hello = parse_hello(known.device_info)
            except DeviceFault as fault:
                log.warning("session %s: what is stored of its hello is not usable: %s", self.id, fault.message)

    # What arrives

    async def _on_audio(self, arrived: _Arrived) -> None:
        await self._apply(self._assembler.receive(arrived.payload, arrived.at), arrived.at)

    async def _on_hello(self, arrived: _Arrived) -> None:
        payload = arrived.payload
        if len(payload) > self._settings.hello_max_bytes:
            raise _too_large("hello", len(payload), self._settings.hello_max_bytes)
        self._hello = parse_hello(payload)
        if self._hello.ignored:
            message = f"hello: taken without {'; '.join(self._hello.ignored)}"
            self._tell(DeviceFault(ErrorCode.BAD_JSON, Stage.RECEIVE, message))
        self._assembler.hello_said(self._hello.rate)
        turns = self._services.turns
        try:
            await turns.store.save_device_info(
                self.address, self._hello.raw, self._settings.sessions_max, _utc(turns.now())
            )
        except SessionLimitReached as exc:
            raise DeviceFault(ErrorCode.BUSY, Stage.STORE, str(exc)) from exc
        except StoreError as exc:
            self._tell_store(exc)

    async def _on_online(self, arrived: _Arrived) -> None:
        payload = arrived.payload
        if payload not in (b"online", b"offline"):
            raise DeviceFault(ErrorCode.BAD_JSON, Stage.RECEIVE, "the online topic takes the text online or offline")
        self._services.turns.emit(PresenceChanged(self.address, online=payload == b"online"))

    async def _on_control(self, arrived: _Arrived) -> None:
        payload = arrived.payload
        if len(payload) > self._settings.hello_max_bytes:
            raise _too_large("control", len(payload), self._settings.hello_max_bytes)
        match parse_control(payload):
            case Abort():
                self._pending.clear()
                await self._apply(self._assembler.cancel(), arrived.at)
                await self._stop()
            case Played() as played:
                self._note_played(played)
            case Forget():
                await self._forget()

    def _note_played(self, played: Played) -> None:
        answering = self._turn or (self._playing.turn if self._playing else None)
        if answering is None or answering.number != played.turn:
            return
        if played.seq is not None:
            answering.played(played.seq)
        if played.end and self._turn is None:
            self._playing = None

    async def _on_say(self, arrived: _Arrived) -> None:
        self._queue_text(TurnKind.SAY, arrived.payload)

    async def _on_ask(self, arrived: _Arrived) -> None:
        self._queue_text(TurnKind.ASK, arrived.payload)

    _handlers: dict[Leaf, Callable[["Session", _Arrived], Awaitable[None]]] = {  # noqa: RUF012 - never changed
        Leaf.IN: _on_audio,
        Leaf.HELLO: _on_hello,
        Leaf.ONLINE: _on_online,
        Leaf.CONTROL: _on_control,
        Leaf.SAY: _on_say,
        Leaf.ASK: _on_ask,
    }

    def _queue_text(self, kind: TurnKind, payload: bytes) -> None:
        request = parse_text(payload, self._settings.text_max_chars)
        if len(self._pending) >= PENDING_TEXTS:
            raise DeviceFault(
                ErrorCode.BUSY, Stage.RECEIVE, f"{PENDING_TEXTS} texts wait to be spoken already", retryable=True
            )
        self._pending.append(_Pending(kind, request.text, request.language))

    # Steps of the assembler

    async def _apply(self, steps: Sequence[Step], at: float) -> None:
        """Do what follows from what arrived `at` that moment."""
        for step in steps:
            match step:
                case Opened():
                    await self._open_utterance(step.turn)
                case Closed():
                    await self._start_heard(step)
                case Cancelled():
                    if self._open is not None:
                        await self._drop_utterance()
                    else:
                        await self._stop()
                case Refused():
                    await self._open_utterance(step.turn)
                    await self._start(step.turn, TurnKind.SPEECH, step.reply_form, None, fault=step.fault)
                case Rejected():
                    self._tell(step.fault, step.turn)
                case NeedsSpeechProbability():
                    probabilities = await self._speech_probabilities(step)
                    await self._apply(self._assembler.hear(probabilities, at), at)

    async def _speech_probabilities(self, step: NeedsSpeechProbability) -> list[float]:
        stream = self._speech_stream(step.rate)
        if step.fresh:
            stream.reset()
        try:
            return await stream.probabilities(step.pcm)
        except EngineBusy as exc:
            # Taken for silence: the utterance still ends, by its empty message or a limit.
            stream.reset()
            self._tell(DeviceFault(ErrorCode.BUSY, Stage.RECEIVE, exc.message, retryable=True))
            return [0.0] * step.windows

    def _speech_stream(self, rate: int) -> SpeechStream:
        if self._stream is None or self._stream_rate != rate:
            self._stream = self._services.detector.stream(rate)
            self._stream_rate = rate
        return self._stream

    async def _open_utterance(self, turn: int) -> None:
        await self._interrupt(flush=True)
        self._cut_off_playing()
        self._open = _Recording(turn, self._services.turns.now(), self.address, self._over_rate())
        self._services.turns.emit(Listening(self.address, turn))

    async def _drop_utterance(self) -> None:
        """End unanswered the utterance that is being recorded, if one is."""
        if self._open is None:
            return
        recording = self._open
        # One too many in a minute leaves no trace: a device that only ever begins could fill the database.
        epoch = None if recording.refusal else (await self._open_session())[0]
        self._open = None
        record = TurnRecord(
            recording.device, recording.turn, TurnKind.SPEECH, Outcome.INTERRUPTED, recording.started_at
        )
        await self._record(record, epoch)

    # Turns

    async def _start_heard(self, closed: Closed) -> None:
        utterance = closed.utterance
        self._last_form = utterance.reply_form
        self._last_largest = utterance.largest_message
        await self._start(utterance.turn, TurnKind.SPEECH, utterance.reply_form, None, closed=closed)

    async def _start_pending(self, pending: _Pending) -> None:
        turn = self._assembler.take_gateway_turn()
        form = self._last_form or (ReplyForm.FRAMES if self._hello is not None else ReplyForm.MESSAGE)
        await self._start(turn, pending.kind, form, pending.language, text=pending.text)

    async def _start(
        self,
        number: int,
        kind: TurnKind,
        form: ReplyForm,
        language: str | None,
        *,
        closed: Closed | None = None,
        text: str = "",
        fault: DeviceFault | None = None,
    ) -> None:
        over_rate = self._open.refusal if self._open is not None else self._over_rate()
        epoch, refusal = (None, over_rate) if over_rate else await self._open_session()
        hello = self._hello
        topic = self._services.topics.device(self._spelling, Leaf.OUT)
        request = TurnRequest(
            number=number,
            kind=kind,
            device=self.address,
            reply_form=form,
            limits=self._limits(topic),
            topic=topic,
            name=(hello.name if hello else None) or self.id,
            epoch=epoch,
            language=language or (hello.language if hello else None),
            utterance=closed.utterance if closed else None,
            text=text,
            largest_message=self._last_largest,
            received_ms=round(closed.received_s * 1000) if closed else None,
            too_long=closed.too_long if closed else False,
            fault=fault or refusal,
        )
        self._turn = Turn(self._services.turns, request)
        # Until here what was heard is still an open utterance: to end now is to end it, and that is told.
        self._open = None
        self._services.turns.emit(Thinking(self.address, number))
        self._task = asyncio.create_task(self._turn.run(), name=f"turn {number:#06x} of {self.id}")
        self._task.add_done_callback(lambda _: self._wake.set())

    def _limits(self, topic: str) -> ReplyLimits:
        settings, hello = self._settings, self._hello
        payload = self._last_largest
        if hello is not None and hello.max_packet is not None:
            payload = largest_payload(hello.max_packet, topic, settings.mqtt_qos_out)
        return ReplyLimits(
            payload=payload,
            buffer_ms=(hello.buffer_ms if hello else None) or settings.reply_buffer_ms,
            rate=(hello.reply_rate if hello else None) or settings.reply_rate,
            bitrate_kbps=(hello.reply_bitrate_kbps if hello else None) or settings.reply_bitrate_kbps,
        )

    def _over_rate(self) -> DeviceFault | None:
        if self._turn_starts.allows(self._now()):
            return None
        message = f"more than {self._settings.turns_per_minute} turns in a minute; wait a little"
        return DeviceFault(ErrorCode.RATE_LIMITED, Stage.RECEIVE, message, retryable=True)

    async def _open_session(self) -> tuple[int | None, DeviceFault | None]:
        """Return the conversation's epoch (None: it cannot be kept), and why the turn must be refused, if so."""
        turns = self._services.turns
        try:
            return await turns.store.open_session(self.address, self._settings.sessions_max, _utc(turns.now())), None
        except SessionLimitReached as exc:
            return None, DeviceFault(ErrorCode.BUSY, Stage.STORE, str(exc))
        except StoreError as exc:
            self._tell_store(exc)
            return None, None

    async def _interrupt(self, *, flush: bool) -> None:
        """End the running turn, if there is one, and conclude it; one that has ended by itself is only concluded."""
        if self._turn is None or self._task is None:
            return
        turn, task = self._turn, self._task
        if not task.done():
            task.cancel()
            await asyncio.wait({task}, timeout=CANCEL_WAIT_S)
        if not task.done() or task.cancelled():
            await turn.interrupt(flush=flush)
        elif (defect := task.exception()) is not None:
            log.error("turn %d of %s broke", turn.number, self.id, exc_info=defect)
            turn.broke()
            await turn.interrupt(flush=flush)
        self._turn = self._task = None
        record, answer = turn.record(), turn.answer
        turn.release()
        self._playing = _Playing(turn, record, self._now() + turn.held_s)
        await self._record(record, turn.epoch, answer)

    async def _stop(self) -> None:
        """End the running turn or, if none runs, what the device still plays of the last reply."""
        if self._turn is not None:
            await self._interrupt(flush=True)
        elif self._playing is not None and self._now() < self._playing.until:
            await self._playing.turn.recall()
            self._cut_off_playing()

    def _cut_off_playing(self) -> None:
        """Correct what is remembered of a reply that was sent whole, if it is cut off while the device plays it and
        the device has said how far it came."""
        playing, self._playing = self._playing, None
        if playing is None or playing.record.outcome is not Outcome.COMPLETED or playing.until <= self._now():
            return
        said = playing.turn.heard_of_reply()
        if said is not None and playing.turn.epoch is not None:
            self._write_soon(self._amend(playing.record, playing.turn.epoch, said or NOTHING_HEARD))

    async def _amend(self, record: TurnRecord, epoch: int, said: str) -> None:
        try:
            await self._services.turns.store.amend_reply(record, epoch, said)
        except StoreError as exc:
            self._tell_store(exc)

    async def _record(self, record: TurnRecord, epoch: int | None, answer: CachedAnswer | None = None) -> None:
        write = self._write_soon(self._write(record, epoch, answer))
        await asyncio.wait({write}, timeout=RECORD_WAIT_S)

    def _write_soon(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Write beside everything else; the store keeps the order."""
        write = asyncio.create_task(work, name=f"write for {self.id}")
        self._writes.add(write)
        write.add_done_callback(self._writes.discard)
        return write

    async def _write(self, record: TurnRecord, epoch: int | None, answer: CachedAnswer | None) -> None:
        """Write the record, then tell that the turn is over: what was told to be done survives a crash, unless the
        database hangs, which is told before."""
        erased = False
        try:
            if epoch is not None:
                erased = await self._written(record, epoch, answer)
        except StoreError as exc:
            self._tell_store(exc)
        finally:
            self._services.turns.emit(TurnEnded(record))
        if erased:
            # By another process, while the turn ran: then its words are not to stay in the device's state either.
            self._services.turns.emit(SessionsErased((record.device,), FORGET))

    async def _written(self, record: TurnRecord, epoch: int, answer: CachedAnswer | None) -> bool:
        """Write a turn and the answer to be kept; True if its conversation was erased meanwhile.

        Raises:
            StoreError: it was refused, or is still not written after `RECORD_PATIENCE_S`; then it may be later.
        """
        writing = self._write_soon(self._services.turns.store.record_turn(record, epoch))
        await asyncio.wait({writing}, timeout=RECORD_PATIENCE_S)
        if not writing.done():
            writing.add_done_callback(_tell_late_failure)
            raise StoreError(f"turn {record.turn} is not written after {RECORD_PATIENCE_S:g} s; it may be later")
        erased = not writing.result()
        if answer is not None and not erased:
            await self._keep_answer(record, epoch, answer)
        return erased

    async def _keep_answer(self, record: TurnRecord, epoch: int, answer: CachedAnswer) -> None:
        """Keep an answer for the next time that this device asks the same."""
        settings, turns = self._settings, self._services.turns
        limits = CacheLimits(settings.cache_ttl_s, settings.cache_session_entries, settings.cache_max_mb * 1024 * 1024)
        await turns.store.cache_answer(self.id, epoch, record.heard, record.language, answer, limits, _utc(turns.now()))

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
        await self._interrupt(flush=True)
        if self._writes:
            await asyncio.wait(self._writes, timeout=CANCEL_WAIT_S)
        erased = await self._services.turns.store.forget(self.id)
        self._services.turns.emit(SessionsErased((self.address,), FORGET))
        return None if erased is None else erased.message_count

    # Telling

    def _tell(self, fault: DeviceFault, turn: int | None = None) -> None:
        """Report a fault."""
        if not self._faults.allows(self._now()):
            return
        untold = self._faults.take_refused()
        message = fault.message + (f" (and {untold} errors before it that were not told)" if untold else "")
        self._services.turns.emit(Failed(self.address, turn, fault.code, fault.stage, message, fault.retryable))

    def _tell_store(self, error: StoreError) -> None:
        self._tell(DeviceFault(ErrorCode.STORE_FAILED, Stage.STORE, str(error), retryable=True))

    def _now(self) -> float:
        return self._services.turns.monotonic()


def _utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC)


def _tell_late_failure(writing: "asyncio.Task[Any]") -> None:
    if not writing.cancelled() and (error := writing.exception()) is not None:
        log.warning("a record that was late could not be written: %s", error)


def _too_large(what: str, size: int, limit: int) -> DeviceFault:
    return DeviceFault(ErrorCode.BAD_JSON, Stage.RECEIVE, f"{what} of {size} bytes is larger than {limit}")
