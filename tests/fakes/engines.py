"""Engines that do what they are told: complete, deterministic, and open to questions about what they were asked."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Generic, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from gateway.audio import Pcm
from gateway.engines.protocols import ChatRequest
from gateway.values import Transcript

T = TypeVar("T")

Step: TypeAlias = T | BaseException | asyncio.Event | float
"""A piece of the answer; an error to raise; an event to wait for; seconds to take."""


class _Scripted(Generic[T]):
    """Plays one list of steps a call, the last one again and again."""

    def __init__(self, name: str, *answers: Sequence[Step[T]]) -> None:
        self.name = name
        self.description = f"{name}, scripted"
        self.calls = 0
        self.running = 0
        """Calls that have begun and not ended, in whatever way."""
        self.asked = asyncio.Event()
        """Set by each call."""
        self.started = False
        self.closed = False
        self._answers = answers

    async def start(self) -> None:
        self.started = True

    async def close(self) -> None:
        self.closed = True

    async def _play(self) -> AsyncGenerator[T, None]:
        steps = self._answers[min(self.calls, len(self._answers) - 1)]
        self.calls += 1
        self.running += 1
        self.asked.set()
        try:
            for step in steps:
                if isinstance(step, BaseException):
                    raise step
                if isinstance(step, asyncio.Event):
                    await step.wait()
                elif isinstance(step, float):
                    await asyncio.sleep(step)
                else:
                    yield step
        finally:
            self.running -= 1


class ScriptedStt(_Scripted[str]):
    """Understands the strings of its script."""

    def __init__(self, name: str, *answers: Sequence[Step[str]], local: bool = True) -> None:
        super().__init__(name, *answers)
        self.local = local

    async def transcribe(self, speech: NDArray[np.float32], language: str | None) -> Transcript:
        return Transcript("".join([piece async for piece in self._play()]), language or "en")


class ScriptedChat(_Scripted[str]):
    """Answers with the strings of its script, and remembers what it was asked."""

    def __init__(self, name: str, *answers: Sequence[Step[str]]) -> None:
        super().__init__(name, *answers)
        self.requests: list[ChatRequest] = []

    def reply(self, request: ChatRequest) -> AsyncGenerator[str, None]:
        self.requests.append(request)
        return self._play()


class ScriptedTts(_Scripted[Pcm]):
    """Says the blocks of its script, and remembers what it was to say."""

    def __init__(self, name: str, *answers: Sequence[Step[Pcm]]) -> None:
        super().__init__(name, *answers)
        self.texts: list[str] = []
        self.voices: list[str | None] = []

    def voice(self, language: str, wanted: str | None = None) -> str:
        return wanted or f"{language}-{self.name}"

    def speak(self, text: str, language: str, voice: str | None = None) -> AsyncGenerator[Pcm, None]:
        self.texts.append(text)
        self.voices.append(voice)
        return self._play()
