"""The MQTT server inside the embedded broker: amqtt, with what amqtt 0.12 lacks for live use put right.

amqtt reads and writes the packets, keeps the state of QoS 1 and 2, and matches topics. Replaced here, because as it
stands a client can harm itself or others:

- It accepts packets of any announced length (256 MiB), waits for ever for CONNECT, keeps sockets of refused clients
  open, and lets messages pile up without bound behind a slow subscriber or before a fast publisher. All is bounded
  here: `PACKET_MAX_BYTES`, `CONNECT_TIMEOUT_S`, `CONNECTIONS_MAX`, `UNSENT_MAX_BYTES`, `UNACKNOWLEDGED_MAX`,
  `BACKLOG_MAX`, `RETAINED_MAX`, `RETAINED_MAX_BYTES`.
- It ends and replaces the session of a client id before it has checked the password of the newcomer.
- It never acts on the keep-alive, so the will of a device that lost its power is never published.
- A client that takes over an id leaves the old connection open; the old one's will ("offline") comes whenever that
  ends, after the new one's "online".
- What a client published just before it disconnected may be lost.
- A new client is sent the retained messages of all other clients' subscriptions.
- It delivers at the subscriber's QoS, whatever the publisher's.
- Each message passes two queues and several tasks, and is formatted whole for a log line that nobody reads.

Every connection begins with a clean session and is told so: queues for absent clients would be one more thing to
bound, and the devices of this gateway subscribe at each connection.
"""

import asyncio
import hmac
import logging
import socket
from collections.abc import Callable
from functools import partial
from typing import Any

from amqtt.adapters import StreamReaderAdapter, StreamWriterAdapter
from amqtt.broker import Broker
from amqtt.errors import AMQTTError, MQTTError, NoDataError
from amqtt.mqtt.constants import QOS_0
from amqtt.mqtt.protocol.broker_handler import BrokerProtocolHandler
from amqtt.mqtt.publish import PublishPacket
from amqtt.session import ApplicationMessage, Session

from gateway.limits import SlidingWindow

logger = logging.getLogger(__name__)

PACKET_MAX_BYTES = 2 * 1024 * 1024
"""Twice the largest message of the wire contract: one that is a little too large is still answered by name."""
CONNECT_TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 1.0
CONNECTIONS_MAX = 500
"""Below the 1024 files that a process may usually open."""
UNSENT_MAX_BYTES = 8 * 1024 * 1024
"""Written to one subscriber and not yet taken by its socket; what comes beyond that is lost to it, and counted."""
UNACKNOWLEDGED_MAX = 1000
"""Messages at QoS 1 or 2 on their way to one subscriber."""
BACKLOG_MAX = 200
"""Messages of one publisher read and not yet passed on; reading waits meanwhile."""
RETAINED_MAX = 20_000
RETAINED_MAX_BYTES = 64 * 1024 * 1024
DROPS_LOGGED_EVERY_S = 10.0
KEEPALIVE_GRACE = 1.5
"""MQTT 3.1.1 section 3.1.2.10: a client silent for one and a half keep-alives is gone."""


logging.getLogger("amqtt").setLevel(logging.CRITICAL)  # it tells of every connection; what matters is told here
logging.getLogger("transitions").setLevel(logging.WARNING)


class _Reader(StreamReaderAdapter):  # type: ignore[misc]
    """Reads no packet that is too large, and not faster than its messages are passed on."""

    def __init__(self, reader: asyncio.StreamReader, too_large: Callable[[int], None]) -> None:
        super().__init__(reader)
        self._too_large = too_large
        self.backlog: Callable[[], int] = lambda: 0

    async def read(self, n: int = -1) -> bytes:
        if n > PACKET_MAX_BYTES:
            self._too_large(n)
            raise ConnectionAbortedError(f"a packet of {n} bytes is larger than {PACKET_MAX_BYTES}")
        if n == 1:
            # A packet begins. Whatever the one before it started has its turn first: amqtt cancels the handling of
            # earlier packets when it sees the end of the stream, and does not always yield before.
            await asyncio.sleep(0)
            while self.backlog() > BACKLOG_MAX:  # noqa: ASYNC110 - amqtt's queue has no event for this
                await asyncio.sleep(0.001)
        data: bytes = await super().read(n)
        return data


class _Writer(StreamWriterAdapter):  # type: ignore[misc]
    """Closes within a bound, even when the peer has stopped reading."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        super().__init__(writer)
        self._transport = writer.transport

    @property
    def unsent_bytes(self) -> int:
        return self._transport.get_write_buffer_size()

    def abort(self) -> None:
        self._transport.abort()

    async def close(self) -> None:
        if self.is_closed:
            return
        self.is_closed: bool = True
        self._writer.close()
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._writer.wait_closed()
        except (TimeoutError, OSError):
            pass
        finally:
            self.abort()  # also when it is cancelled here, as the broker ends; harmless after a clean close


class _Handler(BrokerProtocolHandler):  # type: ignore[misc]
    """One client's protocol."""

    def __init__(self, plugins: Any, writer: _Writer, count_dropped: Callable[[], None]) -> None:
        super().__init__(plugins)
        self.closed = asyncio.Event()
        self._out = writer
        self._count_dropped = count_dropped
        self._deliveries: set[asyncio.Task[Any]] = set()

    def deliver(self, topic: str, data: bytes, qos: int, *, retain: bool, packet: bytes) -> None:
        """Send a message to this client; `packet` is the message at QoS 0, encoded."""
        if self._out.is_closed:
            return
        if self._out.unsent_bytes > UNSENT_MAX_BYTES or len(self._deliveries) >= UNACKNOWLEDGED_MAX:
            self._count_dropped()
            return
        if qos == QOS_0:
            self._out.write(packet)
            return
        task = asyncio.create_task(self.mqtt_publish(topic, data, qos, retain), name="broker-deliver")
        self._deliveries.add(task)
        task.add_done_callback(self._delivered)

    def abort(self) -> None:
        """End the connection as a network would: what was received is still handled, then the will is published."""
        self._out.abort()

    def handle_read_timeout(self) -> None:
        """The client was silent for longer than it promised."""
        self.abort()

    async def stop(self) -> None:
        for task in self._deliveries:
            task.cancel()
        await super().stop()

    def _delivered(self, task: asyncio.Task[Any]) -> None:
        self._deliveries.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._count_dropped()


class Server(Broker):  # type: ignore[misc]
    """The broker; `login` is (user, password), or None to admit anyone. `dropped` counts messages that a subscriber
    was too slow for, that were too many to retain, or too large."""

    def __init__(self, host: str, port: int, login: tuple[str, str] | None) -> None:
        super().__init__({"listeners": {"default": {"type": "tcp", "bind": str(port)}}, "plugins": {}})
        self._host = host
        self._login = login
        self._connections: set[asyncio.Task[Any]] = set()
        self._retained_bytes = 0
        self._drops_told = SlidingWindow(1, DROPS_LOGGED_EVERY_S)
        self._too_large_told = SlidingWindow(1, DROPS_LOGGED_EVERY_S)
        self.dropped = 0

    @property
    def port(self) -> int:
        port: int = self._servers["default"].instance.sockets[0].getsockname()[1]
        return port

    async def shutdown(self) -> None:
        self._servers["default"].instance.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        await super().shutdown()

    async def _create_server_instance(
        self, listener_name: str, listener_type: object, address: str | None, port: int, ssl_context: object
    ) -> asyncio.Server:
        # amqtt hands an IPv6 address on in its brackets, which no socket understands.
        return await asyncio.start_server(partial(self.stream_connected, listener_name=listener_name), self._host, port)

    async def stream_connected(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, listener_name: str
    ) -> None:
        if len(self._connections) >= CONNECTIONS_MAX:
            logger.warning("A client was turned away: %d are connected", CONNECTIONS_MAX)
            writer.transport.abort()
            return
        # A peer that lost its power in the middle of a packet, or promised no keep-alive, is found out by the system.
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        out = _Writer(writer)
        try:
            too_large = partial(self._count_too_large, writer.get_extra_info("peername"))
            await self._serve(_Reader(reader, too_large), out)
        except (AMQTTError, MQTTError, NoDataError, OSError, UnicodeDecodeError) as error:
            logger.debug("A client was dropped: %r", error)
        except asyncio.CancelledError:
            pass  # by `shutdown`, which waits for this to end; asyncio would log the cancellation as a fault
        except Exception:
            logger.exception("A client was dropped for a fault of the broker")
        finally:
            self._connections.discard(task)
            await out.close()

    async def _serve(self, reader: _Reader, writer: _Writer) -> None:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            _, session = await BrokerProtocolHandler.init_from_connect(reader, writer, self.plugins_manager)
        session.clean_session = True
        session.keep_alive = int(session.keep_alive * KEEPALIVE_GRACE)
        handler = _Handler(self.plugins_manager, writer, self._count_dropped)
        if self._login is not None and not _same(self._login, (session.username, session.password)):
            handler.attach(session, reader, writer)
            await handler.mqtt_connack_authorize(authorize=False)
            return
        await self._end_earlier(session.client_id)
        self._sessions[session.client_id] = (session, handler)
        try:
            session.transitions.connect()
            handler.attach(session, reader, writer)
            reader.backlog = session.delivered_message_queue.qsize
            await handler.mqtt_connack_authorize(authorize=True)
            await handler.start()
            await self._client_message_loop(session, handler)
        finally:
            if session.transitions.is_connected():  # it did not end by DISCONNECT or the end of the stream
                await self._handle_disconnect(session, handler, _done(None))
            await self._delete_session(session.client_id)
            handler.closed.set()

    async def _end_earlier(self, client_id: str) -> None:
        """Take the id over from a connection that still has it, after its will (section 3.1.4)."""
        while client_id in self._sessions:
            _, earlier = self._sessions[client_id]
            earlier.abort()
            await earlier.closed.wait()

    async def _handle_disconnect(
        self, client_session: Session, handler: _Handler, disconnect_waiter: asyncio.Future[Any]
    ) -> None:
        while not client_session.delivered_message_queue.empty():
            message = client_session.delivered_message_queue.get_nowait()
            await self._handle_message_delivery(client_session, handler, _done(message))
        await super()._handle_disconnect(client_session, handler, disconnect_waiter)

    async def _handle_message_delivery(
        self, client_session: Session, handler: _Handler, wait_deliver: asyncio.Future[ApplicationMessage | None]
    ) -> bool:
        """Pass on what a client has published; False ends its connection."""
        message = wait_deliver.result()
        if message is None:
            return True
        if not message.topic or message.topic.startswith("$") or "#" in message.topic or "+" in message.topic:
            return False
        await self._broadcast_message(client_session, message.topic, message.data, message.qos)
        if message.retain:
            await self.retain_message(client_session, message.topic, message.data, message.qos)
        return True

    async def _broadcast_message(
        self, session: Session, topic: str, data: bytes | bytearray, force_qos: int | None = None
    ) -> None:
        """Pass a message on at once, at the lower QoS of its own (`force_qos`) and the subscription's."""
        packet = PublishPacket.build(topic, bytes(data), None, False, QOS_0, False).to_bytes()
        for topic_filter, subscriptions in self._subscriptions.items():
            if not self._matches(topic, topic_filter):
                continue
            for subscriber, qos in subscriptions:
                handler = self._get_handler(subscriber)
                if handler is not None:
                    handler.deliver(topic, data, min(qos, force_qos or QOS_0), retain=False, packet=packet)

    async def _publish_retained_messages_for_subscription(
        self, subscription: tuple[str, int], session: Session
    ) -> None:
        topic_filter, qos = subscription
        handler = self._get_handler(session)
        for topic, message in self._retained_messages.items():
            if handler is not None and self._matches(topic, topic_filter):
                packet = PublishPacket.build(topic, message.data, None, False, QOS_0, True).to_bytes()
                handler.deliver(topic, message.data, min(qos, message.qos or QOS_0), retain=True, packet=packet)

    async def retain_message(
        self, source_session: Session | None, topic_name: str, data: bytes | bytearray, qos: int | None = None
    ) -> None:
        earlier = self._retained_messages.get(topic_name)
        more_bytes = len(data) - (len(earlier.data) if earlier else 0)
        too_many = earlier is None and len(self._retained_messages) >= RETAINED_MAX
        if data and (too_many or self._retained_bytes + more_bytes > RETAINED_MAX_BYTES):
            self._count_dropped()
            return
        self._retained_bytes += more_bytes
        await super().retain_message(source_session, topic_name, bytes(data), qos)

    def _count_dropped(self) -> None:
        self.dropped += 1
        if self._drops_told.allows(asyncio.get_running_loop().time()):
            logger.warning(
                "A subscriber is too slow, or too much is retained: %d messages dropped so far", self.dropped
            )

    def _count_too_large(self, peer: tuple[object, ...], size: int) -> None:
        self.dropped += 1
        if self._too_large_told.allows(asyncio.get_running_loop().time()):
            logger.warning(
                "The client at %s is cut off: it sends %d bytes in one message, and %d is the most;"
                " %d messages dropped so far",
                peer[0],
                size,
                PACKET_MAX_BYTES,
                self.dropped,
            )


def _same(one: tuple[str, str], other: tuple[str | None, str | None]) -> bool:
    """Compare user and password in a time that tells nothing about them."""
    matches = [hmac.compare_digest(a.encode(), (b or "").encode()) for a, b in zip(one, other, strict=True)]
    return all(matches)


def _done(result: object) -> asyncio.Future[Any]:
    future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    future.set_result(result)
    return future
