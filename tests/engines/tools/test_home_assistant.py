"""Home Assistant as a source of action, on a local server that speaks its interface."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from gateway.config import Settings
from gateway.engines.tools.home_assistant import HomeAssistant
from gateway.errors import ConfigurationError, ToolFailed
from tests.conformance.tools import CONTEXT, ToolboxConformance
from tests.fakes.home_assistant import TOKEN, HomeAssistantServer

ALLOWED = ("light.*", "sensor.*", "lock.*")

Make = Callable[..., Awaitable[HomeAssistant]]


@pytest.fixture
async def home() -> AsyncIterator[HomeAssistantServer]:
    async with HomeAssistantServer() as server:
        yield server


@pytest.fixture
async def make(home: HomeAssistantServer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Make]:
    """Starts a toolbox for `home` with further settings."""
    monkeypatch.setenv("HOME_ASSISTANT_TOKEN", TOKEN)
    async with AsyncExitStack() as stack:

        async def start(**given: Any) -> HomeAssistant:
            toolbox = HomeAssistant.from_settings(Settings(home_assistant_url=home.url, **given))
            await toolbox.start()
            stack.push_async_callback(toolbox.close)
            return toolbox

        yield start


@pytest.fixture
async def toolbox(make: Make) -> HomeAssistant:
    return await make(home_assistant_entities=ALLOWED, home_assistant_weather="weather.home")


class TestByServices(ToolboxConformance):
    async def test_switches_what_is_allowed_and_says_how_it_is_then(
        self, toolbox: HomeAssistant, home: HomeAssistantServer
    ) -> None:
        asked = {"entity_ids": ["light.kitchen"], "action": "on"}
        assert await toolbox.call("home_control", asked, CONTEXT) == "done\nlight.kitchen (Kitchen light): on"
        assert home.states["light.kitchen"]["state"] == "on"
        assert home.services == [("light", "turn_on", {"entity_id": "light.kitchen"})]

    async def test_sets_a_value(self, toolbox: HomeAssistant, home: HomeAssistantServer) -> None:
        asked = {"entity_ids": ["light.kitchen", "light.bedroom"], "action": "set", "value": 40}
        assert "light.bedroom (Bedroom light): on, brightness 40 %" in await toolbox.call(
            "home_control", asked, CONTEXT
        )
        assert [data["brightness_pct"] for _, _, data in home.services] == [40, 40]

    @pytest.mark.parametrize(
        ("asked", "reason"),
        [
            ({"entity_ids": ["switch.heater"], "action": "on"}, "switch.heater may not be used"),
            ({"entity_ids": ["light.kitchen", "switch.heater"], "action": "on"}, "switch.heater may not be used"),
            ({"entity_ids": ["light.attic"], "action": "on"}, "there is no light.attic; there are: light.kitchen"),
            ({"entity_ids": ["light.kitchen"], "action": "open"}, "it can: on, off, set"),
            ({"entity_ids": ["light.kitchen", "sensor.outside"], "action": "on"}, "it can: only be read"),
            ({"entity_ids": ["lock.door"], "action": "open"}, "it can: close"),
            ({"entity_ids": ["light.kitchen"], "action": "set"}, "value is a number"),
            ({"entity_ids": [], "action": "on"}, "entity_ids is missing"),
            ({"entity_ids": ["light.kitchen"] * 21, "action": "on"}, "no more than 20"),
        ],
        ids=str,
    )
    async def test_what_may_not_or_cannot_be_done_is_not_even_begun(
        self, toolbox: HomeAssistant, home: HomeAssistantServer, asked: dict[str, Any], reason: str
    ) -> None:
        with pytest.raises(ToolFailed, match=reason):
            await toolbox.call("home_control", asked, CONTEXT)
        assert home.services == []

    async def test_tells_states_of_what_is_allowed_only(self, toolbox: HomeAssistant) -> None:
        told = await toolbox.call("home_states", {}, CONTEXT)
        assert "sensor.outside (Outside): 7.5, unit_of_measurement °C" in told
        assert "heater" not in told
        assert await toolbox.call("home_states", {"entity_ids": ["light.kitchen"]}, CONTEXT) == (
            "light.kitchen (Kitchen light): off"
        )

    async def test_the_model_is_told_which_entities_there_are(
        self, toolbox: HomeAssistant, home: HomeAssistantServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        described = {spec.name: spec.description for spec in toolbox.specs}
        assert "light.kitchen (Kitchen light)" in described["home_control"]
        assert "heater" not in described["home_control"]
        home.states["light.cellar"] = home.states["light.kitchen"] | {"entity_id": "light.cellar"}
        monkeypatch.setattr("gateway.engines.tools.home_assistant.FRESH_S", -1.0)
        await toolbox.prepare()
        assert "light.cellar" in {spec.name: spec.description for spec in toolbox.specs}["home_control"]

    async def test_the_model_is_told_that_there_are_more_than_it_is_told_of(
        self, make: Make, home: HomeAssistantServer
    ) -> None:
        home.states = {f"light.lamp_{n}": {"entity_id": f"light.lamp_{n}", "state": "on"} for n in range(107)}
        toolbox = await make(home_assistant_entities=ALLOWED)
        assert all("light.lamp_99; and 7 more" in spec.description for spec in toolbox.specs)
        assert (await toolbox.call("home_states", {}, CONTEXT)).endswith("light.lamp_99: on\nand 7 more")
        one = {"entity_ids": ["light.lamp_106"]}
        assert await toolbox.call("home_states", one, CONTEXT) == "light.lamp_106: on"

    async def test_tells_the_weather_and_as_many_days_as_are_asked_for(self, toolbox: HomeAssistant) -> None:
        told = json.loads(await toolbox.call("home_weather", {"days": 1}, CONTEXT))
        assert told["now"] == {"condition": "rainy", "temperature": 9.5, "temperature_unit": "°C", "humidity": 88}
        assert [day["condition"] for day in told["forecast"]] == ["rainy"]
        assert len(json.loads(await toolbox.call("home_weather", {}, CONTEXT))["forecast"]) == 2

    async def test_an_old_home_assistant_has_the_forecast_in_the_state(
        self, toolbox: HomeAssistant, home: HomeAssistantServer
    ) -> None:
        home.forecast = []
        home.states["weather.home"]["attributes"]["forecast"] = [{"condition": "snowy"}]
        told = json.loads(await toolbox.call("home_weather", {}, CONTEXT))
        assert told["forecast"] == [{"condition": "snowy"}]

    async def test_says_what_is_allowed(self, toolbox: HomeAssistant) -> None:
        assert "4 entities are allowed: light.kitchen" in await toolbox.check()


class TestByTheAgent(ToolboxConformance):
    @pytest.fixture
    async def toolbox(self, make: Make) -> HomeAssistant:
        return await make()

    async def test_hands_on_what_is_to_be_done(self, toolbox: HomeAssistant, home: HomeAssistantServer) -> None:
        home.agent.answer = ("action_done", "Encendida")
        assert await toolbox.call("home_assistant", {"text": "enciende la luz"}, CONTEXT) == "Encendida"
        assert home.agent.requests[-1].json == {"text": "enciende la luz", "language": "es"}

    async def test_the_agent_that_is_configured_is_asked(self, make: Make, home: HomeAssistantServer) -> None:
        toolbox = await make(home_assistant_agent="conversation.mine")
        await toolbox.call("home_assistant", {"text": "enciende la luz"}, CONTEXT)
        assert home.agent.requests[-1].json["agent_id"] == "conversation.mine"

    async def test_what_it_does_not_understand_is_told(self, toolbox: HomeAssistant, home: HomeAssistantServer) -> None:
        home.agent.answer = ("error", "No entiendo")
        with pytest.raises(ToolFailed, match="No entiendo"):
            await toolbox.call("home_assistant", {"text": "baila"}, CONTEXT)


async def test_a_home_assistant_that_comes_later_is_used_then(make: Make, home: HomeAssistantServer) -> None:
    await home.stop()
    toolbox = await make(home_assistant_entities=ALLOWED)
    with pytest.raises(ToolFailed, match="cannot be reached: check home_assistant_url"):
        await toolbox.call("home_states", {}, CONTEXT)
    await home.start()
    assert "light.kitchen" in await toolbox.call("home_states", {}, CONTEXT)


async def test_a_wrong_token_is_told_and_not_repeated(
    make: Make, home: HomeAssistantServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (file := tmp_path / "token").write_text("wrong-and-secret\n", encoding="utf-8")
    toolbox = await make(home_assistant_entities=ALLOWED, home_assistant_token_file=file)
    with pytest.raises(ToolFailed, match="refuses the token") as caught:
        await toolbox.check()
    assert "secret" not in f"{caught.value} {toolbox.description} {caplog.text}"


async def test_the_token_of_the_file_is_used(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (file := tmp_path / "token").write_text(f"{TOKEN}\n", encoding="utf-8")
    monkeypatch.delenv("HOME_ASSISTANT_TOKEN")
    assert await (await make(home_assistant_token_file=file)).check()


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"home_assistant_url": "homeassistant.local"}, "such as http://homeassistant.local:8123"),
        ({"home_assistant_token_file": Path("/nowhere/token")}, "cannot read home_assistant_token_file"),
        ({}, "Home Assistant wants a token"),
    ],
    ids=["address", "file", "no token"],
)
async def test_what_is_missing_is_told_at_the_start(given: dict[str, Any], reason: str) -> None:
    settings = Settings(**{"home_assistant_url": "http://127.0.0.1:1"} | given)
    with pytest.raises(ConfigurationError, match=reason):
        await HomeAssistant.from_settings(settings).start()
