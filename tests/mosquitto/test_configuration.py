"""The settings of the broker that we ship, as its clients notice them."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiomqtt
import pytest

from gateway.broker.protocol import Incoming
from tests.conformance.broker import TIMEOUT_S, Inbox, connected
from tests.fakes.raw_mqtt import RawClient, connect_packet, packet, text
from tests.mosquitto.shipped import LOCAL_PORT, PASSWORDS, ShippedBroker

PLAIN_PORT = 1884
NOT_AUTHORISED = b"\x20\x02\x00\x05"


def login_packet(name: str, password: str, will: str = "") -> bytes:
    """CONNECT as PubSubClient writes it; with the will `offline` on topic `will`, if that is given."""
    flags = 0xC2 | (0x2C if will else 0)
    last = text(will) + text("offline") if will else b""
    return packet(0x10, text("MQTT") + bytes([4, flags, 0, 60]) + text(name) + last + text(name) + text(password))


async def die(port: int, login: tuple[str, str], will: str) -> None:
    """Connect with a will, if the broker lets it, and vanish."""
    client = await RawClient.open(port)
    client.send(login_packet(*login, will))
    await client.read(4)
    client.die()


def accepts(address: str, port: int) -> bool:
    with socket.socket() as client:
        client.settimeout(TIMEOUT_S)
        return client.connect_ex((address, port)) == 0


@pytest.mark.parametrize("entry", ["mosquitto.conf", "debian.conf"])
async def test_as_shipped_only_this_machine_can_connect(tmp_path: Path, entry: str) -> None:
    places = {"/run/mosquitto": str(tmp_path), "/var/lib/mosquitto": str(tmp_path)}
    async with ShippedBroker(tmp_path, entry=entry, places=places) as broker:
        (port,) = broker.ports.values()
        assert accepts("127.0.0.1", port)
        assert not accepts("127.0.0.2", port), "it listens on more than 127.0.0.1"
        pid_file = broker.folder if entry == "mosquitto.conf" else tmp_path
        assert int((pid_file / "mosquitto.pid").read_text()) == broker.running.pid


async def test_in_a_container_others_can_connect(tmp_path: Path) -> None:
    places = {"/mosquitto/data": str(tmp_path)}
    async with ShippedBroker(tmp_path, entry="container.conf", places=places) as broker:
        assert accepts("127.0.0.2", broker.ports[LOCAL_PORT])


@pytest.mark.parametrize("port", [LOCAL_PORT, PLAIN_PORT])
async def test_nobody_gets_in_without_a_login(tmp_path: Path, port: int) -> None:
    async with ShippedBroker(tmp_path, "plain") as broker:
        stranger = await RawClient.open(broker.ports[port])
        stranger.send(connect_packet("kitchen"))
        assert await stranger.read(4) == NOT_AUTHORISED
        await stranger.close()


async def test_a_wrong_password_is_refused(tmp_path: Path) -> None:
    async with ShippedBroker(tmp_path) as broker:
        client = await RawClient.open(broker.ports[LOCAL_PORT])
        client.send(login_packet("kitchen", PASSWORDS["hall"]))
        assert await client.read(4) == NOT_AUTHORISED
        await client.close()


async def test_a_device_cannot_take_the_connection_of_another(tmp_path: Path) -> None:
    async with ShippedBroker(tmp_path, "plain") as broker:
        port = broker.ports[PLAIN_PORT]
        inbox = Inbox()
        async with (
            connected(port, "voice/hall/out", receive=inbox, login=broker.login("hall"), client_id="hall") as hall,
            connected(port, login=broker.login("kitchen"), client_id="hall"),
            connected(broker.ports[LOCAL_PORT], login=broker.login("gateway")) as gateway,
        ):
            await gateway.publish("voice/hall/out", b"still there", qos=1)
            await inbox.has(1)
            assert hall.connects == 1


async def test_one_login_has_several_connections_on_this_machine(tmp_path: Path) -> None:
    """`voice-gateway doctor` must not end the connection of the gateway that runs."""
    async with ShippedBroker(tmp_path) as broker:
        port, login = broker.ports[LOCAL_PORT], broker.login("gateway")
        inbox = Inbox()
        async with (
            connected(port, "voice/+/in", receive=inbox, login=login) as running,
            connected(port, login=login) as command,
        ):
            await command.publish("voice/kitchen/in", b"x", qos=1)
            await inbox.has(1)
            assert running.connects == 1


async def test_a_device_leaves_its_own_will_and_no_other(tmp_path: Path) -> None:
    async with ShippedBroker(tmp_path, "plain") as broker:
        port = broker.ports[PLAIN_PORT]
        inbox = Inbox()
        home = {"receive": inbox, "login": broker.login("homeassistant")}
        async with connected(broker.ports[LOCAL_PORT], "voice/+/online", **home):
            await die(port, broker.login("kitchen"), "voice/hall/online")
            await die(port, broker.login("kitchen"), "voice/kitchen/online")
            await inbox.has(1)
        assert inbox.pairs == [("voice/kitchen/online", b"offline")]
        kept = Inbox()
        async with connected(broker.ports[LOCAL_PORT], "voice/+/online", **home | {"receive": kept}):
            await kept.has(1)
        assert kept.messages == [Incoming("voice/kitchen/online", b"offline", retained=True)]


async def test_too_large_a_message_is_dropped_and_what_is_retained_outlives_a_restart(tmp_path: Path) -> None:
    async with ShippedBroker(tmp_path) as broker:
        port, login = broker.ports[LOCAL_PORT], broker.login("gateway")
        inbox = Inbox()
        async with connected(port, "voice/+/in", receive=inbox, login=login) as link:
            await link.publish("voice/a/in", bytes(1024 * 1024), qos=1)
            await link.publish("voice/a/in", bytes(3 * 1024 * 1024), qos=1)
            await link.publish("voice/a/state", b"idle", qos=1, retain=True)
            await link.publish("voice/a/in", b"end", qos=1)
            await inbox.has(2)
        await broker.stop()
        await broker.start()
        kept = Inbox()
        async with connected(port, "voice/+/state", receive=kept, login=login):
            await kept.has(1)
    assert [len(payload) for _, payload in inbox.pairs] == [1024 * 1024, 3], "too large a message is dropped"
    assert kept.messages == [Incoming("voice/a/state", b"idle", retained=True)]


@asynccontextmanager
async def returning(broker: ShippedBroker) -> AsyncIterator[aiomqtt.Client]:
    """A subscriber whose messages the broker keeps while it is away."""
    name, password = broker.login("gateway")
    port = broker.ports[LOCAL_PORT]
    client = aiomqtt.Client(
        "127.0.0.1", port, username=name, password=password, identifier="returning", clean_session=False
    )
    async with client, asyncio.timeout(TIMEOUT_S):
        yield client


async def test_a_subscriber_that_is_away_for_a_while_gets_all_that_was_acknowledged(tmp_path: Path) -> None:
    """Mosquitto's own limit is 1000 messages."""
    count = 3000
    async with ShippedBroker(tmp_path) as broker:
        async with returning(broker) as away:
            await away.subscribe("voice/a/in", qos=1)
        async with connected(broker.ports[LOCAL_PORT], login=broker.login("gateway")) as sender:
            await asyncio.gather(*(sender.publish("voice/a/in", b"%d" % number, qos=1) for number in range(count)))
        async with returning(broker) as back:
            came = [int((await anext(back.messages)).payload) for _ in range(count)]
    assert came == list(range(count))


async def test_a_subscriber_that_stays_away_does_not_fill_the_memory(tmp_path: Path) -> None:
    """Large messages are kept up to 64 MiB for each client, and what comes then is dropped."""
    async with ShippedBroker(tmp_path) as broker:
        async with returning(broker) as away:
            await away.subscribe("voice/a/in", qos=1)
        async with connected(broker.ports[LOCAL_PORT], login=broker.login("gateway")) as sender:
            for _ in range(70):
                await sender.publish("voice/a/in", bytes(1024 * 1024), qos=1)
        async with (
            returning(broker) as back,
            connected(broker.ports[LOCAL_PORT], login=broker.login("gateway")) as link,
        ):
            for _ in range(64):
                assert len((await anext(back.messages)).payload) == 1024 * 1024
            await link.publish("voice/a/in", b"what comes next", qos=1)
            assert (await anext(back.messages)).payload == b"what comes next"


async def test_logins_are_read_again_without_ending_connections(tmp_path: Path) -> None:
    broker = ShippedBroker(tmp_path, "plain")
    async with broker:
        port = broker.ports[PLAIN_PORT]
        inbox = Inbox()
        async with connected(port, "voice/kitchen/out", receive=inbox, login=broker.login("kitchen")) as kitchen:
            broker.add_logins(PASSWORDS | {"cellar": "new"})
            await broker.reload()
            async with connected(port, "voice/cellar/out", login=("cellar", "new")):
                pass
            async with connected(broker.ports[LOCAL_PORT], login=broker.login("gateway")) as gateway:
                await gateway.publish("voice/kitchen/out", b"still there", qos=1)
            await inbox.has(1)
            assert kitchen.connects == 1


async def test_it_outlives_a_session_that_was_away_while_its_password_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Memory that was freed is overwritten at once: its use afterwards ends the broker here, and elsewhere sometimes.
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.tcache_count=0:glibc.malloc.perturb=170")
    async with ShippedBroker(tmp_path) as broker:
        async with returning(broker) as away:
            await away.subscribe("voice/a/in", qos=1)
        broker.add_logins(PASSWORDS | {"gateway": "another"})
        await broker.reload()
        port, login = broker.ports[LOCAL_PORT], ("gateway", "another")
        async with connected(port, login=login, client_id="returning"):  # with a clean session: the old one is freed
            pass
        # It looks through its sessions once a second.
        ended = asyncio.create_task(broker.running.wait())
        done, _ = await asyncio.wait([ended], timeout=2.5)
        ended.cancel()
        assert not done, f"the broker crashed: {broker.log}"
