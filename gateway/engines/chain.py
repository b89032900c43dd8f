"""The engines of a stage as one: asked in order within the same turn, each with a time limit.

Time limits count only the time that an engine takes, not the time that its user takes between two pieces. The
async generators end the engine's work when they are closed; close them with `contextlib.aclosing`.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from gateway.audio import Pcm
from gateway.engines.circuit import Clock, EngineHealth, EngineOrder, OnPassedOver
from gateway.engines.protocols import ChatModel, ChatRequest, SpeechToText, TextToSpeech
from gateway.engines.speech_cache import SpeechCache, SpeechKey
from gateway.errors import EngineFailed, Stage
from gateway.values import Transcript

T = TypeVar("T")


class SttChain:
    """The recognisers, in order."""

    def __init__(
        self, engines: Sequence[SpeechToText], *, timeout_s: float, rest_s: float, clock: Clock = time.monotonic
    ) -> None:
        """`timeout_s` limits the recognition of one utterance by one engine; `rest_s` is how long one that failed
        rests, unless it says so itself."""
        self._order = EngineOrder(Stage.STT, engines, rest_s=rest_s, clock=clock)
        self._timeout_s = timeout_s
        self.working = 0
        """Utterances that are being recognised, or wait for it."""

    @property
    def engines(self) -> tuple[SpeechToText, ...]:
        return self._order.engines

    @property
    def local(self) -> bool:
        """Whether the engine that would be asked now recognises on this machine."""
        engine = self._order.next
        return engine is not None and engine.local

    async def transcribe(
        self,
        speech: NDArray[np.float32],
        language: str | None,
        on_passed_over: OnPassedOver,
        *,
        only_local: bool = False,
    ) -> Transcript:
        """Recognise `speech`: mono, shape (n,), -1..1, 16 kHz. `language` None means: detect it. With `only_local`
        it is left undone where an engine behind a network comes next.

        Raises:
            StageFailed: no engine could: `stt_failed`, `timeout` or `busy`.
        """
        work = self._order.begin(on_passed_over)
        self.working += 1
        try:
            for attempt in work:
                if only_local and not attempt.engine.local:
                    break
                with attempt as engine:
                    return await _in_time(engine.transcribe(speech, language), self._timeout_s)
            raise work.failure()
        finally:
            self.working -= 1

    def prepare(self) -> None:
        """Let the engine that would be asked now prepare itself for work, in the background."""
        self._order.prepare()

    def health(self) -> list[EngineHealth]:
        return self._order.health()

    async def close(self) -> None:
        await self._order.close()


class ChatChain:
    """The chat models, in order."""

    def __init__(
        self,
        engines: Sequence[ChatModel],
        *,
        first_token_s: float,
        timeout_s: float,
        rest_s: float,
        clock: Clock = time.monotonic,
    ) -> None:
        """`first_token_s` limits the wait for the first text of an answer, `timeout_s` the whole answer."""
        self._order = EngineOrder(Stage.LLM, engines, rest_s=rest_s, clock=clock)
        self._first_token_s = min(first_token_s, timeout_s)
        self._timeout_s = timeout_s

    @property
    def engines(self) -> tuple[ChatModel, ...]:
        return self._order.engines

    async def reply(self, request: ChatRequest, on_passed_over: OnPassedOver) -> AsyncGenerator[str, None]:
        """Answer, as the text comes. The first piece holds more than white space.

        Another engine is asked only while nothing has been yielded: what was said stays said.

        Raises:
            StageFailed: no engine answered: `llm_failed`, `timeout` or `busy`; or one broke off: `llm_failed`.
        """
        work = self._order.begin(on_passed_over)
        for attempt, model in work.choosing(request.model):
            begun = False
            own = request if model == request.model else replace(request, model=model)
            with attempt as engine:
                async with _Closing(engine.reply(own)) as pieces, aclosing(self._timed(pieces)) as timed:
                    async for piece in timed:
                        begun = True
                        yield piece
                if not begun:
                    raise EngineFailed("the answer was empty")
                return
            if begun:
                raise work.broken_off()
        raise work.failure()

    def prepare(self) -> None:
        """Let the engine that would be asked now prepare itself for work, in the background."""
        self._order.prepare()

    def health(self) -> list[EngineHealth]:
        return self._order.health()

    async def close(self) -> None:
        await self._order.close()

    async def _timed(self, pieces: AsyncIterator[str]) -> AsyncGenerator[str, None]:
        """Pass `pieces` on within both limits, without what comes before the first text."""
        stopwatch = _Stopwatch()
        begun = tools_work = False
        while True:
            limit_s = self._timeout_s if begun or tools_work else self._first_token_s
            if (piece := await stopwatch.next(pieces, limit_s)) is None:
                return
            begun = begun or bool(piece.strip())
            tools_work = tools_work or not piece
            if begun:
                yield piece


class TtsChain:
    """The voices, in order, with the pieces that they spoke kept for all devices."""

    def __init__(
        self,
        engines: Sequence[TextToSpeech],
        *,
        timeout_s: float,
        rest_s: float,
        cache_bytes: int,
        clock: Clock = time.monotonic,
    ) -> None:
        """`timeout_s` limits the time that one engine takes for a piece, all its blocks together."""
        self._order = EngineOrder(Stage.TTS, engines, rest_s=rest_s, clock=clock)
        self._timeout_s = timeout_s
        self.cache = SpeechCache(cache_bytes)

    @property
    def engines(self) -> tuple[TextToSpeech, ...]:
        return self._order.engines

    async def speak(
        self, text: str, language: str, on_passed_over: OnPassedOver, voice: str | None = None
    ) -> AsyncGenerator[Pcm, None]:
        """Speak `text`, as the audio comes, in `voice` where it can be (as for the setting `tts_voice`: `nova`, or
        `openai:nova,espeak:es+f3`); None: in the engine's own.

        When an engine breaks off, the next speaks the whole text again, perhaps at another rate: to lose words is
        worse than to repeat some.

        Raises:
            StageFailed: no engine could: `tts_failed`, `timeout` or `busy`.
        """
        work = self._order.begin(on_passed_over)
        for attempt, own in work.choosing(voice):
            key = SpeechKey(attempt.engine.name, attempt.engine.voice(language, own), text)
            if (kept := self.cache.get(key)) is not None:
                yield kept
                return
            recording = self.cache.record(key)
            begun = False
            with attempt as engine:
                async with _Closing(engine.speak(text, language, own)) as blocks:
                    stopwatch = _Stopwatch()
                    while (block := await stopwatch.next(blocks, self._timeout_s)) is not None:
                        if len(block.samples):
                            begun = True
                            recording.add(block)
                            yield block
                if not begun:
                    raise EngineFailed("there was no audio")
                recording.keep()
                return
        raise work.failure()

    def prepare(self) -> None:
        """Let the engine that would be asked now prepare itself for work, in the background."""
        self._order.prepare()

    def health(self) -> list[EngineHealth]:
        return self._order.health()

    async def close(self) -> None:
        await self._order.close()


class _Stopwatch:
    """Runs only while an engine works on its next piece, not while its user takes the last one."""

    def __init__(self) -> None:
        self._spent_s = 0.0

    async def next(self, pieces: AsyncIterator[T], limit_s: float) -> T | None:
        """Return the next of `pieces`, or None after the last.

        Raises:
            EngineFailed: all pieces so far took more than `limit_s` seconds together.
        """
        now = asyncio.get_running_loop().time
        asked_at = now()
        try:
            return await _in_time(anext(pieces, None), limit_s - self._spent_s, of_s=limit_s)
        finally:
            self._spent_s += now() - asked_at


async def _in_time(work: Awaitable[T], limit_s: float, *, of_s: float | None = None) -> T:
    """Await `work` for at most `limit_s` seconds (what is left `of_s`), then cancel it and raise EngineFailed."""
    try:
        async with asyncio.timeout(limit_s) as limit:
            return await work
    except TimeoutError as error:
        if not limit.expired():
            raise
        raise EngineFailed(f"took longer than {of_s or limit_s:g} s", timed_out=True) from error


class _Closing(Generic[T]):
    """Closes `iterator` at the end of a `with`, if it is one that can be closed."""

    def __init__(self, iterator: AsyncIterator[T]) -> None:
        self._iterator = iterator

    async def __aenter__(self) -> AsyncIterator[T]:
        return self._iterator

    async def __aexit__(self, *_: object) -> None:
        if (aclose := getattr(self._iterator, "aclose", None)) is not None:
            await aclose()
