"""Engines that take as long as real ones do, always the same, so that what is compared is how their time is used."""

import asyncio
import math
import re
from collections.abc import AsyncIterator

import numpy as np
from numpy.typing import NDArray

from benchmarks.instant import Unloaded, chained
from gateway.audio import Pcm
from gateway.config import Settings
from gateway.engines.protocols import ChatRequest
from gateway.engines.registry import Engines
from gateway.values import Transcript

RECOGNITION_S = 0.150
FIRST_TOKEN_S = 0.400
TOKENS_A_SECOND = 50
SYNTHESIS_S = 0.100
SYNTHESIS_SHARE = 0.1
"""A piece is synthesised in `SYNTHESIS_S` and this share of the time that it sounds, and then given whole."""
TOKEN_CHARACTERS = 4
CHARACTERS_A_SECOND = 15
"""At 150 words a minute."""
RATE = 24_000

SENTENCES = (
    "Right now it is eighteen degrees, with a light rain from the west.",
    "It should clear up around six o'clock, so you could still go for a walk before dinner.",
    "Take a jacket with you, because the evening will be rather cold and windy.",
)
_FIRST_CLAUSE = re.compile(r".{11,}?[,;:.!?…]")
"""Up to the first clause mark after 12 characters: the shortest first piece that sounds like one."""


def answer(sentences: int) -> str:
    return " ".join(SENTENCES[:sentences])


def tokens(text: str) -> list[str]:
    return [text[start : start + TOKEN_CHARACTERS] for start in range(0, len(text), TOKEN_CHARACTERS)]


def spoken_s(text: str) -> float:
    """How long `text` sounds."""
    return len(text) / CHARACTERS_A_SECOND


def synthesis_s(text: str) -> float:
    """How long it takes to synthesise `text`."""
    return SYNTHESIS_S + SYNTHESIS_SHARE * spoken_s(text)


def floor_s(text: str) -> float:
    """The soonest that `text` can be heard, from the end of the question, when everything overlaps and nothing else
    takes any time: recognition, the tokens of the shortest first piece, and its synthesis."""
    piece = first_clause(text)
    waiting_s = (len(tokens(piece)) - 1) / TOKENS_A_SECOND
    return RECOGNITION_S + FIRST_TOKEN_S + waiting_s + synthesis_s(piece)


def first_clause(text: str) -> str:
    found = _FIRST_CLAUSE.match(text)
    assert found, "the floor is of a text with a clause mark"
    return found[0]


class RealisticStt(Unloaded):
    """Hears a new question each time, so that none is answered from the cache."""

    local = True

    def __init__(self) -> None:
        self._heard = 0

    async def transcribe(self, speech: NDArray[np.float32], language: str | None) -> Transcript:
        await asyncio.sleep(RECOGNITION_S)
        self._heard += 1
        return Transcript(f"How is the weather, for the {self._heard}. time?", language or "en")


class RealisticChat(Unloaded):
    """Answers the same to everything, token by token."""

    def __init__(self, text: str) -> None:
        self._text = text

    async def reply(self, request: ChatRequest) -> AsyncIterator[str]:
        clock = asyncio.get_running_loop()
        first_at = clock.time() + FIRST_TOKEN_S
        for number, token in enumerate(tokens(self._text)):
            # By the clock, so that no delay adds up.
            await asyncio.sleep(first_at + number / TOKENS_A_SECOND - clock.time())
            yield token


class RealisticTts(Unloaded):
    """Says a tone as long as the text would be, and gives it whole."""

    def voice(self, language: str, wanted: str | None = None) -> str:
        return f"{language}-tone"

    async def speak(self, text: str, language: str, voice: str | None = None) -> AsyncIterator[Pcm]:
        await asyncio.sleep(synthesis_s(text))
        at = np.arange(math.ceil(RATE * spoken_s(text))) / RATE
        yield Pcm((8000 * np.sin(2 * np.pi * 440 * at)).astype(np.int16), RATE)


def realistic_engines(settings: Settings, sentences: int) -> Engines:
    """The three of them; every answer has so many `sentences`."""
    return chained(settings, RealisticStt(), RealisticChat(answer(sentences)), RealisticTts(), speech_cache_bytes=0)
