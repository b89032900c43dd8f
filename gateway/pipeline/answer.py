"""From a question in text to the audio of its answer: the model writes, the text is cut, and each piece is spoken."""

import asyncio
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing

from gateway.engines.clips import THINKING
from gateway.pipeline.ahead import Synthesis, one_ahead
from gateway.pipeline.progress import Progress
from gateway.pipeline.reply import REPLY_MAX_CHARS, next_request
from gateway.pipeline.sentences import SentenceCutter
from gateway.pipeline.speak import ReplyAudio
from gateway.pipeline.turn_request import TurnRequest, TurnServices
from gateway.values import ReplyForm

PIECES_AHEAD = 64
"""Pieces of text that may wait to be spoken; the model is read no further meanwhile."""

THINKING_EVERY_S = 4.0
"""While an answer is late the thinking sound comes again: a device gives up a reply that has begun and then stops."""


class Answering:
    """What one turn says, into its `audio`."""

    def __init__(self, services: TurnServices, request: TurnRequest, audio: ReplyAudio, progress: Progress) -> None:
        self._services = services
        self._request = request
        self._audio = audio
        self._progress = progress
        self._name = f"turn {request.number:#06x} of {request.device.id}"

    async def reply(self, question: str, language: str) -> None:
        """Speak what the model answers to `question` while it writes on.

        Raises:
            StageFailed: no model answered, or no voice spoke; what came before it has been said.
        """
        pieces: asyncio.Queue[str | Exception | None] = asyncio.Queue(PIECES_AHEAD)
        beside = {asyncio.create_task(self._write(question, language, pieces), name=f"write {self._name}")}
        if self._services.settings.thinking_after_s > 0 and self._request.reply_form is not ReplyForm.MESSAGE:
            beside.add(asyncio.create_task(self._sound_thinking(language), name=f"wait {self._name}"))
        try:
            await self._speak(_taken_from(pieces), language)
        finally:
            for task in beside:
                task.cancel()
            await asyncio.wait(beside)

    async def speak_text(self, text: str, language: str) -> None:
        """Speak `text`, which is there whole.

        Raises:
            StageFailed: no voice spoke it to the end.
        """
        cutter = SentenceCutter()
        await self._speak(_each([*cutter.feed(text), *cutter.finish()]), language)

    async def _write(self, question: str, language: str, pieces: "asyncio.Queue[str | Exception | None]") -> None:
        """Put the pieces of the model's answer into `pieces`, then None, or what went wrong."""
        services = self._services
        try:
            request = next_request(
                services.settings,
                self._request.conversation,
                question,
                device=self._request.device.id,
                personality=self._request.personality,
                language=language,
                now=services.now(),
                toolboxes=services.engines.tools,
            )
            cutter = SentenceCutter()
            length = 0
            called = self._progress.called
            ahead = self._request.ahead.answer(request, called) if self._request.ahead else None
            if ahead is None and request.tools is not None:
                request.tools.allow(called)
            async with aclosing(ahead or services.engines.llm.reply(request, self._progress.passed_over)) as texts:
                async for text in texts:
                    if length == 0:
                        self._progress.first_token()
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

    async def _sound_thinking(self, language: str) -> None:
        """While the answer is late, let the device hear that it is being made."""
        wait_s = self._services.settings.thinking_after_s - self._progress.elapsed_ms / 1000
        while True:
            await asyncio.sleep(wait_s)
            if not await self._audio.sound(self._services.clip(THINKING, language)):
                return
            wait_s = THINKING_EVERY_S

    async def _speak(self, pieces: AsyncGenerator[str], language: str) -> None:
        """Speak `pieces` in their order; the next is synthesised while one is encoded and sent."""

        def synthesise(piece: str) -> Synthesis:
            return self._audio.synthesise(piece, language, self._progress.passed_over)

        index = 0
        async with aclosing(one_ahead(pieces, synthesise, f"voice {self._name}")) as syntheses:
            async for synthesis in syntheses:
                self._progress.sentence(index, synthesis.text)
                await self._audio.speak(synthesis)
                index += 1


async def _taken_from(pieces: "asyncio.Queue[str | Exception | None]") -> AsyncGenerator[str]:
    """The pieces of text in `pieces` up to None; an exception among them is raised."""
    while isinstance(piece := await pieces.get(), str):
        yield piece
    if piece is not None:
        raise piece


async def _each(pieces: Iterable[str]) -> AsyncGenerator[str]:
    for piece in pieces:
        yield piece
