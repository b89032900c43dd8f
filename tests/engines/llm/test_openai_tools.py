"""A chat model that calls functions, over the API of a real local server."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace

import pytest

from gateway.engines.llm.openai import ROUNDS_MAX, OpenAIChat
from gateway.engines.llm.tool_calls import CALLS_AT_ONCE
from gateway.engines.protocols import ChatRequest, ToolCall
from gateway.engines.toolboxes import Toolboxes
from gateway.errors import EngineFailed
from tests.conformance.llm import request as plain
from tests.conformance.llm import whole
from tests.conformance.tools import CONTEXT
from tests.engines.test_turn_tools import PATIENT_S, Lamp
from tests.fakes.http_server import Request, Response
from tests.fakes.openai_server import Answer, Calls, Content, OpenAIServer, Status, in_rounds, told


@pytest.fixture
async def engine(server: OpenAIServer) -> AsyncIterator[OpenAIChat]:
    engine = OpenAIChat(model="gpt-test", max_tokens=100, temperature=0.3, timeout_s=10)
    await engine.start()
    yield engine
    await engine.close()


@pytest.fixture
def lamp() -> Lamp:
    return Lamp()


@pytest.fixture
def called() -> list[ToolCall]:
    return []


def request_with(lamp: Lamp, called: list[ToolCall]) -> ChatRequest:
    tools = Toolboxes([lamp], timeout_s=PATIENT_S).for_turn(None, CONTEXT)
    tools.allow(called.append)
    return replace(plain("Enciende la luz."), tools=tools)


@pytest.fixture
def asked(lamp: Lamp, called: list[ToolCall]) -> ChatRequest:
    return request_with(lamp, called)


async def test_the_model_calls_a_function_and_answers_with_what_it_is_told(
    engine: OpenAIChat, server: OpenAIServer, asked: ChatRequest, lamp: Lamp
) -> None:
    server.chat.answer = in_rounds(Calls(("switch", {"state": "encendida, ¿sí?"})), ["La luz ", "está encendida."])
    assert await whole(engine, asked) == "La luz está encendida."
    first, second = (one.json for one in server.chat.requests)
    assert [tool["function"]["name"] for tool in first["tools"]] == ["switch", "look"]
    assert first["tools"][0] == {
        "type": "function",
        "function": {"name": "switch", "description": "Switch", "parameters": {"type": "object"}},
    }
    calls, result = second["messages"][-2:]
    assert json.loads(calls["tool_calls"][0]["function"]["arguments"]) == {"state": "encendida, ¿sí?"}
    assert result == {"role": "tool", "tool_call_id": calls["tool_calls"][0]["id"], "content": "switch 1"}
    assert lamp.done == ["switch"]


async def test_what_is_said_before_a_call_is_a_sentence_of_its_own(
    engine: OpenAIChat, server: OpenAIServer, asked: ChatRequest
) -> None:
    server.chat.answer = in_rounds(Calls(("look", {}), text="Voy a ver."), "Está encendida.")
    assert await whole(engine, asked) == "Voy a ver. Está encendida."
    assert server.chat.requests[-1].json["messages"][-2]["content"] == "Voy a ver."


async def test_several_calls_are_done_at_the_same_time(
    engine: OpenAIChat, server: OpenAIServer, asked: ChatRequest, lamp: Lamp
) -> None:
    server.chat.answer = in_rounds(Calls(("switch", {"at": 1}), ("look", {}), ("switch", {"at": 2})), "Hecho.")
    lamp.go_on.clear()
    answering = asyncio.create_task(whole(engine, asked))
    for _ in range(3):
        await lamp.begun.acquire()
    lamp.go_on.set()
    assert await answering == "Hecho."
    assert sorted(told(server.chat.requests[-1])) == ["look 2", "switch 1", "switch 3"]


async def test_a_server_that_numbers_every_call_the_same_is_understood(
    engine: OpenAIChat, server: OpenAIServer, asked: ChatRequest, lamp: Lamp, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.chat.answer = in_rounds(Calls(("switch", {"at": 1}), ("look", {"at": 2})), "Hecho.")
    render = server.chat.render

    def numbered_the_same(answer: Content, *, whole: bool) -> Response:
        response = render(answer, whole=whole)
        return replace(response, pieces=tuple(piece.replace(b'"index": 1', b'"index": 0') for piece in response.pieces))

    monkeypatch.setattr(server.chat, "render", numbered_the_same)
    assert await whole(engine, asked) == "Hecho."
    assert lamp.done == ["switch", "look"]


async def test_what_fails_is_told_the_model_and_the_answer_goes_on(
    engine: OpenAIChat, server: OpenAIServer, asked: ChatRequest
) -> None:
    server.chat.answer = in_rounds(
        Calls(("dance", {}), ("switch", "{broken"), ("look", {"fail": True})), "No he podido."
    )
    assert await whole(engine, asked) == "No he podido."
    assert told(server.chat.requests[-1]) == [
        "error: there is no function 'dance'; there are: switch, look",
        "error: the arguments are no JSON object",
        "error: the bulb is broken",
    ]
    # A conversation with broken JSON in it would be refused by some servers.
    for call in server.chat.requests[-1].json["messages"][-4]["tool_calls"]:
        json.loads(call["function"]["arguments"])


async def test_a_model_that_only_calls_functions_has_to_answer_in_the_end(
    engine: OpenAIChat, server: OpenAIServer, asked: ChatRequest, lamp: Lamp
) -> None:
    def insatiable(request: Request) -> Answer:
        if request.json.get("tool_choice") == "none":
            return "Basta."
        return Calls(("look", {"at": len(server.chat.requests)}))

    server.chat.answer = insatiable
    assert await whole(engine, asked) == "Basta."
    assert (len(server.chat.requests), len(lamp.done)) == (ROUNDS_MAX + 1, ROUNDS_MAX)


async def test_a_model_that_never_answers_has_failed(
    engine: OpenAIChat, server: OpenAIServer, asked: ChatRequest
) -> None:
    server.chat.answer = Calls(("look", {}))
    with pytest.raises(EngineFailed, match="answered nothing"):
        await whole(engine, asked)
    assert len(server.chat.requests) == ROUNDS_MAX + 1


async def test_too_many_calls_at_once_are_not_done(
    engine: OpenAIChat, server: OpenAIServer, asked: ChatRequest, lamp: Lamp
) -> None:
    many = Calls(*(("look", {"at": at}) for at in range(CALLS_AT_ONCE + 3)))
    server.chat.answer = in_rounds(many, "Hecho.")
    assert await whole(engine, asked) == "Hecho."
    assert len(lamp.done) == len(told(server.chat.requests[-1])) == CALLS_AT_ONCE
    assert engine.counters == {"without_tools": 0, "calls_ignored": 3}


@pytest.mark.parametrize(
    "refusal",
    [
        Status(400, message="registry.ollama.ai/library/gemma does not support tools"),
        Status(400, message='"auto" tool choice requires --enable-auto-tool-choice'),
        Status(404, message="No endpoints found that support tool use"),
        Status(500, message="tools param requires --jinja flag"),
    ],
    ids=["Ollama", "vLLM", "OpenRouter", "llama.cpp"],
)
async def test_a_model_that_takes_no_functions_is_asked_without_from_then_on(
    engine: OpenAIChat, server: OpenAIServer, asked: ChatRequest, refusal: Status, caplog: pytest.LogCaptureFixture
) -> None:
    server.chat.answer = lambda request: refusal if "tools" in request.json else "Hola."
    assert [await whole(engine, asked) for _ in range(3)] == ["Hola."] * 3
    assert ["tools" in one.json for one in server.chat.requests] == [True, False, False, False]
    assert engine.counters == {"without_tools": 3, "calls_ignored": 0}
    assert refusal.message in caplog.text


async def test_another_failure_is_not_taken_for_a_refusal_of_functions(
    engine: OpenAIChat, server: OpenAIServer, asked: ChatRequest
) -> None:
    server.chat.answer = Status(429, message="too many requests for this tool")
    with pytest.raises(EngineFailed, match="429"):
        await whole(engine, asked)
    assert (len(server.chat.requests), engine.counters) == (1, {})


async def test_a_reply_that_is_closed_ends_its_calls(
    engine: OpenAIChat, server: OpenAIServer, asked: ChatRequest, lamp: Lamp
) -> None:
    server.chat.answer = Calls(("switch", {}), text="Un momento.")
    lamp.go_on.clear()

    async def read() -> None:
        async with aclosing(engine.reply(asked)) as pieces:
            async for _ in pieces:
                pass

    reading = asyncio.create_task(read())
    await lamp.begun.acquire()
    reading.cancel()
    await asyncio.wait({reading})
    lamp.go_on.set()
    for _ in range(10):
        await asyncio.sleep(0)
    assert lamp.done == []
    assert not [task for task in asyncio.all_tasks() if task.get_name() == "call switch"]


async def test_without_functions_none_are_offered(engine: OpenAIChat, server: OpenAIServer) -> None:
    tools = Toolboxes().for_turn(None, CONTEXT)
    await whole(engine, replace(plain("Hola."), tools=tools))
    assert not {"tools", "tool_choice"} & server.chat.requests[-1].json.keys()
