"""The gateway at work on the broker that we ship: everybody with a login, and with no more than it gives."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.broker.url import BrokerKind, BrokerUrl
from gateway.device import Ended, SoftwareDevice
from tests.conformance.broker import TIMEOUT_S, Inbox, connected
from tests.e2e.conftest import StartGateway, openai_environment, provider, settings, start_gateway
from tests.e2e.speech import spoken
from tests.fakes.openai_server import OpenAIServer
from tests.mosquitto.shipped import LOCAL_PORT, ShippedBroker

__all__ = ["openai_environment", "provider", "settings", "start_gateway"]

PLAIN_PORT = 1884


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[ShippedBroker]:
    async with ShippedBroker(tmp_path, "plain") as broker:
        yield broker


def url(broker: ShippedBroker, name: str, port: int) -> BrokerUrl:
    return BrokerUrl(BrokerKind.MQTT, "127.0.0.1", broker.ports[port], *broker.login(name))


async def message(inbox: Inbox, topic: str, containing: bytes = b"") -> bytes:
    """Wait for a message on `topic`."""
    async with asyncio.timeout(TIMEOUT_S):
        while True:
            for topic_seen, payload in inbox.pairs:
                if topic_seen == topic and containing in payload:
                    return payload
            await inbox.has(len(inbox.messages) + 1)


@pytest.fixture
async def gateway_is_up(broker: ShippedBroker, start_gateway: StartGateway) -> None:
    name, password = broker.login("gateway")
    there = f"mqtt://{name}:{password.replace(' ', '%20')}@127.0.0.1:{broker.ports[LOCAL_PORT]}"
    await start_gateway(mqtt_url=there)


@pytest.mark.usefixtures("gateway_is_up")
async def test_a_device_asks_and_is_answered_and_home_assistant_sees_it(
    provider: OpenAIServer, broker: ShippedBroker
) -> None:
    seen = Inbox()
    home = connected(
        broker.ports[LOCAL_PORT],
        "voice/+/event",
        "voice/+/state",
        "voice/+/online",
        "voice/gateway/status",
        "voice/gateway/stats",
        receive=seen,
        login=broker.login("homeassistant"),
    )
    device = SoftwareDevice(url(broker, "kitchen", PLAIN_PORT), "kitchen", hello={"v": 1, "name": "Kitchen"})
    async with home as home_assistant, device as kitchen:
        exchange = await kitchen.speak(spoken(1), paced=False)
        reply = await exchange.reply(TIMEOUT_S)
        assert reply.ended is Ended.END
        assert (await exchange.done(TIMEOUT_S))["reply"] == "Answer to question 1."
        assert await message(seen, "voice/kitchen/online") == b"online"
        assert await message(seen, "voice/gateway/status") == b"online"
        assert json.loads(await message(seen, "voice/kitchen/state", b"idle"))["session_id"] == "kitchen"
        assert "total_sessions" in json.loads(await message(seen, "voice/gateway/stats"))
        await message(seen, "voice/kitchen/event", b'"transcript"')

        await home_assistant.publish("voice/kitchen/say", b"Dinner is ready", qos=1)
        await message(seen, "voice/kitchen/event", b"Dinner is ready")


@pytest.mark.usefixtures("gateway_is_up")
async def test_an_operator_asks_the_gateway(broker: ShippedBroker) -> None:
    answers = Inbox()
    operator = connected(
        broker.ports[LOCAL_PORT], "voice/gateway/response/+", receive=answers, login=broker.login("operator")
    )
    async with operator as link:
        await link.publish("voice/gateway/request/stats", b'{"transaction": "7"}', qos=1)
        answer = json.loads(await message(answers, "voice/gateway/response/stats"))
    assert (answer["status"], answer["transaction"]) == ("ok", "7")


@pytest.mark.usefixtures("gateway_is_up")
async def test_nobody_is_answered_in_the_name_of_another(provider: OpenAIServer, broker: ShippedBroker) -> None:
    heard = Inbox()
    async with (
        connected(broker.ports[PLAIN_PORT], login=broker.login("hall")) as hall,
        connected(broker.ports[LOCAL_PORT], "voice/+/event", receive=heard, login=broker.login("operator")) as operator,
    ):
        await hall.publish("voice/kitchen/ask", b"In whose name?", qos=1)
        await hall.publish("voice/kitchen/control", b'{"type": "forget"}', qos=1)
        await operator.publish("voice/hall/ask", b"And now?", qos=1)
        await message(heard, "voice/hall/event", b'"done"')
    assert {topic for topic, _ in heard.pairs} == {"voice/hall/event"}
