"""What is wished for aloud happens in a real Home Assistant, old and new."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from gateway.app import Gateway
from gateway.device import SoftwareDevice
from gateway.settings_sources import load_settings
from tests.e2e.speech import sound_file, spoken
from tests.fakes.mosquitto import Mosquitto
from tests.fakes.openai_server import Calls, OpenAIServer, in_rounds, told
from tests.home_assistant.home_assistant import VERSIONS, HomeAssistant

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(400)]

CONFIGURATION = """
conversation:
homeassistant:
  packages:
    tools:
      input_boolean:
        lamp:
          name: Inside of the lamp
      light:
        - platform: template
          lights:
            kitchen:
              friendly_name: Kitchen lamp
              value_template: "{{ is_state('input_boolean.lamp', 'on') }}"
              turn_on:
                service: input_boolean.turn_on
                target: {entity_id: input_boolean.lamp}
              turn_off:
                service: input_boolean.turn_off
                target: {entity_id: input_boolean.lamp}
      weather:
        - platform: template
          name: Home
          condition_template: rainy
          temperature_template: "{{ 9.5 }}"
          temperature_unit: °C
          humidity_template: "{{ 88 }}"
          forecast_daily_template: >
            {{ [{'datetime': '2026-11-23T00:00:00+00:00', 'condition': 'sunny', 'temperature': 14.0}] }}
"""

Ask = Callable[..., Awaitable[str]]


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=VERSIONS)
async def home(request: pytest.FixtureRequest) -> AsyncIterator[HomeAssistant]:
    async with (
        Mosquitto() as broker,
        HomeAssistant(request.param, broker.port, configuration=CONFIGURATION) as home,
    ):
        await home.becomes("light.kitchen", "off")
        await home.becomes("weather.home", "rainy")
        yield home


@pytest_asyncio.fixture(loop_scope="module")
async def provider(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[OpenAIServer]:
    async with OpenAIServer() as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        yield server


@pytest_asyncio.fixture(loop_scope="module")
async def ask(
    home: HomeAssistant, provider: OpenAIServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> AsyncIterator[Ask]:
    """Lets a device of a gateway with these settings say something aloud, and returns what it is answered."""
    monkeypatch.setenv("HOME_ASSISTANT_TOKEN", home.token)
    async with AsyncExitStack() as stack:

        async def ask(heard: str, **given: Any) -> str:
            provider.transcriptions.answer = heard
            settings = {
                "mqtt_url": "embedded://127.0.0.1:0", "stt": "openai", "tts": "openai", "language": "en", "web": "off",
                "data_dir": tmp_path, "home_assistant_url": home.url, "home_assistant_weather": "weather.home",
            }  # fmt: skip
            gateway = await stack.enter_async_context(Gateway(load_settings(settings | given, {}, None).settings))
            await gateway.wait_connected(20)
            url = f"mqtt://{gateway.broker_url.address}"
            device = await stack.enter_async_context(SoftwareDevice(url, "kitchen"))
            return str((await (await device.speak_file(sound_file(spoken(0)))).done(30))["reply"])

        yield ask
        await home.call("light.turn_off", entity_id="light.kitchen")


async def test_a_spoken_wish_switches_the_light_by_its_services(
    home: HomeAssistant, provider: OpenAIServer, ask: Ask
) -> None:
    wish = Calls(("home_control", {"entity_ids": ["light.kitchen"], "action": "on"}))
    provider.chat.answer = in_rounds(wish, "I switched it on.")
    assert await ask("Turn on the lamp.", home_assistant_entities=["light.*"]) == "I switched it on."
    await home.becomes("light.kitchen", "on")
    offered = {tool["function"]["name"]: tool["function"] for tool in provider.chat.requests[0].json["tools"]}
    assert offered.keys() == {"home_control", "home_states", "home_weather", "get_time"}
    assert "light.kitchen (Kitchen lamp)" in offered["home_control"]["description"]
    assert told(provider.chat.requests[-1])[0].startswith("done\nlight.kitchen (Kitchen lamp)")


async def test_the_weather_is_told_with_its_forecast(home: HomeAssistant, provider: OpenAIServer, ask: Ask) -> None:
    provider.chat.answer = in_rounds(Calls(("home_weather", {})), "It rains.")
    assert await ask("What is the weather like?") == "It rains."
    weather = told(provider.chat.requests[-1])[0]
    for part in ('"condition": "rainy"', '"temperature": 9.5', '"humidity": 88'):
        assert part in weather
    # 2024.3 gives what services answer to nobody who asks over HTTP.
    assert ('"condition": "sunny"' in weather) == (home.version != "2024.3")


async def test_its_own_agent_switches_the_light_where_there_is_no_chat_model(
    home: HomeAssistant, provider: OpenAIServer, ask: Ask
) -> None:
    answer = await ask("Turn on the kitchen lamp", llm="home-assistant,offline")
    await home.becomes("light.kitchen", "on")
    assert "light" in answer.lower()
    assert provider.chat.requests == []
    # What it does not understand is the next engine's.
    assert (await ask("Sing me a song about the sea", llm="home-assistant,offline")).startswith("I heard: Sing me")
