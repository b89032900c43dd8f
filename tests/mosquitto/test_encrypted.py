"""The listeners for other machines: TLS and WebSocket, with certificates as `voice-gateway broker certs` makes them."""

import asyncio
import ipaddress
import ssl
from datetime import UTC, datetime
from pathlib import Path

import aiomqtt
import pytest

from gateway.broker.mqtt import MqttBroker
from gateway.broker.protocol import Subscription
from gateway.broker.url import BrokerKind, BrokerUrl
from gateway.errors import BrokerUnavailable
from gateway.provisioning.certificate_files import CertificateFiles
from tests.conformance.broker import TIMEOUT_S, Inbox, connected
from tests.fakes.raw_mqtt import RawClient, connect_packet
from tests.mosquitto.shipped import LOCAL_PORT, PASSWORDS, ShippedBroker

TLS_PORT, WEBSOCKET_PORT, WEBSOCKET_TLS_PORT = 8883, 9001, 8884
LOOPBACK = ipaddress.ip_address("127.0.0.1")


def certify(broker: ShippedBroker, *hosts: str) -> CertificateFiles:
    files = CertificateFiles(broker.folder / "certs")
    files.issue(hosts, [LOOPBACK], 30, datetime.now(UTC))
    return files


def by_tls(
    broker: ShippedBroker, name: str, ca: Path, receive: Inbox, *topics: str, host: str = "127.0.0.1"
) -> MqttBroker:
    return MqttBroker(
        BrokerUrl(BrokerKind.MQTTS, host, broker.ports[TLS_PORT], *broker.login(name)),
        receive=receive,
        subscriptions=[Subscription(topic, qos=1) for topic in topics],
        ca_file=ca,
        reconnect_min_s=0.02,
    )


async def test_a_device_and_the_gateway_by_tls(tmp_path: Path) -> None:
    broker = ShippedBroker(tmp_path, "tls")
    ca = certify(broker, "localhost").ca
    async with broker:
        heard, answered = Inbox(), Inbox()
        async with (
            by_tls(broker, "gateway", ca, heard, "voice/+/in", host="localhost") as gateway,
            by_tls(broker, "kitchen", ca, answered, "voice/kitchen/out") as kitchen,
        ):
            await gateway.connected_once(TIMEOUT_S)
            await kitchen.connected_once(TIMEOUT_S)
            await kitchen.publish("voice/kitchen/in", b"question", qos=1)
            await heard.has(1)
            await gateway.publish("voice/kitchen/out", b"answer", qos=1)
            await answered.has(1)
    assert heard.pairs == [("voice/kitchen/in", b"question")]
    assert answered.pairs == [("voice/kitchen/out", b"answer")]


async def test_another_authority_s_broker_is_not_talked_to(tmp_path: Path) -> None:
    broker = ShippedBroker(tmp_path / "one", "tls")
    certify(broker)
    others = CertificateFiles(tmp_path / "other")
    others.issue([], [LOOPBACK], 30, datetime.now(UTC))
    async with broker, by_tls(broker, "kitchen", others.ca, Inbox()) as kitchen:
        with pytest.raises(BrokerUnavailable, match="certificate"):
            await kitchen.connected_once(1)


async def test_nobody_gets_in_by_tls_without_a_login(tmp_path: Path) -> None:
    broker = ShippedBroker(tmp_path, "tls")
    context = ssl.create_default_context(cafile=certify(broker).ca)
    async with broker:
        connection = await asyncio.open_connection("127.0.0.1", broker.ports[TLS_PORT], ssl=context)
        stranger = RawClient(*connection)
        stranger.send(connect_packet("kitchen"))
        assert await stranger.read(4) == b"\x20\x02\x00\x05"
        await stranger.close()


async def test_a_renewed_certificate_is_taken_over_without_ending_connections(tmp_path: Path) -> None:
    broker = ShippedBroker(tmp_path, "tls")
    ca = certify(broker).ca
    async with broker:
        inbox = Inbox()
        async with by_tls(broker, "kitchen", ca, inbox, "voice/kitchen/out") as kitchen:
            await kitchen.connected_once(TIMEOUT_S)
            certify(broker, "localhost")  # the first was for the address only
            await broker.reload()
            async with by_tls(broker, "gateway", ca, Inbox(), host="localhost") as gateway:
                await gateway.connected_once(TIMEOUT_S)
                await gateway.publish("voice/kitchen/out", b"still there", qos=1)
            await inbox.has(1)
            assert kitchen.connects == 1


@pytest.mark.parametrize("encrypted", [False, True], ids=["ws", "wss"])
async def test_a_page_by_websocket(tmp_path: Path, encrypted: bool) -> None:
    broker = ShippedBroker(tmp_path, "websockets", "websockets-tls")
    ca = certify(broker).ca
    context = ssl.create_default_context(cafile=ca) if encrypted else None
    name, password = broker.login("operator")
    async with (
        broker,
        aiomqtt.Client(
            "127.0.0.1",
            broker.ports[WEBSOCKET_TLS_PORT if encrypted else WEBSOCKET_PORT],
            username=name,
            password=password,
            transport="websockets",
            tls_context=context,
        ) as page,
        connected(broker.ports[LOCAL_PORT], login=("gateway", PASSWORDS["gateway"])) as gateway,
    ):
        await page.subscribe("voice/+/state", qos=1)
        await gateway.publish("voice/kitchen/state", b"idle", qos=1)
        async with asyncio.timeout(TIMEOUT_S):
            message = await anext(page.messages)
    assert (str(message.topic), message.payload) == ("voice/kitchen/state", b"idle")


@pytest.mark.parametrize("port", [WEBSOCKET_PORT, WEBSOCKET_TLS_PORT])
async def test_nobody_gets_in_by_websocket_without_a_login(tmp_path: Path, port: int) -> None:
    broker = ShippedBroker(tmp_path, "websockets", "websockets-tls")
    ca = certify(broker).ca
    context = ssl.create_default_context(cafile=ca) if port == WEBSOCKET_TLS_PORT else None
    async with broker:
        with pytest.raises(aiomqtt.MqttError, match="authori"):
            async with aiomqtt.Client("127.0.0.1", broker.ports[port], transport="websockets", tls_context=context):
                pass
