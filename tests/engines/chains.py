"""Chains of scripted engines, and what a turn asks of them."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

import numpy as np
import pytest

from gateway.audio import Pcm
from gateway.engines.chain import ChatChain, SttChain, TtsChain
from gateway.engines.protocols import ChatRequest, TextToSpeech
from gateway.errors import EngineBusy, EngineFailed, Stage
from gateway.values import Message
from tests.fakes.engines import ScriptedChat, ScriptedStt

SPEECH = np.zeros(16_000, np.float32)
REQUEST = ChatRequest((Message("user", "hello"),), "en", datetime(2026, 1, 1, tzinfo=UTC))
BROKEN = EngineFailed("no connection")
BUSY = EngineBusy("32 are waiting")
REST_S = 30.0
REFUSED = EngineFailed("no such voice", retryable=False, rest_s=0.0)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class PassedOver:
    """Notes what the chain reports."""

    def __init__(self) -> None:
        self.reports: list[tuple[Stage, str, str, float]] = []

    def __call__(self, stage: Stage, engine: str, message: str, rest_s: float) -> None:
        self.reports.append((stage, engine, message, rest_s))

    @property
    def engines(self) -> list[str]:
        return [engine for _, engine, _, _ in self.reports]


def never() -> asyncio.Event:
    return asyncio.Event()


def block(value: int, samples: int = 100) -> Pcm:
    return Pcm(np.full(samples, value, np.int16), 24_000)


def stt(*engines: ScriptedStt, clock: Callable[[], float] | None = None) -> SttChain:
    return SttChain(engines, timeout_s=15, rest_s=REST_S, clock=clock or Clock())


def chat(*engines: ScriptedChat) -> ChatChain:
    return ChatChain(engines, first_token_s=10, timeout_s=30, rest_s=REST_S, clock=Clock())


def tts(*engines: TextToSpeech, cache_bytes: int = 1_000_000, clock: Callable[[], float] | None = None) -> TtsChain:
    return TtsChain(engines, timeout_s=15, rest_s=REST_S, cache_bytes=cache_bytes, clock=clock or Clock())


async def heard(chain: SttChain, passed_over: PassedOver | None = None) -> str:
    return (await chain.transcribe(SPEECH, "en", passed_over or PassedOver())).text


async def said(chain: ChatChain, passed_over: PassedOver | None = None, into: list[str] | None = None) -> list[str]:
    """The pieces of the answer; they are in `into` even when the answer breaks off."""
    pieces = [] if into is None else into
    async for piece in chain.reply(REQUEST, passed_over or PassedOver()):
        pieces.append(piece)
    return pieces


async def spoken(chain: TtsChain, text: str = "hello", passed_over: PassedOver | None = None) -> list[int]:
    """The value of each block's samples."""
    return [int(pcm.samples[0]) async for pcm in chain.speak(text, "en", passed_over or PassedOver())]


async def cancel(task: "asyncio.Task[object]") -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
