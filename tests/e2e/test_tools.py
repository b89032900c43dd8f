"""A whole gateway whose chat model does things: what people hear, what happens at home, and what never happens."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from gateway.device import SoftwareDevice
from tests.conformance.speech import silence
from tests.e2e.conftest import StartDevice, StartGateway
from tests.e2e.onlooker import Onlooker
from tests.e2e.speech import spoken
from tests.e2e.test_speculation import END_S, ONE, PAUSE_S, UNHURRIED, counted, said, say, say_more
from tests.fakes.home_assistant import TOKEN, HomeAssistantServer
from tests.fakes.http_server import Ending, Request
from tests.fakes.mosquitto import Mosquitto
from tests.fakes.openai_server import Answer, Broken, Calls, OpenAIServer, in_rounds, told

EMBEDDED = "embedded://127.0.0.1:0"
LIGHT_ON = Calls(("home_control", {"entity_ids": ["light.kitchen"], "action": "on"}))
PATIENT_S = 20.0


@pytest.fixture
async def home(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[HomeAssistantServer]:
    monkeypatch.setenv("HOME_ASSISTANT_TOKEN", TOKEN)
    async with HomeAssistantServer() as server:
        yield server


def with_home(home: HomeAssistantServer, **given: Any) -> dict[str, Any]:
    return {
        "mqtt_url": EMBEDDED,
        "home_assistant_url": home.url,
        "home_assistant_entities": ["light.*"],
        "home_assistant_weather": "weather.home",
    } | given


async def answered(device: SoftwareDevice, question: str) -> tuple[str, list[tuple[str, bool]]]:
    """The answer to `question`, and the tools that were used for it."""
    exchange = await device.ask(question)
    done = await exchange.done(PATIENT_S)
    used = [(event["name"], event["ok"]) for event in exchange.events if event["event"] == "tool"]
    return done["reply"], used


async def test_a_spoken_wish_is_done_at_home_and_confirmed_aloud(
    provider: OpenAIServer, home: HomeAssistantServer, start_gateway: StartGateway, start_device: StartDevice
) -> None:
    provider.transcriptions.answer = "Enciende la luz de la cocina."
    provider.chat.answer = in_rounds(LIGHT_ON, "He encendido la luz de la cocina.")
    device = await start_device(await start_gateway(**with_home(home)))
    exchange = await device.speak(spoken(0), paced=False)
    reply = await exchange.reply(PATIENT_S)
    done = await exchange.done(PATIENT_S)
    assert home.states["light.kitchen"]["state"] == "on"
    assert (done["outcome"], done["reply"]) == ("completed", "He encendido la luz de la cocina.")
    assert len(reply.mp3) > 1000
    tool = next(event for event in exchange.events if event["event"] == "tool")
    assert (tool["name"], tool["ok"], tool["turn"], tool["ms"] >= 0) == ("home_control", True, done["turn"], True)
    assert "light.kitchen" not in str(tool)


async def test_the_three_questions_of_every_day_get_true_answers(
    provider: OpenAIServer, home: HomeAssistantServer, start_gateway: StartGateway, start_device: StartDevice
) -> None:
    """The model of this test answers with nothing but what its tools have told it."""

    def model(request: Request) -> Answer:
        question = request.json["messages"][-1]["content"] if not told(request) else ""
        if "tiempo" in question:
            return Calls(("home_weather", {"days": 1}))
        if "hora" in question:
            return Calls(("get_time", {"zone": "Asia/Tokyo"}))
        return [part[:60] for part in told(request)] or "Con huevos y patatas, una tortilla."

    provider.chat.answer = model
    gateway = await start_gateway(**with_home(home, timezone="Europe/Madrid"))
    device = await start_device(gateway)
    weather, used = await answered(device, "¿Qué tiempo hace hoy?")
    assert ("rainy" in weather, "9.5" in weather, used) == (True, True, [("home_weather", True)])
    time, used = await answered(device, "¿Qué hora es en Tokio?")
    assert ("JST, UTC+09:00" in time, used) == (True, [("get_time", True)])
    recipe, used = await answered(device, "¿Qué cocino con huevos y patatas?")
    assert (recipe, used) == ("Con huevos y patatas, una tortilla.", [])


async def test_a_wish_that_is_repeated_is_done_again_and_never_answered_from_the_cache(
    provider: OpenAIServer, home: HomeAssistantServer, start_gateway: StartGateway, start_device: StartDevice
) -> None:
    provider.chat.answer = in_rounds(LIGHT_ON, "Hecho.")
    device = await start_device(await start_gateway(**with_home(home)))
    for _ in range(2):
        assert await answered(device, "Enciende la luz.") == ("Hecho.", [("home_control", True)])
    assert len(home.services) == 2


async def test_the_conversation_keeps_question_and_answer_only(
    provider: OpenAIServer, home: HomeAssistantServer, start_gateway: StartGateway, start_device: StartDevice
) -> None:
    provider.chat.answer = in_rounds(LIGHT_ON, "Hecho.")
    device = await start_device(await start_gateway(**with_home(home)))
    await answered(device, "Enciende la luz.")
    await answered(device, "Gracias.")
    asked = next(one.json["messages"][1:] for one in provider.chat.requests if "Gracias." in str(one.json["messages"]))
    assert asked == [
        {"role": "user", "content": "Enciende la luz."},
        {"role": "assistant", "content": "Hecho."},
        {"role": "user", "content": "Gracias."},
    ]


async def test_a_device_may_use_only_the_tools_of_its_personality(
    provider: OpenAIServer, home: HomeAssistantServer, start_gateway: StartGateway, start_device: StartDevice
) -> None:
    provider.chat.answer = in_rounds(LIGHT_ON, "No puedo.")
    gateway = await start_gateway(**with_home(home, devices={"child": {"tools": ["clock"]}, "guest": {"tools": []}}))
    for name, offered in (("child", ["get_time"]), ("guest", [])):
        device = await start_device(gateway, name)
        assert await answered(device, "Enciende la luz.") == ("No puedo.", [("unknown", False)])
        tools = provider.chat.requests[-1].json.get("tools", [])
        assert [tool["function"]["name"] for tool in tools] == offered
    assert home.services == []


async def test_what_is_done_is_counted(
    provider: OpenAIServer, home: HomeAssistantServer, start_gateway: StartGateway, start_device: StartDevice
) -> None:
    provider.chat.answer = in_rounds(Calls(*LIGHT_ON.calls, ("dance", {})), "Hecho.")
    async with Mosquitto() as broker, Onlooker(broker.url, "voice/gateway/stats") as onlooker:
        gateway = await start_gateway(**with_home(home, mqtt_url=broker.url, stats_interval_s=0.1))
        await answered(await start_device(gateway), "Enciende la luz y baila.")
        expected = [
            {"name": "home_control", "calls": 1, "failed": 0, "repeated": 0},
            {"name": "unknown", "calls": 1, "failed": 1, "repeated": 0},
        ]
        await onlooker.json("voice/gateway/stats", tools=expected)


async def test_a_home_that_does_not_answer_ends_no_turn(
    provider: OpenAIServer, home: HomeAssistantServer, start_gateway: StartGateway, start_device: StartDevice
) -> None:
    provider.chat.answer = in_rounds(LIGHT_ON, "No lo consigo.")
    device = await start_device(await start_gateway(**with_home(home)))
    await home.stop()
    assert await answered(device, "Enciende la luz.") == ("No lo consigo.", [("home_control", False)])
    assert "cannot be reached" in told(provider.chat.requests[-1])[0]


async def test_who_interrupts_ends_what_is_not_done_yet(
    provider: OpenAIServer, home: HomeAssistantServer, start_gateway: StartGateway, start_device: StartDevice
) -> None:
    provider.chat.answer = LIGHT_ON
    home.service["light.turn_on"].wait_for = asyncio.Event()
    device = await start_device(await start_gateway(**with_home(home)))
    exchange = await device.ask("Enciende la luz.")
    service = home.service["light.turn_on"]
    async with asyncio.timeout(PATIENT_S):
        await service.arrived.get()
        await device.abort()
        await service.abandoned.get()
    assert (await exchange.done(PATIENT_S))["outcome"] == "interrupted"


async def test_another_engine_goes_on_where_one_broke_off_after_it_had_acted(
    provider: OpenAIServer, home: HomeAssistantServer, start_gateway: StartGateway, start_device: StartDevice
) -> None:
    provider.chat.answer = in_rounds(LIGHT_ON, Broken([], Ending.CLOSE))
    device = await start_device(await start_gateway(**with_home(home, llm="openai,offline")))
    reply, used = await answered(device, "Turn on the light.")
    assert (reply.startswith("I heard: Turn on the light."), used) == (True, [("home_control", True)])
    assert len(home.services) == 1


@pytest.mark.parametrize("understood", [True, False])
async def test_the_agent_of_home_assistant_answers_first_and_the_model_what_it_does_not_understand(
    provider: OpenAIServer,
    home: HomeAssistantServer,
    start_gateway: StartGateway,
    start_device: StartDevice,
    understood: bool,
) -> None:
    home.agent.answer = ("action_done", "Turned on the light") if understood else ("error", "Sorry?")
    device = await start_device(await start_gateway(**with_home(home, llm="home-assistant,openai")))
    for times in (1, 2):
        reply, used = await answered(device, "Turn on the light.")
        assert reply == ("Turned on the light" if understood else "Answer to Turn on the light..")
        assert used == [("home-assistant", understood)]
        assert len(home.agent.requests) == times
    assert bool(provider.chat.requests) == (not understood)


async def test_nothing_is_done_in_a_pause_that_is_not_the_end(
    provider: OpenAIServer, home: HomeAssistantServer, start_gateway: StartGateway, start_device: StartDevice
) -> None:
    provider.transcriptions.answer = "Enciende la luz."
    provider.chat.answer = in_rounds(LIGHT_ON, "Hecho.")
    gateway = await start_gateway(**(with_home(home) | UNHURRIED | {"speculation": "answer"}))
    device = await start_device(gateway)
    exchange = await say(device, said(ONE), silence(PAUSE_S))
    async with asyncio.timeout(PATIENT_S):
        await provider.chat.arrived.get()
    # The model wants the light on, and the person goes on, and pauses again.
    await say_more(device, said(ONE), silence(PAUSE_S))
    async with asyncio.timeout(PATIENT_S):
        await provider.chat.arrived.get()
    assert home.services == []
    await say_more(device, silence(END_S))
    assert (await exchange.done(PATIENT_S))["reply"] == "Hecho."
    assert len(home.services) == 1
    assert "tool" in [event["event"] for event in exchange.events]
    assert counted(gateway)["answers_used"] == 1
