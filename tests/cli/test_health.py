"""`voice-gateway health`, against a real broker."""

from tests.cli.conftest import CommandLine
from tests.cli.retained import publish_retained
from tests.e2e.conftest import StartGateway, openai_environment, provider, settings, start_gateway
from tests.fakes.mosquitto import Mosquitto, free_port

__all__ = ["openai_environment", "provider", "settings", "start_gateway"]


async def test_a_gateway_that_serves_is_online_and_one_that_has_ended_is_not(
    cli: CommandLine, start_gateway: StartGateway
) -> None:
    async with Mosquitto() as broker:
        assert (await cli("health", "--mqtt-url", broker.url, "--timeout", "0.2")).out == "unknown\n"
        gateway = await start_gateway(mqtt_url=broker.url)
        serving = await cli("health", "--mqtt-url", broker.url, "--json")
        assert (serving.code, serving.json, serving.err) == (0, {"status": "online"}, "")
        await gateway.__aexit__(None, None, None)
        ended = await cli("health", "--mqtt-url", broker.url)
        assert (ended.code, ended.out) == (1, "offline\n")


async def test_only_the_gateway_of_the_root_topic_counts(cli: CommandLine) -> None:
    async with Mosquitto() as broker:
        await publish_retained(broker.url, ["home/gateway/status"], b"online")
        there = await cli("health", "--mqtt-url", broker.url, "--root-topic", "home")
        elsewhere = await cli("health", "--mqtt-url", broker.url, "--timeout", "0.2")
    assert (there.code, elsewhere.code) == (0, 1)


async def test_a_broker_that_is_not_there_is_said(cli: CommandLine) -> None:
    told = await cli("health", "--mqtt-url", f"mqtt://me:hunter2@127.0.0.1:{free_port()}", "--timeout", "0.3")
    assert (told.code, told.out) == (1, "")
    assert "is the broker running there?" in told.err
    assert "hunter2" not in told.err
