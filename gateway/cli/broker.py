"""The broker as commands reach it: as one more client."""

import asyncio
import contextlib
from collections.abc import Sequence
from pathlib import Path

from gateway.broker import embedded
from gateway.broker.mqtt import MqttBroker
from gateway.broker.protocol import Incoming, Subscription
from gateway.broker.url import BrokerKind, BrokerUrl, parse_broker_url
from gateway.config import Settings
from gateway.errors import BrokerRefused, BrokerUnavailable
from gateway.reports.home_assistant import Discovery
from gateway.values import DeviceId, parse_device_id
from gateway.wire.topics import OFFLINE, ONLINE, RETAINED, Leaf, Topics

CONNECT_S = 3.0
"""Longest wait for a broker that may not be there."""
PRESENCE_S = 10.0
"""Longest wait for the broker to say which devices are online."""
AT_A_TIME = 100
"""Retained messages removed at a time."""


def client_url(settings: Settings) -> BrokerUrl:
    """Where a client on this machine reaches the broker of `settings`, which may be embedded in a running gateway.

    Raises:
        ConfigurationError: the broker URL cannot be understood, or the embedded broker's password not be read.
    """
    url = parse_broker_url(settings.mqtt_url)
    return embedded.client_url(url, settings.data_dir) if url.kind is BrokerKind.EMBEDDED else url


def with_advice(error: BrokerUnavailable) -> BrokerUnavailable:
    """The same error, and what to do about it."""
    if isinstance(error, BrokerRefused):
        return BrokerRefused(
            f"{error}\nThe login is part of the address (GATEWAY_MQTT_URL=mqtt://user:password@host);"
            " an embedded broker's password is in the gateway's data folder (--data-dir)"
        )
    return BrokerUnavailable(f"{error}\nStart the gateway (voice-gateway run), or say where its broker is (--mqtt-url)")


async def clear_state(settings: Settings, spelling: str) -> str | None:
    """Remove the retained state of a device whose conversation was erased.

    Returns why not, if the broker could not be reached: what is kept there then stays.
    """
    topics = Topics(settings.root_topic)
    broker = MqttBroker(client_url(settings), receive=lambda _: None, ca_file=settings.mqtt_ca_file)
    async with broker:
        try:
            await broker.connected_once(CONNECT_S)
        except BrokerUnavailable as error:
            return str(error)
        await _clear(broker, [topics.device(spelling, Leaf.STATE)])
        return broker.trouble


async def say_offline(url: BrokerUrl, ca_file: Path | None, topics: Topics, spelling: str) -> str | None:
    """Say what the device's will would have said. Mosquitto keeps the will back of one whose login has ended.

    Returns why not, if the broker could not be told.
    """
    broker = MqttBroker(url, receive=lambda _: None, ca_file=ca_file)
    async with broker:
        try:
            await broker.connected_once(CONNECT_S)
        except BrokerUnavailable as error:
            return str(error)
        await broker.publish(topics.device(spelling, Leaf.ONLINE), OFFLINE, qos=1, retain=True)
        return broker.trouble


async def clear_cleaned_up(settings: Settings, spellings: Sequence[str]) -> str | None:
    """Remove what the broker keeps of devices that were cleaned up, for Home Assistant too; of one that
    is online now only the state, since what it said of itself holds as long as it is connected.

    Returns why not, if the broker could not be reached or asked: what is kept there then stays, or part of it.
    """
    topics = Topics(settings.root_topic)
    states = [topics.device(spelling, Leaf.STATE) for spelling in spellings]
    online: set[DeviceId] = set()
    prefix = settings.home_assistant_discovery
    entities = Discovery(prefix, topics, settings.language) if prefix else None
    told: dict[str, list[str]] = {}
    all_told = asyncio.Event()

    def receive(incoming: Incoming) -> None:
        device = entities.device_of(incoming.topic) if entities is not None else None
        if device is not None and incoming.retained:
            told.setdefault(device, []).append(incoming.topic)
        parsed = topics.parse_device(incoming.topic)
        if parsed is None:
            return
        if parsed[1] is Leaf.ONLINE and incoming.payload == ONLINE:
            with contextlib.suppress(ValueError):  # no device's
                online.add(parse_device_id(parsed[0]))
        elif not incoming.retained and not incoming.payload:
            all_told.set()

    # The broker hands out what is retained before what is published after the subscription: once our own removal of
    # a state comes back, all presence has come. At QoS 0, for acknowledgements could hold up one and not the other.
    subscriptions = [Subscription(topics.every_device(Leaf.ONLINE)), Subscription(states[-1])]
    if entities is not None:
        subscriptions.insert(0, Subscription(entities.every))
    url = client_url(settings)
    broker = MqttBroker(url, receive=receive, subscriptions=subscriptions, ca_file=settings.mqtt_ca_file)
    async with broker:
        try:
            await broker.connected_once(CONNECT_S)
        except BrokerUnavailable as error:
            return str(error)
        await _clear(broker, states)
        try:
            async with asyncio.timeout(PRESENCE_S):
                await all_told.wait()
        except TimeoutError:
            return f"{url} did not say which devices are online: allow reading {topics.every_device(Leaf.ONLINE)}"
        gone = [spelling for spelling in spellings if parse_device_id(spelling) not in online]
        rest = [leaf for leaf in RETAINED if leaf is not Leaf.STATE]
        await _clear(broker, [topics.device(spelling, leaf) for spelling in gone for leaf in rest])
        await _clear(broker, [topic for spelling in gone for topic in told.get(parse_device_id(spelling), [])])
        return broker.trouble


async def _clear(broker: MqttBroker, topics: Sequence[str]) -> None:
    for start in range(0, len(topics), AT_A_TIME):
        some = topics[start : start + AT_A_TIME]
        await asyncio.gather(*(broker.publish(topic, b"", qos=1, retain=True) for topic in some))
