"""Home Assistant's conversation agent as a chat engine."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from gateway.config import Settings
from gateway.engines.llm.home_assistant import HomeAssistantChat
from gateway.engines.toolboxes import Toolboxes
from gateway.errors import EngineFailed
from tests.conformance.llm import request, whole
from tests.conformance.tools import CONTEXT
from tests.fakes.home_assistant import TOKEN, HomeAssistantServer


@pytest.fixture
async def home() -> AsyncIterator[HomeAssistantServer]:
    async with HomeAssistantServer() as server:
        yield server


@pytest.fixture
async def engine(home: HomeAssistantServer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[HomeAssistantChat]:
    monkeypatch.setenv("HOME_ASSISTANT_TOKEN", TOKEN)
    engine = HomeAssistantChat.from_settings(Settings(home_assistant_url=home.url))
    await engine.start()
    yield engine
    await engine.close()


async def test_the_agent_does_what_is_asked_and_its_words_are_the_answer(
    engine: HomeAssistantChat, home: HomeAssistantServer
) -> None:
    home.agent.answer = ("action_done", "He encendido la luz")
    assert await whole(engine, request("Hola.", "Hola.", "Enciende la luz.")) == "He encendido la luz"
    assert home.agent.requests[-1].json == {"text": "Enciende la luz.", "language": "es"}


async def test_what_it_does_not_understand_is_for_the_next_engine_and_no_reason_to_rest(
    engine: HomeAssistantChat, home: HomeAssistantServer
) -> None:
    home.agent.answer = ("error", "No te entiendo")
    with pytest.raises(EngineFailed, match="not understood: No te entiendo") as caught:
        await whole(engine, request("¿Qué cocino?"))
    assert caught.value.rest_s == 0


async def test_one_that_is_broken_rests(engine: HomeAssistantChat, home: HomeAssistantServer) -> None:
    home.broken = 500
    with pytest.raises(EngineFailed, match="answered 500: told to fail") as caught:
        await whole(engine, request("Enciende la luz."))
    assert caught.value.rest_s is None


async def test_in_a_turn_it_acts_once_and_only_for_devices_that_may(
    engine: HomeAssistantChat, home: HomeAssistantServer
) -> None:
    allowed = Toolboxes().for_turn(None, CONTEXT)
    allowed.allow(lambda _: None)
    asked = replace(request("Enciende la luz."), tools=allowed)
    assert [await whole(engine, asked) for _ in range(2)] == ["Done", "Done"]
    assert len(home.agent.requests) == 1
    with pytest.raises(EngineFailed, match="may not use home-assistant"):
        await whole(engine, replace(asked, tools=Toolboxes().for_turn((), CONTEXT)))


def test_describes_itself(engine: HomeAssistantChat) -> None:
    assert engine.description.startswith("home-assistant 127.0.0.1")
