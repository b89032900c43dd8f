"""An answer begins with the next engine when one fails, and is told in the pieces in which it was written."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace

import pytest

from gateway.engines.protocols import ChatRequest
from gateway.errors import ErrorCode, StageFailed
from tests.engines.chains import (
    BROKEN,
    REFUSED,
    REQUEST,
    PassedOver,
    cancel,
    chat,
    never,
    said,
)
from tests.fakes.engines import ScriptedChat
from tests.fakes.virtual_time import in_virtual_time


async def test_the_answer_comes_in_the_pieces_in_which_it_was_written() -> None:
    assert await said(chat(ScriptedChat("first", ["Hel", "lo ", "you"]))) == ["Hel", "lo ", "you"]


@pytest.mark.parametrize("useless", [[BROKEN], [], ["", "  \n"], [" ", BROKEN]])
async def test_before_the_first_word_another_engine_answers(useless: list[str | BaseException]) -> None:
    passed_over = PassedOver()
    answer = await said(chat(ScriptedChat("first", useless), ScriptedChat("second", [" ", "two"])), passed_over)
    assert answer == ["two"]
    assert passed_over.engines == ["first"]


async def test_after_the_first_word_a_failure_ends_the_answer() -> None:
    second = ScriptedChat("second", ["two"])
    chain = chat(ScriptedChat("first", ["one", BROKEN]), second)
    pieces: list[str] = []
    with pytest.raises(StageFailed) as caught:
        await said(chain, into=pieces)
    assert pieces == ["one"]
    assert caught.value.code == ErrorCode.LLM_FAILED
    assert second.calls == 0
    assert chain.health()[0].state == "resting"


@in_virtual_time
async def test_the_first_word_has_its_own_time_limit() -> None:
    passed_over = PassedOver()
    slow = ScriptedChat("slow", [6.0, " ", 6.0, "late"])
    assert await said(chat(slow, ScriptedChat("second", ["two"])), passed_over) == ["two"]
    assert passed_over.reports[0][2] == "took longer than 10 s"
    assert asyncio.get_running_loop().time() == pytest.approx(10)
    assert slow.running == 0


@in_virtual_time
async def test_the_whole_answer_has_a_time_limit() -> None:
    slow = ScriptedChat("slow", [9.0, "one", 9.0, "two", 9.0, "three", 9.0, "four"])
    pieces: list[str] = []
    with pytest.raises(StageFailed, match="took longer than 30 s"):
        await said(chat(slow), into=pieces)
    assert pieces == ["one", "two", "three"]
    assert slow.running == 0


@in_virtual_time
async def test_a_slow_listener_is_not_held_against_the_engine() -> None:
    chain = chat(ScriptedChat("first", [1.0, "one", 1.0, "two", 1.0, "three"]))
    pieces = []
    async for piece in chain.reply(REQUEST, PassedOver()):
        await asyncio.sleep(40)
        pieces.append(piece)
    assert pieces == ["one", "two", "three"]


async def test_an_answer_that_is_no_longer_wanted_stops_being_written() -> None:
    engine = ScriptedChat("first", ["one", "two", never()])
    chain = chat(engine)
    async with aclosing(chain.reply(REQUEST, PassedOver())) as answer:
        assert await anext(answer) == "one"
    assert engine.running == 0
    assert chain.health()[0].failures == 0


async def test_cancelling_an_answer_stops_the_engine() -> None:
    engine = ScriptedChat("first", ["one", never()])
    task = asyncio.create_task(said(chat(engine)))
    await engine.asked.wait()
    await cancel(task)
    assert engine.running == 0


async def test_an_iterator_that_cannot_be_closed_is_an_engine_all_the_same() -> None:
    class Plain:
        def __init__(self) -> None:
            self.left = ["one", "two"]

        def __aiter__(self) -> "Plain":
            return self

        async def __anext__(self) -> str:
            if not self.left:
                raise StopAsyncIteration
            return self.left.pop(0)

    class PlainChat(ScriptedChat):
        def reply(self, request: ChatRequest) -> AsyncIterator[str]:  # type: ignore[override]
            return Plain()

    assert await said(chat(PlainChat("plain", []))) == ["one", "two"]


async def test_a_model_that_is_chosen_answers_or_else_the_engines_own() -> None:
    first, second = ScriptedChat("first", [REFUSED], ["own"]), ScriptedChat("second", [REFUSED])
    chain, asked = chat(first, second), replace(REQUEST, model="big", max_tokens=7)
    assert [piece async for piece in chain.reply(asked, PassedOver())] == ["own"]
    assert [(request.model, request.max_tokens) for request in first.requests] == [("big", 7), (None, 7)]
    assert [request.model for request in second.requests] == ["big"]
    assert {health.rest_left_s for health in chain.health()} == {0.0}


async def test_a_model_meant_for_one_engine_is_not_asked_of_another() -> None:
    first, second = ScriptedChat("first", [BROKEN]), ScriptedChat("openai", ["yes"])
    asked = replace(REQUEST, model="openai:big")
    assert [piece async for piece in chat(first, second).reply(asked, PassedOver())] == ["yes"]
    assert (first.requests[0].model, second.requests[0].model) == (None, "big")
