"""Engines that take no time, so that what remains is the gateway's own share."""

from collections.abc import AsyncIterator

import numpy as np
from numpy.typing import NDArray

from gateway.audio import Pcm
from gateway.config import Settings
from gateway.engines.chain import ChatChain, SttChain, TtsChain
from gateway.engines.protocols import ChatModel, ChatRequest, SpeechToText, TextToSpeech
from gateway.engines.registry import Engines
from gateway.values import Transcript

RATE = 24_000
SPOKEN_S = 1.0
"""How long every answer sounds."""


class Unloaded:
    """What engines for measurements have in common: nothing to start and nothing to close."""

    name = "measured"
    description = "for measurements"

    async def start(self) -> None:
        """Nothing to load."""

    async def close(self) -> None:
        """Nothing to let go."""


class InstantStt(Unloaded):
    """Hears a new question each time, so that none is answered from the cache; or, if `deaf`, nothing at all."""

    local = True

    def __init__(self, *, deaf: bool = False) -> None:
        self._deaf = deaf
        self._heard = 0

    async def transcribe(self, speech: NDArray[np.float32], language: str | None) -> Transcript:
        self._heard += 1
        return Transcript("" if self._deaf else f"question {self._heard}", language or "en")


class InstantChat(Unloaded):
    """Answers one sentence, which depends on the question only."""

    async def reply(self, request: ChatRequest) -> AsyncIterator[str]:
        yield f"That was {request.messages[-1].text}."


class InstantTts(Unloaded):
    """Says one tone of `SPOKEN_S` seconds for whatever it is given."""

    def __init__(self) -> None:
        at = np.arange(int(RATE * SPOKEN_S)) / RATE
        self._tone = Pcm((8000 * np.sin(2 * np.pi * 440 * at)).astype(np.int16), RATE)

    def voice(self, language: str, wanted: str | None = None) -> str:
        return f"{language}-tone"

    async def speak(self, text: str, language: str, voice: str | None = None) -> AsyncIterator[Pcm]:
        yield self._tone


def instant_engines(settings: Settings, *, deaf: bool = False) -> Engines:
    """The three of them, in the chains that every engine works in."""
    cache_bytes = settings.speech_cache_mb * 1024 * 1024
    return chained(settings, InstantStt(deaf=deaf), InstantChat(), InstantTts(), speech_cache_bytes=cache_bytes)


def chained(
    settings: Settings, stt: SpeechToText, chat: ChatModel, tts: TextToSpeech, *, speech_cache_bytes: int
) -> Engines:
    """One engine of each kind, in the chains that every engine works in."""
    rest_s = settings.engine_rest_s
    return Engines(
        SttChain([stt], timeout_s=settings.stt_timeout_s, rest_s=rest_s),
        ChatChain(
            [chat],
            first_token_s=settings.llm_first_token_s,
            timeout_s=settings.llm_timeout_s,
            rest_s=rest_s,
        ),
        TtsChain([tts], timeout_s=settings.tts_timeout_s, rest_s=rest_s, cache_bytes=speech_cache_bytes),
    )
