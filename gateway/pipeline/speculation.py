"""Recognising, and perhaps answering, what a device has said before it is certain that it has said all.

While speech pauses, the recogniser would be idle: so it begins. If the pause holds, the text is there when the end of
speech comes; if speech goes on, everything is dropped, and nobody has been told of it. Speculation yields: it begins
only while nothing else is at work, and its errors are nobody's; what it could not do is done again in the usual way.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from gateway.config import Settings
from gateway.engines.circuit import OnPassedOver
from gateway.engines.protocols import ChatRequest, OnCalled
from gateway.engines.registry import Engines
from gateway.errors import ErrorCode, ReportableError, Stage, StageFailed
from gateway.pipeline import hear
from gateway.pipeline.reply import REPLY_MAX_CHARS
from gateway.values import Transcript, Utterance

log = logging.getLogger(__name__)

T = TypeVar("T")

Language = Callable[[], Awaitable[str | None]]
Question = Callable[[Transcript], Awaitable[ChatRequest | None]]
"""Makes what the chat model is asked of what was heard; None: nothing is to be asked."""


@dataclass(slots=True)
class SpeculationCounts:
    """What speculation was good for, over all devices. Each that `started` is in the end `used` or `dropped`;
    `skipped` counts pauses in which the recogniser had other work."""

    started: int = 0
    used: int = 0
    dropped: int = 0
    skipped: int = 0
    dropped_audio_s: float = 0.0
    """Seconds of speech that were recognised in vain."""
    answers_started: int = 0
    answers_used: int = 0

    def report(self) -> dict[str, int | float]:
        """The figures by name, for the statistics."""
        return {
            "started": self.started,
            "used": self.used,
            "dropped": self.dropped,
            "skipped": self.skipped,
            "dropped_audio_s": round(self.dropped_audio_s, 1),
            "answers_started": self.answers_started,
            "answers_used": self.answers_used,
        }


class Speculation:
    """What one utterance says so far. It begins when it is made, and ends with `drop`, whether it was used or not."""

    def __init__(
        self,
        settings: Settings,
        engines: Engines,
        counts: SpeculationCounts,
        utterance: Utterance,
        language: Language,
        question: Question | None,
        name: str,
    ) -> None:
        """`language` gives the one that is spoken; None means: detect it. Without a `question` nothing is answered."""
        self._settings = settings
        self._engines = engines
        self._counts = counts
        self._language = language
        self._question = question
        self._told: list[tuple[Stage, str, str, float]] = []
        self._on_passed_over: OnPassedOver | None = None
        self._used = self._over = False
        self._seconds = 0.0
        self._heard: asyncio.Future[Transcript | None] = asyncio.get_running_loop().create_future()
        self._asked: ChatRequest | None = None
        self._texts: list[str] = []
        self._written = False
        self._failure: ReportableError | None = None
        self._news = asyncio.Event()
        counts.started += 1
        self._task = asyncio.create_task(self._run(utterance), name=f"speculate on {name}")

    @property
    def running(self) -> bool:
        """Whether it still keeps an engine at work."""
        return not self._task.done()

    async def transcript(self, on_passed_over: OnPassedOver) -> Transcript | None:
        """The end is certain: return what was said, as soon as it is recognised; None if it could not be. Which engines
        were passed over is told from now on."""
        heard = await asyncio.shield(self._heard)
        if heard is not None:
            self._used = True
            self._counts.used += 1
            self._on_passed_over = on_passed_over
            for told in self._told:
                on_passed_over(*told)
        return heard

    def answer(self, request: ChatRequest, on_called: OnCalled) -> AsyncGenerator[str, None] | None:
        """Return the answer to `request`, as it is written, if that is what the model was asked ahead of time; if not,
        it is asked nothing any more. Only after `transcript`. What the model wants done is done from now on, and
        `on_called` is told of it."""
        asked = self._asked
        same = asked is not None and replace(asked, now=request.now) == request
        if not same or self._failure is not None:
            self._task.cancel()
            return None
        self._counts.answers_used += 1
        if asked is not None and asked.tools is not None:
            asked.tools.allow(on_called)
        return self._answer()

    def drop(self) -> None:
        """End what still runs. It must be called once nothing more is wanted; more often does no harm."""
        if self._over:
            return
        self._over = True
        self._task.cancel()
        self._heard.cancel()
        if not self._used:
            self._counts.dropped += 1
            self._counts.dropped_audio_s += self._seconds

    async def _run(self, utterance: Utterance) -> None:
        heard = await self._guarded(self._recognise(utterance))
        if not self._heard.done():
            self._heard.set_result(heard)
        if heard is not None and heard.text.strip() and self._question is not None:
            await self._guarded(self._write(heard, self._question))
            self._written = True
            self._news.set()

    async def _guarded(self, work: Coroutine[Any, Any, T]) -> T | None:
        """Do `work`; what goes wrong is kept for who uses it, and told nobody else."""
        try:
            return await work
        except ReportableError as error:
            self._failure = error
        except Exception:
            log.exception("a defect while working ahead of time")
            self._failure = StageFailed(ErrorCode.INTERNAL, Stage.TURN, "an unexpected defect; see the log")
        return None

    async def _recognise(self, utterance: Utterance) -> Transcript | None:
        settings = self._settings
        speech = await hear.decoded(utterance, settings.utterance_max_s)
        self._seconds = speech.seconds
        if speech.seconds < settings.utterance_min_s:
            return None
        only_local = settings.speculation == "auto"
        return await self._engines.stt.transcribe(
            speech.samples, await self._language(), self._passed_over, only_local=only_local
        )

    async def _write(self, heard: Transcript, question: Question) -> None:
        asked = await question(heard)
        if asked is None:
            return
        self._counts.answers_started += 1
        self._asked = asked
        length = 0
        async with aclosing(self._engines.llm.reply(asked, self._passed_over)) as texts:
            async for text in texts:
                self._texts.append(text)
                self._news.set()
                length += len(text)
                if length > REPLY_MAX_CHARS:
                    break

    async def _answer(self) -> AsyncGenerator[str, None]:
        taken = 0
        while True:
            self._news.clear()
            while taken < len(self._texts):
                yield self._texts[taken]
                taken += 1
            if self._written:
                break
            await self._news.wait()
        if self._failure is not None:
            raise self._failure

    def _passed_over(self, stage: Stage, engine: str, message: str, rest_s: float) -> None:
        if self._on_passed_over is not None:
            self._on_passed_over(stage, engine, message, rest_s)
        else:
            self._told.append((stage, engine, message, rest_s))
