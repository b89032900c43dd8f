"""The broker that the gateway brings along."""

import asyncio
import socket
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.broker.embedded import EmbeddedBroker
from gateway.broker.embedded_server import PACKET_MAX_BYTES
from gateway.broker.mqtt import MqttBroker
from gateway.broker.url import BrokerKind, BrokerUrl, parse_broker_url
from gateway.errors import ConfigurationError
from tests.conformance.broker import BrokerConformance, Inbox, connected
from tests.fakes.mosquitto import free_port
from tests.fakes.raw_mqtt import RawClient, packet, publish_packet, text


class _OnOnePort(EmbeddedBroker):
    def __init__(self, data_dir: Path, username: str | None = None, password: str | None = None) -> None:
        self.port = free_port()
        super().__init__(BrokerUrl(BrokerKind.EMBEDDED, "127.0.0.1", self.port, username, password), data_dir)


class TestEmbeddedBroker(BrokerConformance):
    @pytest.fixture
    async def broker(self, tmp_path: Path) -> AsyncIterator[EmbeddedBroker]:
        async with _OnOnePort(tmp_path) as broker:
            yield broker

    @pytest.fixture
    async def locked_broker(self, tmp_path: Path) -> AsyncIterator[EmbeddedBroker]:
        async with _OnOnePort(tmp_path, "voice", "right:/#") as broker:
            yield broker


async def test_on_loopback_nobody_needs_a_password(tmp_path: Path) -> None:
    async with EmbeddedBroker(parse_broker_url("embedded://127.0.0.1:0"), tmp_path) as broker:
        assert broker.hint == f"mqtt://127.0.0.1:{broker.url.port}, no password"
        async with MqttBroker(broker.url, receive=Inbox()) as link:
            await link.connected_once(10)
    assert not (tmp_path / "broker-password").exists()


async def test_when_opened_to_others_a_password_is_made_once_and_kept_to_its_owner(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    data_dir, passwords = tmp_path / "data", []
    for _ in range(2):
        async with EmbeddedBroker(parse_broker_url("embedded://0.0.0.0:0"), data_dir) as broker:
            file = data_dir / "broker-password"
            passwords.append(file.read_text().strip())
            assert stat.S_IMODE(file.stat().st_mode) == 0o600
            assert broker.hint == f"mqtt://voice@0.0.0.0:{broker.url.port}, password in {file}"
            assert broker.url == BrokerUrl(BrokerKind.MQTT, "127.0.0.1", broker.url.port, "voice", passwords[0])
            async with MqttBroker(broker.url, receive=Inbox()) as link:
                await link.connected_once(10)
            stranger = await RawClient.open(broker.url.port)
            with pytest.raises(AssertionError):
                await stranger.connect("stranger")
            await stranger.closed_by_peer()
            await stranger.close()
    assert passwords[0] == passwords[1]
    assert len(passwords[0]) > 20
    assert passwords[0] not in caplog.text


async def test_the_password_of_the_url_is_used_and_not_written_anywhere(tmp_path: Path) -> None:
    async with EmbeddedBroker(parse_broker_url("embedded://ana:geheim@0.0.0.0:0"), tmp_path) as broker:
        assert broker.hint == f"mqtt://ana@0.0.0.0:{broker.url.port}, password as in GATEWAY_MQTT_URL"
        async with connected(broker.url.port, login=("ana", "geheim")):
            pass
    assert not (tmp_path / "broker-password").exists()


async def test_a_stranger_cannot_push_a_device_out(tmp_path: Path) -> None:
    async with _OnOnePort(tmp_path, "voice", "right") as broker:
        inbox = Inbox()
        async with connected(broker.port, "a", receive=inbox, login=("voice", "right"), client_id="device") as link:
            stranger = await RawClient.open(broker.port)
            with pytest.raises(AssertionError):
                await stranger.connect("device")
            await stranger.close()
            await link.publish("a", b"still here")
            await inbox.has(1)
            assert link.connects == 1


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_a_port_in_use_is_answered_with_what_to_set(tmp_path: Path, host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as other:
        other.bind((host, 0))
        other.listen()
        port = other.getsockname()[1]
        broker = EmbeddedBroker(BrokerUrl(BrokerKind.EMBEDDED, host, port), tmp_path)
        with pytest.raises(ConfigurationError) as error:
            await broker.start()
    shown = f"[{host}]" if ":" in host else host
    assert str(error.value) == (
        f"port {port} on {host} is in use; is another broker running? set GATEWAY_MQTT_URL=mqtt://{shown}:{port}"
        f" to use it, or embedded://{shown}:{port + 1}"
    )
    await broker.start()  # now that it is free
    assert broker.url.port == port
    await broker.stop()


async def test_an_address_of_another_machine_is_named(tmp_path: Path) -> None:
    broker = EmbeddedBroker(parse_broker_url("embedded://192.0.2.1:1883"), tmp_path)
    with pytest.raises(ConfigurationError, match=r"cannot listen on 192\.0\.2\.1:1883"):
        await broker.start()


async def test_a_password_that_cannot_be_kept_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file, not a folder")
    broker = EmbeddedBroker(parse_broker_url("embedded://0.0.0.0:0"), tmp_path / "data")
    with pytest.raises(ConfigurationError, match="cannot be kept in"):
        await broker.start()
    (tmp_path / "broker-password").write_text("\n")
    broker = EmbeddedBroker(parse_broker_url("embedded://0.0.0.0:0"), tmp_path)
    with pytest.raises(ConfigurationError, match="is empty"):
        await broker.start()


async def test_a_message_that_is_too_large_is_told_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with _OnOnePort(tmp_path) as broker:
        for number in range(3):
            client = await RawClient.open(broker.port)
            await client.connect(f"sender {number}")
            # Its length is said before it comes.
            client.send(publish_packet("a", bytes(PACKET_MAX_BYTES + 1))[:100])
            await client.closed_by_peer()
            await client.close()
        assert broker.dropped == 3
        told = [record.getMessage() for record in caplog.records if "is cut off" in record.getMessage()]
        assert len(told) == 1
        assert told[0].startswith("The client at 127.0.0.1 is cut off: it sends 2097153 bytes in one message")


async def test_a_subscriber_that_stops_reading_is_bounded_and_holds_up_nobody(tmp_path: Path) -> None:
    async with _OnOnePort(tmp_path) as broker:
        inbox = Inbox()
        async with connected(broker.port, "a", receive=inbox) as link:
            stuck = await RawClient.open(broker.port)
            await stuck.connect("stuck")
            stuck.send(packet(0x82, b"\x00\x01" + text("a") + b"\x00"))
            await stuck.read(5)
            stuck.stop_reading()
            for _ in range(40):
                await link.publish("a", bytes(1024 * 1024))
            await inbox.has(40)
            assert broker.dropped > 0
        before = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - before < 5, "nor does it hold up the end"
    await stuck.close()


async def test_a_packet_too_large_ends_the_connection_before_it_is_read(tmp_path: Path) -> None:
    async with _OnOnePort(tmp_path) as broker:
        client = await RawClient.open(broker.port)
        await client.connect("huge")
        client.send(b"\x30\xff\xff\xff\x7f" + text("a"))  # promises 256 MiB
        await client.closed_by_peer()
        await client.close()


async def test_it_stops_promptly_with_clients_in_every_state(tmp_path: Path) -> None:
    async with _OnOnePort(tmp_path) as broker:
        silent, halfway, idle = [await RawClient.open(broker.port) for _ in range(3)]
        halfway.send(b"\x10\x20\x00\x04MQ")
        await idle.connect("idle")
        before = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - before < 3
    for client in (silent, halfway, idle):
        await client.closed_by_peer()
        await client.close()
