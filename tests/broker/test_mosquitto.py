"""Our connection on a real Mosquitto, and the configuration that we ship for it."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.broker.protocol import Incoming
from tests.conformance.broker import BrokerConformance, Inbox, connected
from tests.fakes.mosquitto import Mosquitto

SHIPPED = Path(__file__).parents[2] / "mosquitto" / "mosquitto.conf"


class TestMosquitto(BrokerConformance):
    @pytest.fixture
    async def broker(self) -> AsyncIterator[Mosquitto]:
        async with Mosquitto() as broker:
            yield broker

    @pytest.fixture
    async def locked_broker(self) -> AsyncIterator[Mosquitto]:
        async with Mosquitto(password="right:/#") as broker:
            yield broker


async def test_mosquitto_runs_with_the_configuration_we_ship() -> None:
    """With its own port and folder in place of the usual ones; every other line is as shipped."""
    ours = SHIPPED.read_text()
    assert re.search(r"^listener 1883 127\.0\.0\.1$", ours, re.MULTILINE)
    rest = "\n".join(line for line in ours.splitlines() if not line.startswith(("listener", "allow_anonymous")))
    async with Mosquitto(persistence=True, settings=rest) as broker:
        inbox = Inbox()
        async with connected(broker.port, "voice/+/in", receive=inbox) as link:
            await link.publish("voice/a/in", bytes(1024 * 1024), qos=1)
            await link.publish("voice/a/in", bytes(3 * 1024 * 1024), qos=1)
            await link.publish("voice/a/state", b"idle", qos=1, retain=True)
            await link.publish("voice/a/in", b"end", qos=1)
            await inbox.has(2)
        await broker.stop()
        await broker.start()
        kept = Inbox()
        async with connected(broker.port, "voice/+/state", receive=kept):
            await kept.has(1)
    assert [len(payload) for _, payload in inbox.pairs] == [1024 * 1024, 3], "too large a message is dropped"
    assert kept.messages == [Incoming("voice/a/state", b"idle", retained=True)]
