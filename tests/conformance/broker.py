"""What the gateway needs of a broker and of its connection to it, whichever broker that is."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any, Protocol

import pytest

from gateway.broker.mqtt import MqttBroker
from gateway.broker.protocol import Incoming, Subscription, Will
from gateway.broker.url import BrokerKind, BrokerUrl
from gateway.errors import BrokerRefused, BrokerUnavailable
from tests.fakes.mosquitto import find_program
from tests.fakes.raw_mqtt import DISCONNECT, RawClient, connect_packet, packet, publish_packet

TIMEOUT_S = 15.0


class RunningBroker(Protocol):
    """A broker on a port of this machine that keeps its port over a restart."""

    port: int

    async def start(self) -> None: ...
    async def stop(self) -> None: ...


class Inbox:
    """A receiver that keeps what comes."""

    def __init__(self) -> None:
        self.messages: list[Incoming] = []
        self._changed = asyncio.Event()

    def __call__(self, message: Incoming) -> None:
        self.messages.append(message)
        self._changed.set()

    @property
    def pairs(self) -> list[tuple[str, bytes]]:
        return [(message.topic, message.payload) for message in self.messages]

    async def has(self, count: int) -> list[Incoming]:
        """Wait until `count` messages have come, and return them."""
        async with asyncio.timeout(TIMEOUT_S):
            while len(self.messages) < count:
                self._changed.clear()
                await self._changed.wait()
        return self.messages


@contextlib.asynccontextmanager
async def connected(
    port: int,
    *topic_filters: str,
    receive: Any = None,
    login: tuple[str | None, str | None] = (None, None),
    **more: Any,
) -> AsyncIterator[MqttBroker]:
    """A connection of ours to the broker on `port`, subscribed at QoS 1."""
    async with connecting(port, *topic_filters, receive=receive, login=login, **more) as link:
        await link.connected_once(TIMEOUT_S)
        yield link


def connecting(
    port: int,
    *topic_filters: str,
    receive: Any = None,
    login: tuple[str | None, str | None] = (None, None),
    **more: Any,
) -> MqttBroker:
    return MqttBroker(
        BrokerUrl(BrokerKind.MQTT, "127.0.0.1", port, *login),
        receive=receive or Inbox(),
        subscriptions=[Subscription(each, qos=1) for each in topic_filters],
        reconnect_min_s=0.02,
        reconnect_max_s=0.2,
        **more,
    )


class BrokerConformance:
    """Inherit, and give the fixtures `broker` (anyone may connect) and `locked_broker` (user voice, password
    `right:/#`)."""

    @pytest.mark.parametrize("qos", [0, 1])
    async def test_500_messages_arrive_whole_and_in_order(self, broker: RunningBroker, qos: int) -> None:
        inbox = Inbox()
        async with connected(broker.port, "voice/+/in", receive=inbox) as link:
            for number in range(500):
                await link.publish("voice/a/in", str(number).encode(), qos=qos)
            await inbox.has(500)
            assert inbox.pairs == [("voice/a/in", str(number).encode()) for number in range(500)]
            assert link.received == 500

    async def test_wildcards_match_one_level_or_the_rest(self, broker: RunningBroker) -> None:
        inbox = Inbox()
        async with connected(broker.port, "voice/+/in", "home/#", "end", receive=inbox) as link:
            for topic in ("voice/a/out", "voice/a/b/in", "other/x", "voice/a/in", "home/a/b", "home", "end"):
                await link.publish(topic, b"x")
            await inbox.has(4)
            assert [topic for topic, _ in inbox.pairs] == ["voice/a/in", "home/a/b", "home", "end"]

    async def test_a_retained_message_waits_for_its_subscriber_until_it_is_erased(self, broker: RunningBroker) -> None:
        async with connected(broker.port) as link:
            await link.publish("state/a", b"old", qos=1, retain=True)
            await link.publish("state/a", b"idle", qos=1, retain=True)
            await link.publish("state/b", b"gone", qos=1, retain=True)
            await link.publish("state/b", b"", qos=1, retain=True)
            inbox = Inbox()
            async with connected(broker.port, "state/+", "live", receive=inbox):
                await link.publish("live", b"now", retain=True)
                await inbox.has(2)
        assert inbox.messages == [Incoming("state/a", b"idle", retained=True), Incoming("live", b"now", retained=False)]

    async def test_a_new_client_gets_no_retained_message_it_did_not_ask_for(self, broker: RunningBroker) -> None:
        async with connected(broker.port, "state/#") as link:
            await link.publish("state/a", b"idle", qos=1, retain=True)
            raw = await RawClient.open(broker.port)
            await raw.connect("fresh")
            raw.send(packet(0xC0))
            assert await raw.read(2) == packet(0xD0)
            await raw.close()

    async def test_the_will_is_published_for_a_client_that_vanishes(self, broker: RunningBroker) -> None:
        inbox = Inbox()
        async with connected(broker.port, "online/+", receive=inbox):
            raw = await RawClient.open(broker.port)
            await raw.connect("doomed", will=("online/a", b"offline"))
            raw.die()
            await inbox.has(1)
            late = Inbox()
            async with connected(broker.port, "online/+", receive=late):
                await late.has(1)
        assert inbox.messages == [Incoming("online/a", b"offline")]
        assert late.messages == [Incoming("online/a", b"offline", retained=True)]

    async def test_the_will_is_published_for_a_client_that_falls_silent(self, broker: RunningBroker) -> None:
        inbox = Inbox()
        async with connected(broker.port, "online/+", receive=inbox):
            raw = await RawClient.open(broker.port)
            await raw.connect("silent", keepalive_s=1, will=("online/a", b"offline"))
            await inbox.has(1)
            await raw.close()
        assert inbox.pairs == [("online/a", b"offline")]

    async def test_no_will_is_published_for_us_when_we_stop(self, broker: RunningBroker) -> None:
        inbox = Inbox()
        async with connected(broker.port, "gateway/status", "end", receive=inbox):
            will = Will("gateway/status", b"offline")
            async with connected(broker.port, will=will, client_id="gateway") as leaving:
                await leaving.publish("gateway/status", b"bye")
            # With the same client id: the broker has then dealt with the earlier connection.
            async with connected(broker.port, client_id="gateway") as again:
                await again.publish("end", b"")
                await inbox.has(2)
        assert inbox.pairs == [("gateway/status", b"bye"), ("end", b"")]

    async def test_a_client_that_comes_again_takes_its_id_over_after_its_own_will(self, broker: RunningBroker) -> None:
        inbox = Inbox()
        async with connected(broker.port, "online/a", receive=inbox):
            old, new = await RawClient.open(broker.port), await RawClient.open(broker.port)
            await old.connect("same", will=("online/a", b"offline"))
            old.send(publish_packet("online/a", b"online"))
            await inbox.has(1)
            await new.connect("same", will=("online/a", b"offline"))
            new.send(publish_packet("online/a", b"online again"))
            await old.closed_by_peer()
            await inbox.has(3)
            new.send(DISCONNECT)
            await new.closed_by_peer()
            await old.close()
            await new.close()
        assert [payload for _, payload in inbox.pairs] == [b"online", b"offline", b"online again"]

    async def test_what_is_sent_right_before_leaving_arrives(self, broker: RunningBroker) -> None:
        inbox = Inbox()
        async with connected(broker.port, "hasty/#", receive=inbox):
            raw = await RawClient.open(broker.port)
            burst = b"".join(publish_packet("hasty/in", bytes([number])) for number in range(50))
            raw.send(connect_packet("hasty", keepalive_s=0, will=("hasty/will", b"x")) + burst + DISCONNECT)
            await raw.closed_by_peer()
            await raw.close()
            await inbox.has(50)
        assert inbox.pairs == [("hasty/in", bytes([number])) for number in range(50)]

    async def test_a_message_of_1_mib_passes_both_ways(self, broker: RunningBroker) -> None:
        inbox = Inbox()
        payload = bytes(range(256)) * 4096
        async with connected(broker.port, "big/#", receive=inbox) as link:
            await link.publish("big/a", payload)
            await link.publish("big/b", payload, qos=1)
            await inbox.has(2)
        assert inbox.pairs == [("big/a", payload), ("big/b", payload)]

    async def test_nothing_is_lost_while_the_gateway_is_busy(self, broker: RunningBroker) -> None:
        """3000 messages of 1 KB at QoS 0 arrive although the event loop stands still for a while."""
        inbox = Inbox()

        def slow_at_first(message: Incoming) -> None:
            if not inbox.messages:
                time.sleep(0.5)
            inbox(message)

        async with connected(broker.port, "busy", receive=slow_at_first):
            raw = await RawClient.open(broker.port)
            await raw.connect("sender")
            for number in range(3000):
                raw.send(publish_packet("busy", number.to_bytes(2, "big") + bytes(1022)))
            await inbox.has(3000)
            await raw.close()
        assert [int.from_bytes(payload[:2], "big") for _, payload in inbox.pairs] == list(range(3000))

    async def test_30_clients_each_get_their_own(self, broker: RunningBroker) -> None:
        async def talk_to_itself(name: str) -> list[tuple[str, bytes]]:
            inbox = Inbox()
            async with connected(broker.port, f"voice/{name}/out", receive=inbox) as link:
                for number in range(10):
                    await link.publish(f"voice/{name}/out", f"{name} {number}".encode(), qos=number % 2)
                await inbox.has(10)
                return sorted(inbox.pairs)

        names = [f"device{number}" for number in range(30)]
        for name, pairs in zip(names, await asyncio.gather(*map(talk_to_itself, names)), strict=True):
            assert pairs == [(f"voice/{name}/out", f"{name} {number}".encode()) for number in range(10)]

    async def test_mosquitto_pub_and_sub_work_with_it(self, broker: RunningBroker) -> None:
        at_it = ("-h", "127.0.0.1", "-p", str(broker.port))
        inbox = Inbox()
        async with connected(broker.port, "in", receive=inbox) as link:
            await link.publish("answer", b"\x00mp3\xff", qos=1, retain=True)
            sub = await asyncio.create_subprocess_exec(
                find_program("mosquitto_sub"), *at_it, "-t", "answer", "-N", "-C", "1", stdout=asyncio.subprocess.PIPE
            )
            answer, _ = await asyncio.wait_for(sub.communicate(), TIMEOUT_S)
            pub = await asyncio.create_subprocess_exec(
                find_program("mosquitto_pub"), *at_it, "-t", "in", "-s", stdin=asyncio.subprocess.PIPE
            )
            await asyncio.wait_for(pub.communicate(b"RIFF" * 50_000), TIMEOUT_S)
            await inbox.has(1)
        assert answer == b"\x00mp3\xff"
        assert inbox.pairs == [("in", b"RIFF" * 50_000)]

    async def test_after_a_restart_subscriptions_and_retained_messages_are_back(self, broker: RunningBroker) -> None:
        inbox, connections = Inbox(), asyncio.Semaphore(0)

        async def note() -> None:
            connections.release()

        async with connected(broker.port, "voice/+/in", receive=inbox, on_connected=note) as link:
            await link.publish("state/a", b"speaking", qos=1, retain=True)
            await link.publish("state/a", b"idle", qos=1, retain=True)
            await link.publish("state/b", b"idle", qos=1, retain=True)
            await link.publish("state/b", b"", qos=1, retain=True)
            await connections.acquire()
            await broker.stop()
            await broker.start()
            await asyncio.wait_for(connections.acquire(), TIMEOUT_S)
            assert link.connects == 2
            late = Inbox()
            async with connected(broker.port, "state/+", "voice/+/in", receive=late) as other:
                await late.has(1)
                await other.publish("voice/a/in", b"hello", qos=1)
                await inbox.has(1)
                await late.has(2)
        assert late.pairs == [("state/a", b"idle"), ("voice/a/in", b"hello")]
        assert inbox.pairs == [("voice/a/in", b"hello")]

    async def test_a_broker_that_is_away_is_waited_for(
        self, broker: RunningBroker, caplog: pytest.LogCaptureFixture
    ) -> None:
        await broker.stop()
        async with connecting(broker.port) as link:
            with pytest.raises(BrokerUnavailable, match="is the broker running there"):
                await link.connected_once(0.3)
            with pytest.raises(BrokerUnavailable, match="no connection to the broker"):
                await link.publish("voice/a/out", b"lost")
            assert link.unpublished == 1
            await link.publish("state/a", b"kept", qos=1, retain=True)
            said_once = [record for record in caplog.records if "Cannot connect" in record.message]
            assert len(said_once) == 1
            await broker.start()
            await link.connected_once(TIMEOUT_S)
            assert link.trouble is None
            late = Inbox()
            async with connected(broker.port, "state/a", receive=late):
                await late.has(1)
        assert late.messages == [Incoming("state/a", b"kept", retained=True)]

    async def test_a_wrong_password_is_named_at_once_and_tried_again(self, locked_broker: RunningBroker) -> None:
        for login in (("voice", "wrong"), ("nobody", "right:/#"), (None, None)):
            async with connecting(locked_broker.port, login=login) as link:
                with pytest.raises(BrokerRefused, match="not authorised: check user and password") as error:
                    await link.connected_once(float("inf"))
                assert not link.connected
                assert "wrong" not in str(error.value)
                assert "right" not in str(error.value)
        async with connected(locked_broker.port, login=("voice", "right:/#")) as link:
            await link.publish("x", b"", qos=1)

    @pytest.mark.parametrize(
        "nonsense",
        [
            b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
            b"\xff" * 100,
            connect_packet("bad") + b"\x30\xff\xff\xff\x7f" + b"x" * 1000,
            connect_packet("bad") + packet(0x32, b"\x00\x03a/b"),
            connect_packet("bad") + packet(0x82, b"\x00\x01\x00\x03a#b\x07"),
            connect_packet("bad") + packet(0x30, b"\x00\x02\xff\xfe"),
            connect_packet("bad") + packet(0x30, b"\x00\x02+/x") + b"\x00" * 10,
            connect_packet("bad") + connect_packet("bad"),
        ],
    )
    async def test_a_hostile_client_harms_nobody_else(self, broker: RunningBroker, nonsense: bytes) -> None:
        inbox = Inbox()
        async with connected(broker.port, "safe", receive=inbox) as link:
            raw = await RawClient.open(broker.port)
            raw.send(nonsense)
            await link.publish("safe", b"before")
            raw.die()
            await link.publish("safe", b"after", qos=1)
            await inbox.has(2)
            assert link.connects == 1
            again = await RawClient.open(broker.port)
            await again.connect("bad")
            await again.close()
