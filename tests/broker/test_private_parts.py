"""What `fast_lane.py` and `link.py` use of paho-mqtt and aiomqtt beyond what those promise to keep.

When one of these fails after an update, the bounds in pyproject.toml are too wide, or these files need another way.
"""

import asyncio
import socket
from collections.abc import Iterator
from importlib.metadata import version

import aiomqtt
import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from tests.fakes.raw_mqtt import packet

PAHO = f"paho-mqtt {version('paho-mqtt')}"
AIOMQTT = f"aiomqtt {version('aiomqtt')}"
PINGRESP = packet(0xD0)


@pytest.fixture
def wired() -> Iterator[tuple[paho.Client, socket.socket]]:
    """A client as it is once it is connected, and the broker's end of its socket."""
    ours, broker = socket.socketpair()
    ours.setblocking(False)
    broker.settimeout(5)
    client = paho.Client(CallbackAPIVersion.VERSION2)
    client._sock = ours
    yield client, broker
    ours.close()
    broker.close()


def test_paho_reads_by_a_method_that_can_be_replaced(wired: tuple[paho.Client, socket.socket]) -> None:
    client, _ = wired
    given = [PINGRESP[:1], PINGRESP[1:]]

    def give(_size: int) -> bytes:
        if not given:
            raise BlockingIOError
        return given.pop(0)

    client._sock_recv = give  # type: ignore[method-assign]
    client.loop_read()
    assert not given, f"{PAHO} does not read by Client._sock_recv"


def test_paho_writes_the_rest_of_a_packet_that_it_is_handed(wired: tuple[paho.Client, socket.socket]) -> None:
    client, broker = wired
    client.on_socket_register_write = lambda *_: None
    assert hasattr(client, "_packet_queue"), f"{PAHO} has no Client._packet_queue"
    client._packet_queue(paho.PINGREQ, b"the rest", 0, 0)
    assert client.want_write()
    client.loop_write()
    assert broker.recv(100) == b"the rest", f"{PAHO} does not write by Client._packet_queue as it is handed over"


async def test_aiomqtt_shows_its_paho_client_and_the_end_of_its_connection() -> None:
    client = aiomqtt.Client("127.0.0.1")
    assert isinstance(client._client, paho.Client), f"{AIOMQTT} has no paho client as Client._client"
    assert isinstance(client._disconnected, asyncio.Future), f"{AIOMQTT} has no future Client._disconnected"
