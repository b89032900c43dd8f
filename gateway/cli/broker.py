"""The broker as commands reach it: as one more client."""

import asyncio
from collections.abc import Sequence

from gateway.broker.mqtt import MqttBroker
from gateway.broker.url import BrokerKind, BrokerUrl, parse_broker_url
from gateway.config import Settings
from gateway.errors import BrokerUnavailable, ConfigurationError
from gateway.wire.topics import Leaf, Topics

CONNECT_S = 3.0
"""Longest wait for a broker that may not be there."""

_LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104


def client_url(settings: Settings) -> BrokerUrl:
    """Where a client on this machine reaches the broker of `settings`, which may be embedded in a running gateway.

    Raises:
        ConfigurationError: the broker URL cannot be understood, or the embedded broker's password not be read.
    """
    url = parse_broker_url(settings.mqtt_url)
    if url.kind is not BrokerKind.EMBEDDED:
        return url
    username, password = url.username, url.password
    kept = settings.data_dir / "broker-password"
    if not url.loopback and password is None and kept.exists():
        try:
            username, password = username or "voice", kept.read_text().strip()
        except OSError as error:
            raise ConfigurationError(f"the embedded broker's password in {kept} cannot be read: {error}") from error
    return BrokerUrl(BrokerKind.MQTT, _LOOPBACK.get(url.host, url.host), url.port, username, password)


async def clear_retained(settings: Settings, spellings: Sequence[str], leaves: Sequence[Leaf]) -> str | None:
    """Remove the retained messages under `leaves` of the devices that spell themselves so.

    Returns why not, if the broker could not be reached: what is kept there then stays.
    """
    topics = Topics(settings.root_topic)
    broker = MqttBroker(client_url(settings), receive=lambda _: None, ca_file=settings.mqtt_ca_file)
    async with broker:
        try:
            await broker.connected_once(CONNECT_S)
        except BrokerUnavailable as error:
            return str(error)
        for spelling in spellings:
            await asyncio.gather(
                *(broker.publish(topics.device(spelling, leaf), b"", qos=1, retain=True) for leaf in leaves)
            )
        return broker.trouble
