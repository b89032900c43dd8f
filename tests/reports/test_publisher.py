"""What the gateway tells over MQTT, on a real broker."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from gateway.broker.mqtt import MqttBroker
from gateway.broker.protocol import Incoming
from gateway.broker.url import parse_broker_url
from gateway.events import CLEANUP, HelloSaid, PresenceChanged, SessionsErased, Thinking
from gateway.reports.live import LiveState
from gateway.reports.publisher import WAITING_MAX, Publisher
from gateway.values import DeviceAddress, DeviceId
from gateway.wire.topics import RETAINED, Leaf, Topics
from tests.cli.retained import publish_retained, retained_topics
from tests.e2e.onlooker import Onlooker
from tests.fakes.mosquitto import Mosquitto

TOPICS = Topics("voice")
LAST = DeviceAddress(DeviceId("last"), "last")


@pytest.fixture
async def mosquitto() -> AsyncIterator[Mosquitto]:
    async with Mosquitto() as broker:
        yield broker


class Telling:
    """A publisher on a connection of its own."""

    def __init__(self, url: str) -> None:
        self.broker = MqttBroker(parse_broker_url(url), receive=self._receive, on_connected=self._connected)
        live = LiveState(20_000, (), ())
        self.publisher = Publisher(
            self.broker, TOPICS, live, self._statistics, interval_s=60, now=lambda: datetime.now(UTC)
        )

    async def __aenter__(self) -> "Telling":
        await self.publisher.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.publisher.stop(5)
        await self.broker.stop()

    def _receive(self, incoming: Incoming) -> None:
        """Nothing is subscribed to."""

    async def _connected(self) -> None:
        self.publisher.connected()

    async def _statistics(self) -> dict[str, Any]:
        return {}


@pytest.fixture
async def telling(mosquitto: Mosquitto) -> AsyncIterator[Telling]:
    async with Telling(mosquitto.url) as telling:
        yield telling


def kept(*devices: DeviceAddress) -> list[str]:
    """What the broker keeps of each device, by topic."""
    return [TOPICS.device(device.spelling, leaf) for device in devices for leaf in RETAINED]


def devices(count: int) -> tuple[DeviceAddress, ...]:
    return tuple(DeviceAddress(DeviceId(f"d{number}"), f"d{number}") for number in range(count))


async def test_however_many_are_cleaned_up_the_broker_keeps_nothing_of_them(
    mosquitto: Mosquitto, telling: Telling
) -> None:
    many = devices(WAITING_MAX // len(RETAINED) + 1)
    await publish_retained(mosquitto.url, kept(many[0], many[-1], LAST))
    async with Onlooker(mosquitto.url, f"voice/{LAST.spelling}/#") as onlooker:
        await telling.broker.start()
        await telling.broker.connected_once(10)
        telling.publisher(SessionsErased((*many, LAST), CLEANUP))
        for topic in kept(LAST):
            await onlooker.message(topic, b"")
    assert telling.publisher.dropped == 0
    assert await retained_topics(mosquitto.url) <= {TOPICS.stats}


async def test_what_happens_does_not_wait_for_what_is_cleaned_up(mosquitto: Mosquitto, telling: Telling) -> None:
    many = devices(200)
    async with Onlooker(mosquitto.url) as onlooker:
        await telling.broker.start()
        await telling.broker.connected_once(10)
        telling.publisher(SessionsErased(many, CLEANUP))
        telling.publisher(Thinking(LAST, 1))
        await onlooker.message(kept(many[-1])[-1], b"")
        state, last = TOPICS.device(LAST.spelling, Leaf.STATE), TOPICS.device(many[-1].spelling, Leaf.STATE)
        order = [each.topic for each in onlooker.messages]
        assert order.index(state) < order.index(last)


async def test_a_device_that_comes_back_meanwhile_keeps_what_it_says(mosquitto: Mosquitto, telling: Telling) -> None:
    (gone,) = devices(1)
    await publish_retained(mosquitto.url, kept(LAST, gone))
    async with Onlooker(mosquitto.url) as onlooker:
        # Not connected yet, so that nothing is taken back before it has come.
        telling.publisher(SessionsErased((LAST, gone), CLEANUP))
        telling.publisher(HelloSaid(LAST, {"v": 1}))
        telling.publisher(PresenceChanged(LAST, online=True))
        await telling.broker.start()
        await onlooker.message(kept(gone)[-1], b"")
    assert await retained_topics(mosquitto.url) - {TOPICS.stats} == {*kept(LAST)}


async def test_what_is_erased_while_the_broker_is_away_goes_when_it_is_back(
    mosquitto: Mosquitto, telling: Telling
) -> None:
    await publish_retained(mosquitto.url, kept(LAST))
    telling.publisher(SessionsErased((LAST,), CLEANUP))
    await telling.publisher.told()
    async with Onlooker(mosquitto.url) as onlooker:
        await telling.broker.start()
        for topic in kept(LAST):
            await onlooker.message(topic, b"")
