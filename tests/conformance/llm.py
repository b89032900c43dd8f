"""What every chat model must do."""

import asyncio
from contextlib import aclosing
from datetime import datetime
from zoneinfo import ZoneInfo

from gateway.engines.protocols import ChatModel, ChatRequest
from gateway.values import Message

NOW = datetime(2026, 11, 22, 17, 5, tzinfo=ZoneInfo("Europe/Madrid"))


def request(*turns: str, language: str = "es", now: datetime = NOW) -> ChatRequest:
    """A conversation: the person and the assistant by turns, the person first, so the last is the question."""
    messages = [Message("system", "You are a voice assistant.")]
    messages += [Message("assistant" if index % 2 else "user", text) for index, text in enumerate(turns)]
    return ChatRequest(tuple(messages), language, now)


async def whole(engine: ChatModel, asked: ChatRequest) -> str:
    return "".join([piece async for piece in engine.reply(asked)])


class ChatConformance:
    """Inherit, and give a fixture `engine`, started, to be closed at the end. It must quote an unknown question."""

    async def test_answers_in_pieces(self, engine: ChatModel) -> None:
        pieces = [piece async for piece in engine.reply(request("El elefante baila."))]
        assert len(pieces) > 1
        assert all(pieces)
        assert "elefante" in "".join(pieces)

    async def test_a_reply_that_is_closed_early_ends(self, engine: ChatModel) -> None:
        async with aclosing(engine.reply(request("El elefante baila."))) as pieces:
            await anext(pieces)
        assert await whole(engine, request("La jirafa canta."))

    async def test_conversations_do_not_mix(self, engine: ChatModel) -> None:
        animals = [f"animal{index}" for index in range(10)]
        answers = await asyncio.gather(*(whole(engine, request(f"Mira el {animal}.")) for animal in animals))
        for animal, answer in zip(animals, answers, strict=True):
            assert [other for other in animals if other in answer.split(".")[0].split()] == [animal]

    def test_describes_itself(self, engine: ChatModel) -> None:
        assert engine.name in engine.description
