"""One turn: hear, reply, speak, transmit, each beginning while the one before still goes on.

A turn is a task of its Session, which alone may cancel it and which then does what is left to do (tell the device,
write the record): see `Turn.interrupt`. Whatever goes wrong inside, the device hears something and its reply ends.
"""

import asyncio
import logging
import re
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import datetime

from gateway.audio import Pcm
from gateway.broker.protocol import Broker
from gateway.config import Settings
from gateway.engines.clips import THINKING
from gateway.engines.encoder import Mp3Encoder
from gateway.engines.registry import Engines
from gateway.errors import (
    BrokerUnavailable,
    DeviceFault,
    ErrorCode,
    ReportableError,
    Stage,
    StageFailed,
    StoreError,
)
from gateway.events import EnginePassedOver, Event, Failed, SentenceReady, Speaking, Transcribed
from gateway.pipeline import hear
from gateway.pipeline.ahead import Synthesis, one_ahead
from gateway.pipeline.reply import REPLY_MAX_CHARS, next_request
from gateway.pipeline.sentences import SentenceCutter
from gateway.pipeline.speak import ReplyAudio
from gateway.pipeline.speculation import Speculation
from gateway.pipeline.transmit import AudioPipe, ReplyLimits, Transmitter
from gateway.store import CachedAnswer, OpenConversation, Store, input_hash
from gateway.values import (
    DeviceAddress,
    EndedBy,
    LinkCounts,
    Outcome,
    ReplyForm,
    Timings,
    Transcript,
    TurnKind,
    TurnRecord,
    Utterance,
)

log = logging.getLogger(__name__)

PIECES_AHEAD = 64
"""Pieces of text that may wait to be spoken; the model is read no further meanwhile."""

THINKING_EVERY_S = 4.0
"""While an answer is late the thinking sound comes again: a device gives up a reply that has begun and then stops."""

AUTO_LANGUAGE = "auto"
FALLBACK_LANGUAGE = "es"
"""What is spoken when the language is to be detected and nothing has been heard yet."""


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
    name: str
    conversation: OpenConversation | None = None
    language: str | None = None
    utterance: Utterance | None = None
    text: str = ""
    received_ms: int | None = None
    largest_message: int | None = None
    too_long: bool = False
    fault: DeviceFault | None = None
    ahead: Speculation | None = None
    """What was recognised of the utterance, all that is speech in it, before its end was certain."""


class Turn:
    """Answers one request. `run` never raises for what goes wrong in it; it may be cancelled at any moment."""

    def __init__(self, services: TurnServices, request: TurnRequest) -> None:
        self._services = services
        self._request = request
        self.number = request.number
        self.device = request.device
        self.epoch = request.conversation.epoch if request.conversation else None
        self._began = services.monotonic()
        self._started_at = services.now()
        self._language = self._wanted_language() or FALLBACK_LANGUAGE
        self._heard = ""
        self._outcome = Outcome.COMPLETED
        self._error: ErrorCode | None = None
        self._cached = False
        self._played_ms: float | None = None
        self._timings = Timings(received=request.received_ms)
        encoder = services.encoder(request.limits.rate, request.limits.bitrate_kbps)
        self._limits = replace(request.limits, bitrate_kbps=encoder.bitrate_kbps)
        self._pipe = AudioPipe()
        self._audio = ReplyAudio(services.engines.tts, encoder, self._pipe, self._note_first_audio)
        self._transmitter = Transmitter(
            self._publish, request.reply_form, request.number, self._limits, services.monotonic
        )

    async def run(self) -> None:
        """Do the whole turn."""
        try:
            async with asyncio.TaskGroup() as tasks:
                name = f"turn {self.number:#06x} of {self.device.id}"
                tasks.create_task(self._transmitter.run(self._pipe, self._note_sent), name=f"send {name}")
                await self._produce()
        except* BrokerUnavailable as group:
            self._fail(StageFailed(ErrorCode.INTERNAL, Stage.SEND, str(group.exceptions[0]), retryable=True))
            await self._end_reply(flush=False)
        finally:
            self._audio.close()
        if self._transmitter.no_room and self._error is None:
            message = f"no audio fits in messages of {self._limits.payload} bytes, which is all that the device takes"
            self._fail(StageFailed(ErrorCode.INTERNAL, Stage.SEND, message))
        self._timings = replace(self._timings, total=self._elapsed_ms())

    async def interrupt(self, *, flush: bool) -> None:
        """End the reply of this turn after its task was cancelled: `flush` makes the device drop what it holds."""
        if self._error is None:
            self._outcome = Outcome.INTERRUPTED
        self._timings = replace(self._timings, total=self._elapsed_ms())
        await self._end_reply(flush=flush)

    def broke(self) -> None:
        """Note that the task of this turn ended by a defect."""
        self._fail(StageFailed(ErrorCode.INTERNAL, Stage.TURN, "an unexpected defect; see the log"))

    def played(self, seq: int) -> None:
        """Note that the device has played its reply up to the chunk `seq`."""
        self._played_ms = self._transmitter.played_ms(seq)

    @property
    def held_s(self) -> float:
        """Seconds of the reply that the device holds and has not played yet."""
        return self._transmitter.held_s

    async def recall(self) -> None:
        """Make the device drop what it still holds of the reply, which has been sent whole."""
        try:
            await self._transmitter.recall()
        except BrokerUnavailable as exc:
            log.debug("turn %d could not be recalled: %s", self.number, exc)

    def release(self) -> None:
        """Let go of the audio; what `played` and `recall` need stays until the next turn."""
        if self._request.ahead is not None:
            self._request.ahead.drop()
        self._request = replace(self._request, utterance=None, ahead=None)
        self._audio.release()
        self._pipe.clear()

    def heard_of_reply(self) -> str | None:
        """What the device says that it has played of the reply; None if it says nothing, or that it was all."""
        if self._played_ms is None or self._played_ms >= self._transmitter.sent_ms:
            return None
        return self._audio.text_until(self._played_ms)

    def record(self) -> TurnRecord:
        """Return what there is to say of the turn, which has ended."""
        if self._outcome is Outcome.INTERRUPTED:
            said = self._audio.text_until(self._transmitter.sent_ms if self._played_ms is None else self._played_ms)
        elif self._outcome is Outcome.COMPLETED:
            said = self._audio.text
        else:
            said = self._audio.text_until(self._transmitter.sent_ms)
        return TurnRecord(
            device=self.device,
            turn=self.number,
            kind=self._request.kind,
            outcome=self._outcome,
            started_at=self._started_at,
            heard=self._heard,
            said=said,
            language=self._language,
            error=self._error,
            cached=self._cached,
            chunks=self._transmitter.chunks,
            bytes=self._transmitter.bytes,
            timings=self._timings,
            reply_form=self._request.reply_form,
            largest_message=self._request.largest_message,
            link=self._request.utterance.link if self._request.utterance else LinkCounts(),
        )

    @property
    def answer(self) -> CachedAnswer | None:
        """What this turn, which has ended, answered, if a repetition of the question may get the same."""
        mp3 = self._audio.mp3
        if self._outcome is not Outcome.COMPLETED or self._cached or mp3 is None or not self._may_cache():
            return None
        return CachedAnswer(self._audio.text, mp3, self._limits.rate, self._limits.bitrate_kbps)

    # What is made

    async def _produce(self) -> None:
        try:
            await self._answer()
        except ReportableError as error:
            await self._explain(error)
        except Exception:
            log.exception("turn %d of %s broke", self.number, self.device.id)
            await self._explain(StageFailed(ErrorCode.INTERNAL, Stage.TURN, "an unexpected defect; see the log"))
        await self._audio.finish()

    async def _answer(self) -> None:
        request = self._request
        if request.fault is not None:
            raise request.fault
        if request.kind is TurnKind.SAY:
            await self._speak_text(request.text)
            return
        if request.utterance is not None:
            await self._hear(request.utterance)
        else:
            self._heard = request.text
            self._emit(Transcribed(self.device, self.number, self._heard, self._language))
        if not self._heard:
            if request.utterance is not None and (missing := _missing(request.utterance)):
                # It may be that somebody spoke, and who asked waits for an answer: silence would be none.
                message = f"nothing was understood, and {missing}"
                raise DeviceFault(ErrorCode.NO_SPEECH, Stage.STT, message, retryable=True)
            self._outcome = Outcome.SILENT
            if request.reply_form is ReplyForm.MESSAGE:
                await self._audio.play(self._services.clip("nothing_heard", self._language))
            return
        answer = await self._cached_answer()
        if answer is not None:
            await self._repeat(answer)
            return
        await self._reply()

    async def _hear(self, utterance: Utterance) -> None:
        transcript = await self._heard_ahead() or await self._recognise(utterance)
        self._timings = replace(self._timings, stt=self._elapsed_ms())
        self._heard = transcript.text.strip()
        if self._wanted_language() is None and transcript.language:
            self._language = transcript.language
        if self._heard:
            self._emit(Transcribed(self.device, self.number, self._heard, self._language))

    async def _heard_ahead(self) -> Transcript | None:
        ahead = self._request.ahead
        transcript = None if ahead is None else await ahead.transcript(self._passed_over)
        if transcript is not None and self._request.too_long:
            self._report_too_long()
        return transcript

    async def _recognise(self, utterance: Utterance) -> Transcript:
        settings = self._services.settings
        if hear.is_quick(utterance):
            speech = hear.decode(utterance, settings.utterance_max_s)
        else:
            speech = await asyncio.to_thread(hear.decode, utterance, settings.utterance_max_s)
        if speech.truncated or self._request.too_long:
            self._report_too_long()
        if speech.seconds < settings.utterance_min_s:
            raise DeviceFault(
                ErrorCode.AUDIO_TOO_SHORT,
                Stage.RECEIVE,
                f"{speech.seconds * 1000:.0f} ms is shorter than {settings.utterance_min_s * 1000:.0f} ms",
                retryable=True,
            )
        return await self._services.engines.stt.transcribe(speech.samples, self._wanted_language(), self._passed_over)

    async def _reply(self) -> None:
        """Speak what the model writes while it writes on."""
        pieces: asyncio.Queue[str | Exception | None] = asyncio.Queue(PIECES_AHEAD)
        name = f"turn {self.number:#06x} of {self.device.id}"
        beside = {asyncio.create_task(self._write(pieces), name=f"write {name}")}
        if self._services.settings.thinking_after_s > 0 and self._request.reply_form is not ReplyForm.MESSAGE:
            beside.add(asyncio.create_task(self._sound_thinking(), name=f"wait {name}"))
        try:
            await self._speak(_taken_from(pieces))
        finally:
            for task in beside:
                task.cancel()
            await asyncio.wait(beside)

    async def _write(self, pieces: "asyncio.Queue[str | Exception | None]") -> None:
        """Put the pieces of the model's answer into `pieces`, then None, or what went wrong."""
        services = self._services
        try:
            request = next_request(
                services.settings,
                self._request.conversation,
                self._heard,
                device=self.device.id,
                name=self._request.name,
                language=self._language,
                now=services.now(),
            )
            cutter = SentenceCutter()
            length = 0
            ahead = self._request.ahead.answer(request) if self._request.ahead else None
            async with aclosing(ahead or services.engines.llm.reply(request, self._passed_over)) as texts:
                async for text in texts:
                    if length == 0:
                        self._timings = replace(self._timings, llm_first_token=self._elapsed_ms())
                    length += len(text)
                    for piece in cutter.feed(text):
                        await pieces.put(piece)
                    if length > REPLY_MAX_CHARS:
                        break
            for piece in cutter.finish():
                await pieces.put(piece)
            await pieces.put(None)
        except Exception as exc:
            await pieces.put(exc)

    async def _sound_thinking(self) -> None:
        """While the answer is late, let the device hear that it is being made."""
        wait_s = self._services.settings.thinking_after_s - self._elapsed_ms() / 1000
        while True:
            await asyncio.sleep(wait_s)
            if not await self._audio.sound(self._services.clip(THINKING, self._language)):
                return
            wait_s = THINKING_EVERY_S

    async def _speak_text(self, text: str) -> None:
        cutter = SentenceCutter()
        await self._speak(_each([*cutter.feed(text), *cutter.finish()]))

    async def _speak(self, pieces: AsyncGenerator[str]) -> None:
        """Speak `pieces` in their order; the next is synthesised while one is encoded and sent."""
        name = f"voice turn {self.number:#06x} of {self.device.id}"
        index = 0
        async with aclosing(one_ahead(pieces, self._synthesise, name)) as syntheses:
            async for synthesis in syntheses:
                self._emit(SentenceReady(self.device, self.number, index, synthesis.text))
                await self._audio.speak(synthesis)
                index += 1

    def _synthesise(self, piece: str) -> Synthesis:
        return self._audio.synthesise(piece, self._language, self._passed_over)

    async def _explain(self, error: ReportableError) -> None:
        """Tell the device what went wrong: the event, and the ready-made clip after whatever was said so far."""
        self._fail(error)
        try:
            await self._audio.play(self._services.clip(error.code, self._language))
        except Exception:
            log.exception("the clip for %s could not be played", error.code)

    # The answers kept

    async def _cached_answer(self) -> CachedAnswer | None:
        conversation = self._request.conversation
        if conversation is None or not self._may_cache():
            return None
        if input_hash(self._heard, self._language) not in conversation.answered:
            return None
        try:
            return await self._services.store.cached_answer(
                self.device.id, self._heard, self._language, self._services.settings.cache_ttl_s, self._services.now()
            )
        except StoreError as exc:
            self._report_store(exc)
            return None

    async def _repeat(self, answer: CachedAnswer) -> None:
        self._cached = True
        if (answer.rate, answer.bitrate_kbps) == (self._limits.rate, self._limits.bitrate_kbps):
            self._emit(SentenceReady(self.device, self.number, 0, answer.text))
            await self._audio.play_mp3(answer.audio, answer.text)
        else:
            await self._speak_text(answer.text)

    def _may_cache(self) -> bool:
        settings = self._services.settings
        return (
            self._request.kind is not TurnKind.SAY
            and self.epoch is not None
            and settings.cache_ttl_s > 0
            and not any(re.search(pattern, self._heard, re.IGNORECASE) for pattern in settings.cache_skip)
        )

    # Telling

    async def _end_reply(self, *, flush: bool) -> None:
        try:
            await self._transmitter.stop(flush=flush)
        except BrokerUnavailable as exc:
            log.debug("the end of turn %d could not be sent: %s", self.number, exc)

    async def _publish(self, payload: bytes) -> None:
        qos = self._services.settings.mqtt_qos_out
        await self._services.broker.publish(self._request.topic, payload, qos=qos)

    def _emit(self, event: Event) -> None:
        self._services.emit(event)

    def _fail(self, error: ReportableError) -> None:
        self._outcome = Outcome.FAILED
        self._error = error.code
        self._report(error.code, error.stage, error.message, retryable=error.retryable)

    def _report(self, code: ErrorCode, stage: Stage, message: str, *, retryable: bool = False) -> None:
        self._emit(Failed(self.device, self.number, code, stage, message, retryable))

    def _report_too_long(self) -> None:
        longest_s = self._services.settings.utterance_max_s
        self._report(ErrorCode.AUDIO_TOO_LONG, Stage.RECEIVE, f"only the first {longest_s:g} s are answered")

    def _report_store(self, error: StoreError) -> None:
        # Outside the turn (no number): the turn goes on, and only what fails a turn is told under its number.
        self._emit(Failed(self.device, None, ErrorCode.STORE_FAILED, Stage.STORE, str(error), retryable=True))

    def _passed_over(self, stage: Stage, engine: str, message: str, rest_s: float) -> None:
        self._emit(EnginePassedOver(self.device, self.number, stage, engine, message, rest_s))

    def _note_first_audio(self) -> None:
        if self._timings.tts_first_audio is None:
            self._timings = replace(self._timings, tts_first_audio=self._elapsed_ms())

    def _note_sent(self) -> None:
        if self._timings.first_audio_out is not None or self._transmitter.bytes <= self._audio.lead_bytes:
            return
        self._timings = replace(self._timings, first_audio_out=self._elapsed_ms())
        self._emit(Speaking(self.device, self.number))

    def _elapsed_ms(self) -> int:
        return round((self._services.monotonic() - self._began) * 1000)

    def _wanted_language(self) -> str | None:
        """The language to recognise; None: detect it."""
        wanted = self._request.language or self._services.settings.language
        return None if wanted == AUTO_LANGUAGE else wanted


def _missing(utterance: Utterance) -> str | None:
    """Say what of an utterance is known not to have arrived."""
    if utterance.link.lost:
        return f"{utterance.link.lost} of its frames were lost"
    if utterance.reply_form is ReplyForm.FRAMES and utterance.ended_by is EndedBy.IDLE:
        return "its last frame did not come"
    return None


async def _taken_from(pieces: "asyncio.Queue[str | Exception | None]") -> AsyncGenerator[str]:
    """The pieces of text in `pieces` up to None; an exception among them is raised."""
    while isinstance(piece := await pieces.get(), str):
        yield piece
    if piece is not None:
        raise piece


async def _each(pieces: Iterable[str]) -> AsyncGenerator[str]:
    for piece in pieces:
        yield piece
