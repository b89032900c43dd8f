"""An MQTT 3.1.1 connection that heals itself, on aiomqtt.

aiomqtt connects, keeps alive and acknowledges. Two of its paths are too slow for live audio and are passed by, each
with public calls of the paho client underneath:

- Incoming messages go from the socket straight to `receive`, not through aiomqtt's queue and its two tasks a
  message. With no queue there is none to overflow: while the gateway is busy, messages wait in the socket and then
  in the broker.
- A QoS 0 message is written to the socket at once when nothing waits there. Only behind an unsent one does
  `publish` wait, which holds a sender to the speed of the link.

MQTT 5 would cost 60 % more CPU a message and gives nothing that the wire contract uses.
"""

import asyncio
import contextlib
import logging
import math
import random
import secrets
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiomqtt
import paho.mqtt.client as paho
from aiomqtt.exceptions import MqttConnectError
from paho.mqtt.reasoncodes import ReasonCode

from gateway.broker.protocol import Incoming, Receiver, Subscription, Will
from gateway.broker.url import BrokerKind, BrokerUrl
from gateway.errors import BrokerRefused, BrokerUnavailable, ConfigurationError

logger = logging.getLogger(__name__)

ANSWER_TIMEOUT_S = 5.0
"""Longest wait for the broker to answer CONNECT or SUBSCRIBE, or to let go after DISCONNECT."""
STEADY_S = 5.0
"""A connection that stood for longer, and for longer than the pause before it, was a good one: the next try is soon."""
RECEIVE_BUFFER_BYTES = 4 * 1024 * 1024
"""Two seconds of 200 devices sending 8 kB/s: what may wait in the socket while the event loop is busy."""
INFLIGHT_MAX = 200
"""QoS 1 messages on their way at a time. paho's 20 holds a link of 50 ms to 400 messages a second."""
QUEUED_MAX = 10_000
"""QoS 1 messages waiting for their turn; beyond it `publish` raises."""
RESTORE_AT_A_TIME = 100
"""Retained messages published again at a time after a reconnect."""

_REFUSED_LOGIN = (134, 135)
"""Reason codes that paho gives to CONNACK 4 (bad user name or password) and 5 (not authorised)."""
_NOT_AUTHORISED = "not authorised: check user and password"
_NOT_TRUSTED = "its certificate is not trusted"


def _demote(record: logging.LogRecord) -> bool:
    """Let what the libraries say be seen at DEBUG only: this module reports each trouble itself, once."""
    record.levelno, record.levelname = logging.DEBUG, "DEBUG"
    return logger.isEnabledFor(logging.DEBUG)


_library_logger = logging.getLogger(f"{__name__}.library")
_library_logger.addFilter(_demote)


class _TlsContext(ssl.SSLContext):
    """Shakes hands while it wraps the socket. paho does so afterwards, with the keep-alive (a minute) as its time
    limit instead of that for connecting, and leaves the socket open when the certificate is refused."""

    def wrap_socket(self, *args: Any, **options: Any) -> ssl.SSLSocket:
        return super().wrap_socket(*args, **{**options, "do_handshake_on_connect": True})


class MqttBroker:
    """A connection to the broker at `url`, kept up for as long as it is started.

    One task connects, subscribes, publishes again what is retained, calls `on_connected`, and after a loss tries
    again for ever, waiting between `reconnect_min_s` and `reconnect_max_s`. `receive` is called on the event loop
    for each message; one that raises is logged and counted, and the next message comes all the same.

    Counters: `connects`, `received`, `receive_errors`, `published`, `unpublished` (given up: no connection, or not
    taken in time), `retained_forgotten` (topics beyond `retained_max`, oldest first: not restored by a reconnect).
    """

    def __init__(
        self,
        url: BrokerUrl,
        *,
        receive: Receiver,
        subscriptions: Sequence[Subscription] = (),
        will: Will | None = None,
        on_connected: Callable[[], Awaitable[None]] | None = None,
        client_id: str = "",
        keepalive_s: int = 60,
        ca_file: Path | None = None,
        reconnect_min_s: float = 0.5,
        reconnect_max_s: float = 30.0,
        publish_timeout_s: float = 5.0,
        retained_max: int = 20_000,
    ) -> None:
        self._url = url
        self._receive = receive
        self._subscriptions = tuple(subscriptions)
        self._will = will
        self._on_connected = on_connected
        # The same id at every reconnect: the broker then drops a dead connection that it still believes in.
        self._client_id = client_id or f"voice-gateway-{secrets.token_hex(4)}"
        self._keepalive_s = keepalive_s
        self._ca_file = ca_file
        self._reconnect_min_s = reconnect_min_s
        self._reconnect_max_s = reconnect_max_s
        self._publish_timeout_s = publish_timeout_s
        self._retained_max = retained_max
        self._retained: dict[str, tuple[bytes, int]] = {}
        self._tls: ssl.SSLContext | None = None
        self._client: aiomqtt.Client | None = None
        self._task: asyncio.Task[None] | None = None
        self._ready = False
        self._decided = asyncio.Event()
        self._stands_since = math.inf
        self._trouble: str | None = "not connected yet"
        self.connects = 0
        self.received = 0
        self.receive_errors = 0
        self.published = 0
        self.unpublished = 0
        self.retained_forgotten = 0

    @property
    def connected(self) -> bool:
        """Whether the broker has accepted the connection and it still stands."""
        return self._client is not None

    @property
    def reconnects(self) -> int:
        return max(0, self.connects - 1)

    @property
    def trouble(self) -> str | None:
        """Why there is no connection, and what to do; None while all is well."""
        return self._trouble

    async def start(self) -> None:
        """Begin to connect; does not wait for it.

        Raises:
            ConfigurationError: the CA file cannot be used.
        """
        if self._url.kind is BrokerKind.MQTTS:
            self._tls = _TlsContext(ssl.PROTOCOL_TLS_CLIENT)
            if self._ca_file is None:
                self._tls.load_default_certs()
            else:
                try:
                    self._tls.load_verify_locations(self._ca_file)
                except OSError as error:
                    message = f"the CA file {self._ca_file} is not a PEM certificate: {error}"
                    raise ConfigurationError(message) from error
        self._task = asyncio.create_task(self._run(), name="mqtt-connection")

    async def stop(self) -> None:
        """Take leave of the broker, so that it does not publish the will, and end."""
        if self._task is None:
            return
        # Again where aiomqtt, as it disconnects, has swallowed a cancellation (see `_send`).
        while not self._task.done():
            self._task.cancel()
            await asyncio.wait({self._task}, timeout=ANSWER_TIMEOUT_S)
        self._task = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()

    async def connected_once(self, timeout: float) -> None:
        """Wait until the subscriptions stand and `on_connected` has run, for the first time since the start.

        Raises:
            BrokerRefused: the login or the certificate is not accepted; said at once, for no waiting changes it.
            BrokerUnavailable: that took more than `timeout` seconds; the message says what is wrong.
        """
        try:
            async with asyncio.timeout(timeout):
                await self._decided.wait()
        except TimeoutError as error:
            raise BrokerUnavailable(f"no connection to {self._url} after {timeout:g} s: {self._trouble}") from error
        if not self._ready:
            raise BrokerRefused(f"no connection to {self._url}: {self._trouble}")

    async def publish(self, topic: str, payload: bytes, *, qos: int = 0, retain: bool = False) -> None:
        """Hand a message to the broker; see `Broker.publish`. At QoS 1 it returns when the broker has it.

        Raises:
            BrokerUnavailable: there is no connection, or it did not take the message in time. Never for a retained
                message: it is kept (an empty one too, until the broker has it) and published after the reconnect.
        """
        if retain:
            self._remember(topic, payload, qos)
        try:
            await self._send(topic, payload, qos, retain)
        except BrokerUnavailable:
            if not retain:
                self.unpublished += 1
                raise
            return
        if retain:
            self._forget_if_erased(topic)

    def forget_retained(self, topic: str) -> None:
        """Do not publish the retained message of `topic` again after a reconnect."""
        self._retained.pop(topic, None)

    async def _send(self, topic: str, payload: bytes, qos: int, retain: bool) -> None:
        client = self._client
        if client is None:
            raise BrokerUnavailable(f"no connection to the broker: {self._trouble}")
        wire = _paho(client)
        if qos == 0 and not wire.want_write():
            if wire.publish(topic, payload, qos, retain).rc != paho.MQTT_ERR_SUCCESS:
                raise BrokerUnavailable("the connection to the broker has just been lost")
            wire.loop_write()
        else:
            # Not by aiomqtt's own time limit: on Python 3.11 `asyncio.wait_for`, which it uses, swallows a cancellation
            # that comes at the moment of the acknowledgement, and the cancelled task goes on for ever.
            try:
                async with asyncio.timeout(self._publish_timeout_s):
                    await client.publish(topic, payload, qos, retain, timeout=math.inf)
            except (aiomqtt.MqttError, TimeoutError) as error:
                raise BrokerUnavailable(f"the broker did not take a message: {_explain(error)}") from error
        self.published += 1

    def _remember(self, topic: str, payload: bytes, qos: int) -> None:
        self._retained.pop(topic, None)
        self._retained[topic] = (payload, qos)
        if len(self._retained) > self._retained_max:
            del self._retained[next(iter(self._retained))]
            self.retained_forgotten += 1

    def _forget_if_erased(self, topic: str) -> None:
        """An empty retained message erases; once the broker has it, there is nothing left to restore."""
        if self._retained.get(topic, (b"kept", 0))[0] == b"":
            del self._retained[topic]

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        doublings, pause = 0, 0.0
        while True:
            self._stands_since = math.inf
            try:
                await self._connection()
            # aiomqtt's own errors, and any that a later version lets through: this loop must not end by itself.
            except Exception as error:
                self._say_lost(error)
            # A connection that was closed at once (two clients with one id, say) is no reason to hurry.
            steady = loop.time() - self._stands_since > max(STEADY_S, pause)
            doublings = 0 if steady else min(doublings + 1, 16)
            pause = self._reconnect_min_s * 2**doublings * random.uniform(0.5, 1.0)  # noqa: S311
            pause = min(max(pause, self._reconnect_min_s), self._reconnect_max_s)
            await asyncio.sleep(pause)

    async def _connection(self) -> None:
        """Connect, and stay until the connection is lost; always ends by raising."""
        async with self._opened() as client:
            self.connects += 1
            self._stands_since = asyncio.get_running_loop().time()
            self._client = client
            watching = asyncio.create_task(_until_lost(client), name="mqtt-watch")
            settling = asyncio.create_task(self._settle(client), name="mqtt-settle")
            try:
                await asyncio.wait({watching, settling}, return_when=asyncio.FIRST_EXCEPTION)
            finally:
                self._client = None
                watching.cancel()
                settling.cancel()
                ends = await asyncio.gather(watching, settling, return_exceptions=True)
        raise next(end for end in ends if isinstance(end, Exception))

    @contextlib.asynccontextmanager
    async def _opened(self) -> AsyncIterator[aiomqtt.Client]:
        """A connected client, whose socket is closed afterwards whatever happened."""
        client = aiomqtt.Client(
            self._url.host,
            self._url.port,
            username=self._url.username,
            password=self._url.password,
            identifier=self._client_id,
            keepalive=self._keepalive_s,
            timeout=ANSWER_TIMEOUT_S,
            tls_context=self._tls,
            logger=_library_logger,
            max_inflight_messages=INFLIGHT_MAX,
            max_queued_outgoing_messages=QUEUED_MAX,
            socket_options=_socket_options(),
            will=None
            if self._will is None
            else aiomqtt.Will(self._will.topic, self._will.payload, self._will.qos, self._will.retain),
        )
        wire = _paho(client)
        wire.on_message = self._on_message
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
                yield client
            finally:
                with contextlib.suppress(Exception):  # a loss that has been reported, or a broker that has stalled
                    await client.__aexit__(None, None, None)
        finally:
            _close(wire)

    async def _settle(self, client: aiomqtt.Client) -> None:
        await self._subscribe(client)
        topics = list(self._retained)
        for start in range(0, len(topics), RESTORE_AT_A_TIME):
            await asyncio.gather(*(self._restore(topic) for topic in topics[start : start + RESTORE_AT_A_TIME]))
        if self._on_connected is not None:
            try:
                await self._on_connected()
            except BrokerUnavailable:
                pass  # lost again meanwhile; the watch reports it
            except Exception:
                logger.exception("What is done at each connection failed")
        self._trouble = None
        self._ready = True
        self._decided.set()
        logger.info("Connected to %s", self._url)

    async def _subscribe(self, client: aiomqtt.Client) -> None:
        if not self._subscriptions:
            return
        wanted = [(each.topic_filter, each.qos) for each in self._subscriptions]
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):  # not by aiomqtt's: see `_send`
                answers = await client.subscribe(wanted, timeout=math.inf)
        except TimeoutError as error:
            raise aiomqtt.MqttError("timed out") from error
        for (topic_filter, _), answer in zip(wanted, answers, strict=True):
            if isinstance(answer, ReasonCode) and answer.is_failure:
                logger.error(
                    "%s refused the subscription to %s: allow it in the broker's access rules", self._url, topic_filter
                )

    async def _restore(self, topic: str) -> None:
        # Looked up as late as this: a newer message of the topic may have been published since the reconnect.
        if (entry := self._retained.get(topic)) is None:
            return
        payload, qos = entry
        try:
            await self._send(topic, payload, qos, retain=True)
        except BrokerUnavailable as error:
            raise aiomqtt.MqttError(str(error)) from error
        self._forget_if_erased(topic)

    def _on_message(self, client: paho.Client, userdata: object, message: paho.MQTTMessage) -> None:
        self.received += 1
        try:
            self._receive(Incoming(message.topic, bytes(message.payload), message.retain))
        except Exception:
            self.receive_errors += 1
            logger.exception("A message on %s could not be handled", message.topic)

    def _say_lost(self, error: Exception) -> None:
        """One line for each change of state, not for each try."""
        reason = _explain(error)
        if not isinstance(error, aiomqtt.MqttError):
            logger.error("The connection to %s ended unexpectedly", self._url, exc_info=error)
        elif self._trouble is None:
            logger.warning("Lost the connection to %s: %s; connecting again", self._url, reason)
        elif reason != self._trouble:
            logger.warning("Cannot connect to %s: %s; trying again until it works", self._url, reason)
        self._trouble = reason
        if reason == _NOT_AUTHORISED or reason.startswith(_NOT_TRUSTED):
            self._decided.set()
        elif not self._ready:
            self._decided.clear()


def _paho(client: aiomqtt.Client) -> paho.Client:
    return client._client


def _register_write(client: paho.Client, userdata: object, open_socket: "paho.SocketLike") -> None:
    """Write when the socket takes more. aiomqtt's own way, made for its connecting thread, takes effect one turn of
    the loop later, when the socket may be closed and its number another's."""
    asyncio.get_running_loop().add_writer(open_socket.fileno(), client.loop_write)


async def _until_lost(client: aiomqtt.Client) -> None:
    """Wait for the end of the connection, which raises `MqttError`; messages do not come this way."""
    async for _ in client.messages:
        pass


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


def _explain(error: Exception) -> str:
    """Say what went wrong with the connection, and what to do where that is known."""
    cause = error.__cause__ if isinstance(error.__cause__, aiomqtt.MqttError) else error
    if isinstance(cause, MqttConnectError) and isinstance(cause.rc, ReasonCode):
        if cause.rc.value in _REFUSED_LOGIN:
            return _NOT_AUTHORISED
        return f"the broker refused: {cause.rc}"
    if isinstance(cause, aiomqtt.MqttCodeError):
        return "the connection broke"
    text = str(cause)
    if "CERTIFICATE_VERIFY_FAILED" in text:
        return f"{_NOT_TRUSTED} ({text}): set GATEWAY_MQTT_CA_FILE to the CA that signed it"
    if isinstance(cause, TimeoutError) or "timed out" in text:
        return "no answer in time"
    if "refused" in text:
        return f"{text}: is the broker running there?"
    return text
