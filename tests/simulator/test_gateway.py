"""The simulator with the real gateway on a real broker: everything at once, and nothing is wrong."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from gateway.broker.mqtt import MqttBroker
from gateway.broker.protocol import Incoming, Subscription
from gateway.broker.url import BrokerUrl, parse_broker_url
from gateway.config import database_url
from gateway.device import SoftwareDevice
from gateway.simulator import Plan, Simulation
from gateway.simulator.checks import Check
from gateway.simulator.slow_link import BUFFER_BYTES, BYTES_S, SlowLink
from gateway.store import Store
from tests.cli.retained import retained_topics
from tests.e2e.conftest import StartGateway, openai_environment, provider, settings, start_gateway
from tests.e2e.speech import spoken
from tests.fakes.mosquitto import Mosquitto
from tests.fakes.openai_server import OpenAIServer, Status

__all__ = ["openai_environment", "provider", "settings", "start_gateway"]

PLAN = Plan(devices=5, seconds=6, run="test", language="en", form="mixed", ramp_s=0.5, pause_s=0.2)


@pytest.fixture
async def broker() -> AsyncIterator[Mosquitto]:
    async with Mosquitto() as running:
        yield running


async def simulated(broker: Mosquitto, plan: Plan) -> dict[str, Any]:
    simulation = Simulation(plan, parse_broker_url(broker.url), [spoken(0)], root_topic="voice")
    await simulation.run()
    return simulation.as_data()


async def test_every_form_over_a_bad_link_with_interruptions_passes(
    broker: Mosquitto, start_gateway: StartGateway
) -> None:
    gateway = await start_gateway(mqtt_url=broker.url, turns_per_minute=1000, llm="offline")
    plan = replace(PLAN, loss=0.05, duplicate=0.1, reorder=0.1, jitter_s=0.03, barge_in=0.5)
    result = await simulated(broker, plan)
    assert result["ok"], result["failures"]
    assert result["memory_checked"]
    assert all(result["checks"][check.name.lower()]["passed"] for check in Check)
    assert result["interrupted_on_purpose"] > 0
    assert result["frames_sent"]["lost"] > 0
    assert result["frames_sent"]["reordered"] > 0
    assert result["frames_as_heard"]["duplicate"] >= result["frames_sent"]["duplicated"] > 0
    assert gateway.settings.mqtt_url == broker.url


async def test_nothing_of_the_devices_stays_behind(broker: Mosquitto, start_gateway: StartGateway) -> None:
    gateway = await start_gateway(mqtt_url=broker.url, turns_per_minute=1000)
    async with SoftwareDevice(broker.url, "bystander", hello={"v": 1}) as bystander:
        await (await bystander.say("Hello.")).done(10)
        simulation = Simulation(
            replace(PLAN, seconds=1, form="pcm"), parse_broker_url(broker.url), [spoken(0)], root_topic="voice"
        )
        await simulation.run()
        assert "voice/sim-test-001/state" in await retained_topics(broker.url)
        assert await simulation.clean_up() is None
    async with asyncio.timeout(20):
        # The gateway takes back what it told of them once it hears that they are gone.
        while any("/sim-test-" in topic for topic in await retained_topics(broker.url)):  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    kept = {topic for topic in await retained_topics(broker.url) if topic.startswith("voice/")}
    kept -= {"voice/gateway/status", "voice/gateway/stats"}
    assert kept == {f"voice/bystander/{leaf}" for leaf in ("hello", "state", "online")}
    store = Store(database_url(gateway.settings))
    await store.start()
    assert [session.session_id for session in await store.sessions(100)] == ["bystander"]
    await store.close()


async def test_a_gateway_whose_engine_fails_does_not_pass(
    broker: Mosquitto, start_gateway: StartGateway, provider: OpenAIServer
) -> None:
    provider.transcriptions.answer = Status(500)
    await start_gateway(mqtt_url=broker.url, turns_per_minute=1000)
    result = await simulated(broker, replace(PLAN, devices=1, seconds=4, form="pcm"))
    assert not result["ok"]
    assert {failure["check"] for failure in result["failures"]} == {"answered"}
    assert result["errors"]["stt_failed"] == result["checks"]["answered"]["failed"] > 0


async def test_a_slow_link_lets_through_no_more_than_it_says(broker: Mosquitto) -> None:
    arrived: list[float] = []
    loop = asyncio.get_running_loop()
    all_there = asyncio.Event()

    def receive(incoming: Incoming) -> None:
        arrived.append(loop.time())
        if len(arrived) == 10:
            all_there.set()

    async with SlowLink(parse_broker_url(broker.url)) as link:
        slow = MqttBroker(link.url, receive=receive, subscriptions=[Subscription("loud", 0)])
        async with slow, MqttBroker(parse_broker_url(broker.url), receive=lambda _: None) as quick:
            await slow.connected_once(10)
            await quick.connected_once(10)
            began = loop.time()
            for _ in range(10):
                await quick.publish("loud", bytes(1000))
            async with asyncio.timeout(20):
                await all_there.wait()
    assert arrived[-1] - began >= 10_000 / BYTES_S * 0.8
    assert BUFFER_BYTES < 10_000


def test_a_slow_link_is_not_for_tls() -> None:
    url: BrokerUrl = parse_broker_url("mqtts://broker.local")
    with pytest.raises(ValueError, match="mqtt:// only"):
        SlowLink(url)
