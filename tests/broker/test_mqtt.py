"""What our connection does when a broker behaves as a healthy one does not."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.broker.mqtt import MqttBroker
from gateway.broker.protocol import Incoming, Subscription
from gateway.broker.url import BrokerKind, BrokerUrl
from gateway.errors import BrokerRefused, BrokerUnavailable, ConfigurationError
from tests.conformance.broker import Inbox, connected, connecting
from tests.fakes.mosquitto import Mosquitto, find_program
from tests.fakes.raw_mqtt import packet, publish_packet

CONNACK = packet(0x20, b"\x00\x00")


class OddBroker:
    """Answers CONNECT and SUBSCRIBE with the bytes given, and nothing else. `came`: a CONNECT was answered."""

    def __init__(self, connack: bytes = b"", suback: bytes = b"") -> None:
        self.port = 0
        self.came = asyncio.Event()
        self._connack = connack
        self._suback = suback
        self._writers: list[asyncio.StreamWriter] = []

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["OddBroker"]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for writer in self._writers:
                writer.close()
                with contextlib.suppress(ConnectionError):
                    await writer.wait_closed()

    def hang_up(self) -> None:
        self._writers[-1].close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        while data := await reader.read(65536):
            if data[0] == 0x10:
                writer.write(self._connack)
                self.came.set()
            elif data[0] == 0x82:
                writer.write(packet(0x90, data[2:4] + self._suback))


async def test_a_refused_subscription_is_an_error_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async with OddBroker(CONNACK, suback=b"\x00\x80").running() as broker, connected(broker.port, "a/in", "b/in"):
        errors = [record.message for record in caplog.records if record.levelno == logging.ERROR]
    assert errors == [
        f"mqtt://127.0.0.1:{broker.port} refused the subscription to b/in: allow it in the broker's access rules"
    ]


@pytest.mark.parametrize("connack", [b"", CONNACK], ids=["before CONNACK", "before SUBACK"])
async def test_stopping_is_prompt_while_the_broker_is_silent(connack: bytes) -> None:
    class Silent(OddBroker):
        async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self._writers.append(writer)
            await reader.read(65536)
            writer.write(connack)
            self.came.set()
            await reader.read()

    async with Silent().running() as broker:
        async with connecting(broker.port, "a/in"):
            await broker.came.wait()
            before = asyncio.get_running_loop().time()
        assert asyncio.get_running_loop().time() - before < 2


async def test_a_lost_connection_ends_the_wait_of_publish_with_an_error() -> None:
    """The broker takes the connection but acknowledges nothing."""
    async with OddBroker(CONNACK).running() as broker, connected(broker.port, publish_timeout_s=0.1) as link:
        with pytest.raises(BrokerUnavailable, match="did not take a message"):
            await link.publish("a/out", b"x", qos=1)
        assert link.unpublished == 1
        await link.publish("a/state", b"idle", qos=1, retain=True)  # kept for later: no error


async def test_a_cancellation_that_comes_with_the_acknowledgement_is_not_lost() -> None:
    class Answering(OddBroker):
        async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self._writers.append(writer)
            await reader.read(65536)
            writer.write(CONNACK)
            while data := await reader.read(65536):
                if data[0] == 0x32:
                    # In one piece, so that the acknowledgement has been read but nobody has gone on with it.
                    writer.write(packet(0x40, data[-3:-1]) + publish_packet("a/stop", b""))

    async def publish_for_ever() -> None:
        while True:
            await link.publish("a", b"x", qos=1)

    async with (
        Answering().running() as broker,
        connected(broker.port, receive=lambda _: publishing.cancel()) as link,
    ):
        publishing = asyncio.create_task(publish_for_ever())
        done, _ = await asyncio.wait({publishing}, timeout=5)
        publishing.cancel()
        assert done


async def test_a_connection_that_is_closed_as_soon_as_it_stands_is_made_again() -> None:
    class Hasty(OddBroker):
        async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self._writers.append(writer)
            await reader.read(65536)
            writer.write(CONNACK)  # and the end of the stream in the same packet, or right behind it
            if len(self._writers) <= 5:
                writer.close()
            else:
                self.came.set()
                await reader.read()

    async with Hasty().running() as broker, connecting(broker.port):
        async with asyncio.timeout(10):
            await broker.came.wait()


async def test_a_broker_that_hangs_up_at_once_is_not_besieged_but_after_a_good_connection_tried_again_soon(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gateway.broker.mqtt.STEADY_S", 0.5)

    async def seconds_to_come_back() -> float:
        broker.came.clear()
        before = asyncio.get_running_loop().time()
        broker.hang_up()
        async with asyncio.timeout(10):
            await broker.came.wait()
        return asyncio.get_running_loop().time() - before

    async with OddBroker(CONNACK).running() as broker:
        link = MqttBroker(
            BrokerUrl(BrokerKind.MQTT, "127.0.0.1", broker.port),
            receive=Inbox(),
            reconnect_min_s=0.1,
            reconnect_max_s=60,
        )
        async with link:
            await link.connected_once(5)
            waits = [await seconds_to_come_back() for _ in range(4)]
            assert waits[-1] >= 0.1 * 2**4 * 0.5
            await asyncio.sleep(waits[-1] + 0.5)  # how long it stands is what matters
            assert await seconds_to_come_back() < waits[-1] / 2


async def test_a_receiver_that_raises_is_logged_and_the_next_message_comes(caplog: pytest.LogCaptureFixture) -> None:
    inbox = Inbox()

    def fussy(message: Incoming) -> None:
        inbox(message)
        if message.payload == b"bad":
            raise ValueError("cannot read this")

    async with Mosquitto() as broker, connected(broker.port, "a/in", receive=fussy) as link:
        await link.publish("a/in", b"bad")
        await link.publish("a/in", b"good")
        await inbox.has(2)
        assert link.receive_errors == 1
        assert link.connects == 1
    assert "A message on a/in could not be handled" in caplog.text
    assert "cannot read this" in caplog.text


async def test_a_step_at_connection_that_fails_is_logged_and_the_connection_stands(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def fails() -> None:
        raise ValueError("no such thing")

    async with Mosquitto() as broker, connected(broker.port, on_connected=fails) as link:
        assert link.connected
    assert "no such thing" in caplog.text


async def test_only_the_newest_topics_are_kept_for_a_reconnect() -> None:
    async with Mosquitto() as broker:
        restored = asyncio.Semaphore(0)

        async def note() -> None:
            restored.release()

        async with connected(broker.port, retained_max=3, on_connected=note) as link:
            await restored.acquire()
            for topic in ("s/1", "s/2", "s/1", "s/3", "s/4"):
                await link.publish(topic, b"x", qos=1, retain=True)
            assert link.retained_forgotten == 1
            await broker.stop()
            await broker.start()
            await asyncio.wait_for(restored.acquire(), 15)
            late = Inbox()
            async with connected(broker.port, "s/#", receive=late):
                await late.has(3)
    assert sorted(topic for topic, _ in late.pairs) == ["s/1", "s/3", "s/4"]


async def test_a_ca_file_that_is_none_is_named(tmp_path: Path) -> None:
    for content in (None, "not a certificate"):
        ca_file = tmp_path / "ca.pem"
        if content is not None:
            ca_file.write_text(content)
        link = MqttBroker(BrokerUrl(BrokerKind.MQTTS, "127.0.0.1", 8883), receive=Inbox(), ca_file=ca_file)
        with pytest.raises(ConfigurationError, match=r"ca\.pem is not a PEM certificate"):
            await link.start()


async def test_tls_with_our_own_ca_works_and_without_it_says_what_to_set(tmp_path: Path) -> None:
    openssl = await asyncio.create_subprocess_exec(
        find_program("openssl"),
        *("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"),
        *("-addext", "subjectAltName=DNS:localhost"),
        *("-keyout", str(tmp_path / "server.key"), "-out", str(tmp_path / "server.pem")),
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert await openssl.wait() == 0
    tls = f"certfile {tmp_path}/server.pem\nkeyfile {tmp_path}/server.key"
    async with Mosquitto(settings=tls) as broker:
        url = BrokerUrl(BrokerKind.MQTTS, "localhost", broker.port)
        inbox = Inbox()
        subscriptions = [Subscription("a", 0)]
        async with MqttBroker(url, receive=inbox, subscriptions=subscriptions, ca_file=tmp_path / "server.pem") as link:
            await link.connected_once(10)
            # TLS hands out its records one by one, of at most 16 KiB, and the socket does not tell of those it holds.
            sent = [("a", bytes([number]) * size) for number, size in enumerate((1_000_000, 0, 16_384, 1, 10, 40_000))]
            for topic, payload in sent:
                await link.publish(topic, payload)
            await inbox.has(len(sent))
            assert inbox.pairs == sent
            await link.publish("a", bytes(1_000_000), qos=1)
        async with MqttBroker(url, receive=Inbox()) as link:
            with pytest.raises(BrokerRefused, match="set GATEWAY_MQTT_CA_FILE"):
                await link.connected_once(float("inf"))
