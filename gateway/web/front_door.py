"""Questions over HTTP, for curl and for boards without MQTT: a sound file in, MP3 out, through the same sessions."""

import asyncio
import secrets
from collections.abc import AsyncGenerator, Coroutine
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Query, Request
from starlette.responses import Response
from starlette.types import Receive

from gateway.errors import ErrorCode, OperationRefused
from gateway.events import Event, Failed, Transcribed, TurnEnded
from gateway.operations import Operations
from gateway.session import DirectQuestion
from gateway.values import UNNAMED_PREFIX, DeviceId, Outcome, TurnRecord
from gateway.web.errors import WebError, named
from gateway.web.streaming import Stream
from gateway.wire.messages import shortened

QUESTIONS_MAX = 16
"""At a time, from all clients."""
ARRIVING_MAX = 64
"""Questions whose bodies arrive at a time: who sends slowly holds up no other until then."""
RECORD_WITHIN_S = 10.0
"""How long a whole answer waits for the record of its turn, which follows the audio."""

STATUS = {
    ErrorCode.AUDIO_UNDECODABLE: 422,
    ErrorCode.AUDIO_TOO_SHORT: 422,
    ErrorCode.NO_SPEECH: 422,
    ErrorCode.RATE_LIMITED: 429,
    ErrorCode.BUSY: 503,
    ErrorCode.STORE_FAILED: 503,
    ErrorCode.STT_FAILED: 502,
    ErrorCode.LLM_FAILED: 502,
    ErrorCode.TTS_FAILED: 502,
    ErrorCode.TIMEOUT: 504,
}
"""Of a turn that fails before it has begun to speak: the body is the spoken message that says so."""

_AUDIO: dict[int | str, dict[str, Any]] = {200: {"content": {"audio/mpeg": {}}, "description": "The spoken answer"}}

_SOON = {"Retry-After": "2"}


class _Asking:
    """One question that is being answered, and what its turn has told."""

    def __init__(self, device: DeviceId, question: DirectQuestion) -> None:
        self.device = device
        self.question = question
        self.heard: Transcribed | None = None
        self.error: Failed | None = None
        self.too_long = False
        self.record: asyncio.Future[TurnRecord] = asyncio.get_running_loop().create_future()

    def take(self, event: Event) -> None:
        match event:
            case Transcribed():
                self.heard = event
            case Failed(code=ErrorCode.AUDIO_TOO_LONG):
                # The beginning is answered all the same.
                self.too_long = True
            case Failed():
                self.error = event
            case TurnEnded() if not self.record.done():
                self.record.set_result(event.record)

    @property
    def status(self) -> int:
        return 200 if self.error is None else STATUS.get(self.error.code, 500)

    def headers(self) -> dict[str, str]:
        """What is known so far; texts are percent-encoded UTF-8, cut so that clients and proxies take the head."""
        told = {"X-Session-Id": self.device, "X-Turn": str(self.question.turn)}
        if self.heard is not None:
            told |= {"X-Transcript": _in_head(self.heard.text), "X-Language": _in_head(self.heard.language)}
        if self.error is not None:
            told |= {"X-Error-Code": self.error.code.value, "X-Error": _in_head(self.error.message)}
        if self.too_long:
            told["X-Notice"] = ErrorCode.AUDIO_TOO_LONG.value
        if self.record.done():
            record = self.record.result()
            told |= {"X-Outcome": record.outcome.value, "X-Reply": _in_head(record.said)}
        return told


class FrontDoor:
    """A listener to events, which tell what becomes of the questions."""

    def __init__(self, operations: Operations) -> None:
        self._operations = operations
        self._asking: set[_Asking] = set()
        self._arriving = 0
        self._ending = False

    def __call__(self, event: Event) -> None:
        if not self._asking:
            return
        record = event.record if isinstance(event, TurnEnded) else None
        device = record.device if record is not None else getattr(event, "device", None)
        turn = record.turn if record is not None else getattr(event, "turn", None)
        if device is None or turn is None:
            return
        for asking in self._asking:
            if asking.device == device.id and asking.question.turn == turn:
                asking.take(event)

    def close(self) -> None:
        """End every question, and take no more: the gateway ends."""
        self._ending = True
        for asking in tuple(self._asking):
            asking.question.leave()

    @property
    def asking(self) -> int:
        """Questions that are being answered."""
        return len(self._asking)

    async def take(self, device: DeviceId, request: Request, *, whole: bool) -> Response:
        """Have the sound file answered that is the body of `request`; `whole` sends the answer when all of it is there,
        with its length and all that is known of it.

        Raises:
            WebError: it cannot be answered.
        """
        if self._arriving >= ARRIVING_MAX:
            raise WebError(503, "busy", f"{ARRIVING_MAX} questions are arriving; ask again", _SOON)
        self._arriving += 1
        try:
            audio = await request.body()
        finally:
            self._arriving -= 1
        return await self._answer(device, audio, request.receive, whole=whole)

    async def _answer(self, device: DeviceId, audio: bytes, receive: Receive, *, whole: bool) -> Response:
        """`receive` tells when the client has gone."""
        if not audio:
            hint = "send a sound file: curl --data-binary @question.wav …"
            raise WebError(400, "bad_request", f"the body is empty; {hint}")
        if self._ending:
            raise self._is_ending()
        if len(self._asking) >= QUESTIONS_MAX:
            raise WebError(503, "busy", f"{QUESTIONS_MAX} questions are being answered; ask again", _SOON)
        try:
            _, question = self._operations.ask(device, audio)
        except OperationRefused as exc:
            raise WebError(503, "busy", str(exc), _SOON) from exc
        asking = _Asking(device, question)
        self._asking.add(asking)
        handed_over = False
        try:
            reply = question.reply()
            first = await _unless_gone(_next(reply), receive)
            if not first:
                return await self._unanswered(asking)
            if whole:
                mp3 = first + await _unless_gone(_joined(reply), receive)
                await self._recorded(asking)
                return Response(mp3, asking.status, asking.headers(), "audio/mpeg")
            handed_over = True
            return Stream(
                _after(first, reply), asking.status, asking.headers(), "audio/mpeg", lambda: self._leave(asking)
            )
        finally:
            if not handed_over:
                self._leave(asking)

    def _leave(self, asking: _Asking) -> None:
        self._asking.discard(asking)
        asking.question.leave()

    @staticmethod
    def _is_ending() -> WebError:
        return WebError(503, "busy", "the gateway is ending; ask again when it is back", _SOON)

    async def _recorded(self, asking: _Asking) -> None:
        await asyncio.wait({asking.record}, timeout=RECORD_WITHIN_S)

    async def _unanswered(self, asking: _Asking) -> Response:
        """There is nothing to hear: say in words why."""
        if asking.question.turn is None:
            # It ended before its turn, of which there will be no record.
            raise self._is_ending()
        await self._recorded(asking)
        if asking.record.done() and asking.record.result().outcome is Outcome.INTERRUPTED:
            message = "another question of this device, or an abort, interrupted it"
            raise WebError(409, "interrupted", message, asking.headers())
        if asking.error is not None:
            raise WebError(asking.status, asking.error.code.value, asking.error.message, asking.headers())
        raise WebError(503, "internal", "the question was not answered; the log says why", asking.headers())


def router(door: FrontDoor) -> APIRouter:
    """The routes of the questions."""
    routes = APIRouter(tags=["questions"])
    body = {
        "requestBody": {
            "required": True,
            "content": {"audio/*": {"schema": {"type": "string", "format": "binary"}}},
            "description": "A sound file: WAV, FLAC, Ogg or MP3",
        }
    }
    Whole = Annotated[bool, Query(description="Send the answer when it is whole, with its length and X-Reply")]  # noqa: N806

    @routes.post("/process/{session_id}", response_class=Response, responses=_AUDIO, openapi_extra=body)
    async def process(session_id: str, request: Request, whole: Whole = False) -> Response:
        """Answer a spoken question in the conversation `session_id`, with MP3 as it is made."""
        return await door.take(named(session_id), request, whole=whole)

    @routes.post("/process", response_class=Response, responses=_AUDIO, openapi_extra=body)
    async def process_anew(request: Request, whole: Whole = False) -> Response:
        """Answer a spoken question in a new conversation, whose id is in the header X-Session-Id."""
        device = DeviceId(f"{UNNAMED_PREFIX}{secrets.token_hex(6)}")
        return await door.take(device, request, whole=whole)

    return routes


def _in_head(text: str) -> str:
    return quote(shortened(text))


async def _after(first: bytes, rest: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    yield first
    async for part in rest:
        yield part


async def _next(parts: AsyncGenerator[bytes, None]) -> bytes:
    return await anext(parts, b"")


async def _joined(parts: AsyncGenerator[bytes, None]) -> bytes:
    return b"".join([part async for part in parts])


async def _unless_gone(work: Coroutine[Any, Any, bytes], receive: Receive) -> bytes:
    """Await `work`, unless the client hangs up first.

    Raises:
        WebError: it has; nobody reads that.
    """
    answering = asyncio.create_task(work, name="wait for an answer")
    going = asyncio.create_task(_gone(receive), name="wait for an HTTP client to go")
    try:
        await asyncio.wait({answering, going}, return_when=asyncio.FIRST_COMPLETED)
        if not answering.done():
            raise WebError(499, "gone", "the client has gone")
        return answering.result()
    finally:
        for task in (answering, going):
            task.cancel()
        await asyncio.wait({answering, going})


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
