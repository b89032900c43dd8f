"""One connection on aiomqtt, from its opening to its end; `mqtt.py` opens the next one when it is lost.

aiomqtt connects, subscribes, keeps alive and acknowledges; live audio goes past it, see `fast_lane.py`.
"""

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import aiomqtt
import paho.mqtt.client as paho

from gateway.broker.fast_lane import Deliver, FastLane
from gateway.broker.protocol import Will
from gateway.broker.url import BrokerUrl

logger = logging.getLogger(__name__)

ANSWER_TIMEOUT_S = 5.0
"""Longest wait for the broker to answer CONNECT or SUBSCRIBE, or to let go after DISCONNECT."""
RECEIVE_BUFFER_BYTES = 4 * 1024 * 1024
"""Two seconds of 200 devices sending 8 kB/s: what may wait in the socket while the event loop is busy."""
INFLIGHT_MAX = 200
"""QoS 1 messages on their way at a time. paho's 20 holds a link of 50 ms to 400 messages a second."""
QUEUED_MAX = 10_000
"""QoS 1 messages waiting for their turn; beyond it `publish` raises."""


def _demote(record: logging.LogRecord) -> bool:
    """Let what the libraries say be seen at DEBUG only: `mqtt.py` reports each trouble itself, once."""
    record.levelno, record.levelname = logging.DEBUG, "DEBUG"
    return logger.isEnabledFor(logging.DEBUG)


_library_logger = logging.getLogger(f"{__name__}.library")
_library_logger.addFilter(_demote)


class TlsContext(ssl.SSLContext):
    """Shakes hands while it wraps the socket. paho does so afterwards, with the keep-alive (a minute) as its time
    limit instead of that for connecting, and leaves the socket open when the certificate is refused."""

    def wrap_socket(self, *args: Any, **options: Any) -> ssl.SSLSocket:
        return super().wrap_socket(*args, **{**options, "do_handshake_on_connect": True})


class Link:
    """A connection that stands, or did."""

    def __init__(self, client: aiomqtt.Client, deliver: Deliver) -> None:
        """`deliver` is called on the event loop for each message."""
        self.client = client
        self._wire = client._client
        self._lane = FastLane(self._wire, deliver)
        open_socket = self._wire.socket()
        assert open_socket is not None
        asyncio.get_running_loop().add_reader(open_socket.fileno(), self._read)

    @property
    def congested(self) -> bool:
        """Something waits to be written."""
        return self._wire.want_write()

    def publish_at_once(self, topic: str, payload: bytes, *, retain: bool) -> None:
        """Write a message at QoS 0 to the connection, which must not be congested.

        Raises:
            OSError: the connection has just been lost.
            ValueError: it is no message that MQTT could carry.
        """
        self._lane.publish(topic, payload, retain=retain)

    async def until_lost(self) -> None:
        """Wait for the end of the connection, which raises `MqttError`; messages do not come this way."""
        async for _ in self.client.messages:
            pass

    def close(self) -> None:
        self._lane.close()

    def _read(self) -> None:
        try:
            self._lane.readable()
        except Exception as error:  # as aiomqtt does in its own reader: the connection is of no more use
            if not self.client._disconnected.done():
                self.client._disconnected.set_exception(error)


@contextlib.asynccontextmanager
async def opened(
    url: BrokerUrl, *, client_id: str, keepalive_s: int, tls: ssl.SSLContext | None, will: Will | None, deliver: Deliver
) -> AsyncIterator[Link]:
    """A connection to the broker at `url`, whose socket is closed afterwards whatever happened.

    Raises:
        MqttError: it cannot be opened.
    """
    client = aiomqtt.Client(
        url.host,
        url.port,
        username=url.username,
        password=url.password,
        identifier=client_id,
        keepalive=keepalive_s,
        timeout=ANSWER_TIMEOUT_S,
        tls_context=tls,
        logger=_library_logger,
        max_inflight_messages=INFLIGHT_MAX,
        max_queued_outgoing_messages=QUEUED_MAX,
        socket_options=_socket_options(),
        will=None if will is None else aiomqtt.Will(will.topic, will.payload, will.qos, will.retain),
    )
    wire = client._client
    # Those at QoS 1, and what the fast lane does not understand.
    wire.on_message = partial(_deliver_from_paho, deliver)
    # aiomqtt leaves the socket open when the broker is silent after CONNECT, or when it is cancelled there.
    opening = asyncio.create_task(client.__aenter__(), name="mqtt-connect")
    try:
        try:
            await asyncio.shield(opening)
        except asyncio.CancelledError:
            if wire.socket() is None:  # a thread is connecting; it cannot be stopped, and gives up by itself
                await asyncio.wait({opening}, timeout=ANSWER_TIMEOUT_S)
            # What aiomqtt does at a disconnection raises once its own wait for the connection is cancelled.
            wire.on_disconnect = None
            opening.cancel()
            await asyncio.gather(opening, return_exceptions=True)
            raise
        wire.on_socket_register_write = _register_write
        try:
            # Of a connection that ends before it has been noted that it stands, aiomqtt forgets the end.
            if wire.socket() is None:
                raise aiomqtt.MqttError("the connection was closed as soon as it stood")
            link = Link(client, deliver)
            try:
                yield link
            finally:
                link.close()
        finally:
            with contextlib.suppress(Exception):  # a loss that has been reported, or a broker that has stalled
                await client.__aexit__(None, None, None)
    finally:
        _close(wire)


def _deliver_from_paho(deliver: Deliver, client: paho.Client, userdata: object, message: paho.MQTTMessage) -> None:
    try:
        topic = message.topic
    except UnicodeDecodeError:
        logger.error("A message whose topic is not UTF-8 was ignored")
        return
    deliver(topic, bytes(message.payload), message.retain)


def _register_write(client: paho.Client, userdata: object, open_socket: "paho.SocketLike") -> None:
    """Write when the socket takes more. aiomqtt's own way, made for its connecting thread, takes effect one turn of
    the loop later, when the socket may be closed and its number another's."""
    asyncio.get_running_loop().add_writer(open_socket.fileno(), client.loop_write)


def _close(wire: paho.Client) -> None:
    """Close a socket that is still open, with a word to the broker if that can be said without waiting."""
    if wire.socket() is None:
        return
    wire.on_message = None
    wire.on_socket_register_write = None  # so that paho writes at once
    wire.disconnect()
    while (still_open := wire.socket()) is not None:
        # Not even DISCONNECT could be written: end the stream, and let paho find that out.
        if isinstance(still_open, socket.socket):
            with contextlib.suppress(OSError):
                still_open.shutdown(socket.SHUT_RDWR)
        wire.loop_read()


def _socket_options() -> list[tuple[int, int, int]]:
    """No delay, and a large receive buffer where the system grants one.

    Where `net.core.rmem_max` is small (208 KiB as Debian ships it), asking would only end the kernel's own growing
    of the buffer, up to `net.ipv4.tcp_rmem` (6 MiB).
    """
    options = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)]
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        if probe.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) >= RECEIVE_BUFFER_BYTES:
            options.append((socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES))
    return options
