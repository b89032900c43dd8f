import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace

import pytest

from gateway.config import Settings
from gateway.engines.llm.openai import OpenAIChat
from gateway.errors import EngineFailed
from tests.conformance.llm import ChatConformance, request, whole
from tests.conformance.openai_failures import OpenAIFailures
from tests.fakes.http_server import Ending, Request
from tests.fakes.openai_server import Answer, Broken, Endpoint, OpenAIServer, Status


@pytest.fixture
async def engine(server: OpenAIServer) -> AsyncIterator[OpenAIChat]:
    engine = TestOpenAIChat().make()
    await engine.start()
    yield engine
    await engine.close()


class TestOpenAIChat(ChatConformance, OpenAIFailures):
    beginning = ("Uno, ", "dos")

    @pytest.fixture(autouse=True)
    def echoing(self, server: OpenAIServer) -> None:
        server.chat.answer = lambda request: [
            f"{word} " for word in ("Dices:", *request.json["messages"][-1]["content"].split())
        ]

    def make(self, timeout_s: float = 10.0) -> OpenAIChat:
        return OpenAIChat(model="gpt-test", max_tokens=100, temperature=0.3, timeout_s=timeout_s)

    async def work(self, engine: OpenAIChat) -> str:
        return await whole(engine, request("Hola."))

    def endpoint(self, server: OpenAIServer) -> Endpoint:
        return server.chat

    async def test_sends_the_conversation_and_the_settings(self, engine: OpenAIChat, server: OpenAIServer) -> None:
        await whole(engine, request("Me llamo Ana.", "Encantado, Ana.", "¿Cómo me llamo?"))
        sent = server.chat.requests[-1].json
        assert sent["messages"] == [
            {"role": "system", "content": "You are a voice assistant."},
            {"role": "user", "content": "Me llamo Ana."},
            {"role": "assistant", "content": "Encantado, Ana."},
            {"role": "user", "content": "¿Cómo me llamo?"},
        ]
        del sent["messages"]
        assert sent == {"model": "gpt-test", "stream": True, "max_tokens": 100, "temperature": 0.3}

    async def test_what_came_before_the_server_broke_off_was_passed_on(
        self, engine: OpenAIChat, server: OpenAIServer
    ) -> None:
        server.chat.answer = Broken(["Uno, ", "dos"], Ending.CLOSE)
        pieces = engine.reply(request("Cuenta."))
        assert [await anext(pieces), await anext(pieces)] == ["Uno, ", "dos"]
        with pytest.raises(EngineFailed):
            await anext(pieces)

    async def test_a_reply_closed_early_stops_the_server(self, engine: OpenAIChat, server: OpenAIServer) -> None:
        server.chat.answer = Broken(["Uno, "], Ending.HANG)
        async with aclosing(engine.reply(request("Cuenta."))) as pieces:
            assert await anext(pieces) == "Uno, "
        async with asyncio.timeout(1):
            await server.chat.abandoned.get()

    async def test_an_empty_answer_is_a_failure(self, engine: OpenAIChat, server: OpenAIServer) -> None:
        server.chat.answer = []
        with pytest.raises(EngineFailed, match="answered nothing"):
            await whole(engine, request("Hola."))

    async def test_gives_newer_models_the_parameters_that_they_want(
        self, engine: OpenAIChat, server: OpenAIServer
    ) -> None:
        def newer_model(request: Request) -> Answer:
            if "max_tokens" in request.json:
                return Status(400, param="max_tokens", code="unsupported_parameter")
            if "temperature" in request.json:
                return Status(400, param="temperature", code="unsupported_value")
            return ["Bien", "."]

        server.chat.answer = newer_model
        assert await whole(engine, request("Hola.")) == "Bien."
        assert await whole(engine, request("Hola.")) == "Bien."
        assert len(server.chat.requests) == 4
        sent = server.chat.requests[-1].json
        assert sent["max_completion_tokens"] == 100
        assert not {"max_tokens", "temperature"} & sent.keys()

    async def test_a_parameter_refused_for_ever_is_a_failure(self, engine: OpenAIChat, server: OpenAIServer) -> None:
        server.chat.answer = Status(400, param="max_tokens")
        with pytest.raises(EngineFailed, match="answered 400"):
            await whole(engine, request("Hola."))
        assert len(server.chat.requests) == 2

    async def test_a_device_may_have_another_model_and_longer_answers(
        self, engine: OpenAIChat, server: OpenAIServer
    ) -> None:
        await whole(engine, replace(request("Hola."), model="big", max_tokens=500))
        await whole(engine, request("Hola."))
        sent = [(one.json["model"], one.json["max_tokens"]) for one in server.chat.requests]
        assert sent == [("big", 500), ("gpt-test", 100)]

    async def test_what_one_model_does_not_want_another_is_given(
        self, engine: OpenAIChat, server: OpenAIServer
    ) -> None:
        def newer_model(request: Request) -> Answer:
            refused = request.json["model"] == "newer" and "max_tokens" in request.json
            return Status(400, param="max_tokens") if refused else "Bien."

        server.chat.answer = newer_model
        for model in ("newer", None, "newer"):
            assert await whole(engine, replace(request("Hola."), model=model)) == "Bien."
        told = [sorted(one.json.keys() & {"max_tokens", "max_completion_tokens"}) for one in server.chat.requests]
        assert told == [["max_tokens"], ["max_completion_tokens"], ["max_tokens"], ["max_completion_tokens"]]

    @pytest.mark.parametrize(("model", "rest_s"), [("gone", 0.0), (None, None)])
    async def test_a_model_chosen_for_one_device_that_is_not_there_says_nothing_of_the_server(
        self, engine: OpenAIChat, server: OpenAIServer, model: str | None, rest_s: float | None
    ) -> None:
        server.chat.answer = Status(404, message="no such model")
        with pytest.raises(EngineFailed) as failure:
            await whole(engine, replace(request("Hola."), model=model))
        assert failure.value.rest_s == rest_s

    def test_is_made_from_settings(self) -> None:
        assert "gpt-4o-mini" in OpenAIChat.from_settings(Settings()).description
        assert "llama3.2:3b" in OpenAIChat.from_settings(Settings(llm_model="llama3.2:3b")).description
