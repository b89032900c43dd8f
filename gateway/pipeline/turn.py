"""One turn: hear, reply, speak, transmit, each beginning while the one before still goes on.

A turn is a task of its Session, which alone may cancel it and which then does what is left to do (tell the device,
write the record): see `Turn.interrupt`. Whatever goes wrong inside, the device hears something and its reply ends.
"""

import asyncio
import logging
import re
from dataclasses import replace

from gateway.errors import (
    BrokerUnavailable,
    DeviceFault,
    ErrorCode,
    ReportableError,
    Stage,
    StageFailed,
    StoreError,
)
from gateway.pipeline.answer import Answering
from gateway.pipeline.progress import Progress
from gateway.pipeline.recognise import recognise
from gateway.pipeline.speak import ReplyAudio
from gateway.pipeline.transmit import AudioPipe, Transmitter
from gateway.pipeline.turn_request import FALLBACK_LANGUAGE, TurnRequest, TurnServices, wanted_language
from gateway.store import CachedAnswer, input_hash
from gateway.values import EndedBy, LinkCounts, Outcome, ReplyForm, TurnKind, TurnRecord, Utterance

log = logging.getLogger(__name__)


class Turn:
    """Answers one request. `run` never raises for what goes wrong in it; it may be cancelled at any moment."""

    def __init__(self, services: TurnServices, request: TurnRequest) -> None:
        self._services = services
        self._request = request
        self.number = request.number
        self.device = request.device
        self.epoch = request.conversation.epoch if request.conversation else None
        self._started_at = services.now()
        self._language = wanted_language(services.settings, request.language) or FALLBACK_LANGUAGE
        self._heard = ""
        self._outcome = Outcome.COMPLETED
        self._error: ErrorCode | None = None
        self._cached = False
        self._played_ms: float | None = None
        self._progress = Progress(
            request.device, request.number, request.received_ms, services.emit, services.monotonic
        )
        encoder = services.encoder(request.limits.rate, request.limits.bitrate_kbps)
        self._limits = replace(request.limits, bitrate_kbps=encoder.bitrate_kbps)
        self._pipe = AudioPipe()
        self._audio = ReplyAudio(
            services.engines.tts, encoder, self._pipe, self._progress.first_audio, request.personality.voice
        )
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
        self._progress.ended()

    async def interrupt(self, *, flush: bool) -> None:
        """End the reply of this turn after its task was cancelled: `flush` makes the device drop what it holds."""
        if self._error is None:
            self._outcome = Outcome.INTERRUPTED
        self._progress.ended()
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
            timings=self._progress.timings,
            reply_form=self._request.reply_form if self._request.send is None else None,
            largest_message=self._request.largest_message,
            link=self._request.utterance.link if self._request.utterance else LinkCounts(),
        )

    @property
    def answer(self) -> CachedAnswer | None:
        """What this turn, which has ended, answered, if a repetition of the question may get the same."""
        mp3 = self._audio.mp3
        if self._outcome is not Outcome.COMPLETED or self._cached or mp3 is None or not self._may_cache():
            return None
        if self._progress.used_tools:
            return None
        asked = self._request.personality.fingerprint
        return CachedAnswer(self._audio.text, mp3, self._limits.rate, self._limits.bitrate_kbps, asked)

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
        answering = Answering(self._services, request, self._audio, self._progress)
        if request.kind is TurnKind.SAY:
            await answering.speak_text(request.text, self._language)
            return
        if request.utterance is not None:
            await self._hear(request.utterance)
        else:
            self._heard = request.text
            self._progress.transcribed(self._heard, self._language)
        if not self._heard:
            if request.utterance is not None and (missing := _missing(request.utterance)):
                # It may be that somebody spoke, and who asked waits for an answer: silence would be none.
                message = f"nothing was understood, and {missing}"
                raise DeviceFault(ErrorCode.NO_SPEECH, Stage.STT, message, retryable=True)
            self._outcome = Outcome.SILENT
            if request.reply_form is ReplyForm.MESSAGE or request.send is not None:
                await self._audio.play(self._services.clip("nothing_heard", self._language))
            return
        answer = await self._cached_answer()
        if answer is not None:
            await self._repeat(answer, answering)
            return
        await answering.reply(self._heard, self._language)

    async def _hear(self, utterance: Utterance) -> None:
        transcript = await recognise(self._services, self._request, utterance, self._progress)
        self._progress.recognised()
        self._heard = transcript.text.strip()
        if wanted_language(self._services.settings, self._request.language) is None and transcript.language:
            self._language = transcript.language
        if self._heard:
            self._progress.transcribed(self._heard, self._language)

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
        # The least first: nearly every question is new.
        if conversation is None or not conversation.answered:
            return None
        asked = self._request.personality.fingerprint
        if input_hash(self._heard, self._language, asked) not in conversation.answered or not self._may_cache():
            return None
        services = self._services
        try:
            return await services.store.cached_answer(
                self.device.id, self._heard, self._language, services.settings.cache_ttl_s, services.now(), asked
            )
        except StoreError as exc:
            self._progress.store_failed(exc)
            return None

    async def _repeat(self, answer: CachedAnswer, answering: Answering) -> None:
        self._cached = True
        if (answer.rate, answer.bitrate_kbps) == (self._limits.rate, self._limits.bitrate_kbps):
            self._progress.sentence(0, answer.text)
            await self._audio.play_mp3(answer.audio, answer.text)
        else:
            await answering.speak_text(answer.text, self._language)

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
        if self._request.send is not None:
            await self._request.send(payload)
            return
        qos = self._services.settings.mqtt_qos_out
        await self._services.broker.publish(self._request.topic, payload, qos=qos)

    def _fail(self, error: ReportableError) -> None:
        self._outcome = Outcome.FAILED
        self._error = error.code
        self._progress.failed(error)

    def _note_sent(self) -> None:
        if self._transmitter.bytes > self._audio.lead_bytes:
            self._progress.speaking()


def _missing(utterance: Utterance) -> str | None:
    """Say what of an utterance is known not to have arrived."""
    if utterance.link.lost:
        return f"{utterance.link.lost} of its frames were lost"
    if utterance.reply_form is ReplyForm.FRAMES and utterance.ended_by is EndedBy.IDLE:
        return "its last frame did not come"
    return None
