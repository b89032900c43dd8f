"""`voice-gateway say`, against a whole gateway on a real broker."""

from collections.abc import AsyncIterator

import pytest

from gateway.app import Gateway
from tests.cli.conftest import CommandLine
from tests.e2e.conftest import StartGateway, openai_environment, provider, settings, start_gateway
from tests.e2e.onlooker import Onlooker
from tests.fakes.mosquitto import Mosquitto, free_port
from tests.fakes.openai_server import OpenAIServer, Status

__all__ = ["openai_environment", "provider", "settings", "start_gateway"]

HOUSE = {"kitchen": {"groups": ["downstairs"]}, "hall": {"groups": ["downstairs"]}, "attic": {}}


@pytest.fixture
async def broker() -> AsyncIterator[Mosquitto]:
    async with Mosquitto() as running:
        yield running


@pytest.fixture
async def gateway(broker: Mosquitto, start_gateway: StartGateway) -> Gateway:
    return await start_gateway(mqtt_url=broker.url, devices=HOUSE)


@pytest.fixture
async def onlooker(gateway: Gateway) -> AsyncIterator[Onlooker]:
    async with Onlooker(gateway.broker_url) as running:
        yield running


async def test_devices_and_groups_say_it(cli: CommandLine, onlooker: Onlooker, broker: Mosquitto) -> None:
    told = await cli("say", "Dinner.", "--to", "attic", "--to", "group:downstairs", "--mqtt-url", broker.url)
    assert (told.code, told.err) == (0, "")
    assert told.out == "attic: will say it\nhall: will say it\nkitchen: will say it\n"
    for device in ("attic", "hall", "kitchen"):
        assert (await onlooker.json(f"voice/{device}/event", event="done"))["reply"] == "Dinner."


async def test_all_that_is_said_of_it_arrives(cli: CommandLine, onlooker: Onlooker, broker: Mosquitto) -> None:
    options = ("--ask", "--priority", "urgent", "--volume", "7", "--language", "fr", "--ttl", "50", "--json")
    told = await cli("say", "Who?", "--to", "attic", *options, "--mqtt-url", broker.url)
    assert told.code == 0
    name = told.json.pop("id")
    assert told.json | {"id": None} == {"id": None, "ttl_s": 50, "devices": ["attic"], "refused": {}}
    event = await onlooker.json("voice/attic/event", event="announcement", status="done")
    assert (event["id"], event["kind"], event["priority"], event["volume"]) == (name, "ask", "urgent", 7)
    assert (await onlooker.json("voice/attic/event", event="transcript"))["language"] == "fr"


async def test_who_waits_is_told_what_became_of_it(
    cli: CommandLine, onlooker: Onlooker, broker: Mosquitto, provider: OpenAIServer
) -> None:
    told = await cli("say", "Dinner.", "--to", "attic", "--wait", "--mqtt-url", broker.url)
    assert (told.code, told.out, told.err) == (0, "attic: done\n", "")

    await onlooker.publish("voice/hall/online", b"offline")
    told = await cli("say", "Now.", "--to", "hall", "--to", "attic", "--ttl", "0.2", "--wait", "--mqtt-url", broker.url)
    assert told.code == 1
    assert told.out == "hall: expired: the device is offline\nattic: done\n"

    provider.speech.answer = Status(500)
    told = await cli("say", "Other words.", "--to", "attic", "--wait", "--json", "--mqtt-url", broker.url)
    assert told.code == 1
    assert told.json["outcomes"] == {"attic": {"status": "failed", "reason": "tts_failed"}}


async def test_who_does_not_hear_it_is_told_and_is_a_failure(
    cli: CommandLine, onlooker: Onlooker, broker: Mosquitto
) -> None:
    told = await cli("say", "Dinner.", "--to", "attic", "--to", "kitchn", "--mqtt-url", broker.url)
    assert (told.code, told.out) == (1, "attic: will say it\n")
    assert told.err.startswith("kitchn: no such device is known")
    await onlooker.json("voice/attic/event", event="done")

    told = await cli("say", "Dinner.", "--to", "kitchn", "--mqtt-url", broker.url)
    assert (told.code, told.out) == (1, "")
    assert "no such device is known" in told.err


@pytest.mark.usefixtures("gateway")
@pytest.mark.parametrize("wrong", [("--ttl", "-1"), ("--language", "Klingon"), ("--to", "")])
async def test_what_the_gateway_does_not_take_is_named(
    cli: CommandLine, broker: Mosquitto, wrong: tuple[str, str]
) -> None:
    told = await cli("say", "Dinner.", "--to", "attic", *wrong, "--mqtt-url", broker.url)
    assert (told.code, told.out) == (1, "")
    assert wrong[0].removeprefix("--") in told.err


@pytest.mark.parametrize(
    "arguments", [("--to", "attic"), ("Dinner.",), ("Dinner.", "--to", "attic", "--volume", "101")]
)
async def test_how_it_cannot_work_is_said_before_anything_is_asked(
    cli: CommandLine, arguments: tuple[str, ...]
) -> None:
    assert (await cli("say", *arguments, "--mqtt-url", "mqtt://127.0.0.1:1")).code == 2


async def test_a_broker_without_a_gateway_is_named(cli: CommandLine, broker: Mosquitto) -> None:
    told = await cli("say", "Dinner.", "--to", "attic", "--timeout", "3", "--mqtt-url", broker.url)
    assert (told.code, told.out) == (1, "")
    assert "no gateway answered within 3 s" in told.err
    assert "voice-gateway health" in told.err


async def test_no_broker_is_said_with_what_to_do(cli: CommandLine) -> None:
    url = f"mqtt://127.0.0.1:{free_port()}"
    told = await cli("say", "Dinner.", "--to", "attic", "--timeout", "0.5", "--mqtt-url", url)
    assert (told.code, told.out) == (1, "")
    assert "voice-gateway run" in told.err
