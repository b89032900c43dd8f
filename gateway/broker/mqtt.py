"""An MQTT 3.1.1 connection that heals itself, on aiomqtt.

aiomqtt connects, keeps alive and acknowledges. Messages at QoS 0, which is what audio is, go past it and past most of
the paho client underneath, straight between the socket and `receive` or `publish`: see `fast_lane.py`. With no queue
there is none to overflow: while the gateway is busy, messages wait in the socket and then in the broker. Only behind
an unsent message does `publish` wait, which holds a sender to the speed of the link.

MQTT 5 would cost 60 % more CPU a message and gives nothing that the wire contract uses.
"""

import asyncio
import logging
import math
import random
import secrets
import ssl
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import aiomqtt
from paho.mqtt.reasoncodes import ReasonCode

from gateway.broker.link import ANSWER_TIMEOUT_S, Link, TlsContext, opened
from gateway.broker.protocol import Incoming, Receiver, Subscription, Will
from gateway.broker.trouble import explain, is_final
from gateway.broker.url import BrokerKind, BrokerUrl
from gateway.errors import BrokerRefused, BrokerUnavailable, ConfigurationError

logger = logging.getLogger(__name__)

STEADY_S = 5.0
"""A connection that stood for longer, and for longer than the pause before it, was a good one: the next try is soon."""
RESTORE_AT_A_TIME = 100
"""Retained messages published again at a time after a reconnect."""


class MqttBroker:
    """A connection to the broker at `url`, kept up for as long as it is started.

    One task connects, subscribes, publishes again what is retained, calls `on_connected`, and after a loss tries
    again for ever, waiting between `reconnect_min_s` and `reconnect_max_s`. `receive` is called on the event loop
    for each message; one that raises is logged and counted, and the next message comes all the same.

    Counters: `connects`, `received`, `receive_errors`, `unpublished` (given up: no connection, or not taken in time),
    `retained_forgotten` (topics beyond `retained_max`, oldest first: not restored by a reconnect).
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
        self._link: Link | None = None
        self._task: asyncio.Task[None] | None = None
        self._ready = False
        self._decided = asyncio.Event()
        self._stands_since = math.inf
        self._trouble: str | None = "not connected yet"
        self.connects = 0
        self.received = 0
        self.receive_errors = 0
        self.unpublished = 0
        self.retained_forgotten = 0

    @property
    def connected(self) -> bool:
        """Whether the broker has accepted the connection and it still stands."""
        return self._link is not None

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
            self._tls = TlsContext(ssl.PROTOCOL_TLS_CLIENT)
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
        link = self._link
        if link is None:
            raise BrokerUnavailable(f"no connection to the broker: {self._trouble}")
        if qos == 0 and not link.congested:
            try:
                link.publish_at_once(topic, payload, retain=retain)
            except OSError as error:
                raise BrokerUnavailable("the connection to the broker has just been lost") from error
        else:
            # Not by aiomqtt's own time limit: on Python 3.11 `asyncio.wait_for`, which it uses, swallows a cancellation
            # that comes at the moment of the acknowledgement, and the cancelled task goes on for ever.
            try:
                async with asyncio.timeout(self._publish_timeout_s):
                    await link.client.publish(topic, payload, qos, retain, timeout=math.inf)
            except (aiomqtt.MqttError, TimeoutError) as error:
                raise BrokerUnavailable(f"the broker did not take a message: {explain(error)}") from error

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
        async with opened(
            self._url,
            client_id=self._client_id,
            keepalive_s=self._keepalive_s,
            tls=self._tls,
            will=self._will,
            deliver=self._deliver,
        ) as link:
            self.connects += 1
            self._stands_since = asyncio.get_running_loop().time()
            self._link = link
            watching = asyncio.create_task(link.until_lost(), name="mqtt-watch")
            settling = asyncio.create_task(self._settle(link.client), name="mqtt-settle")
            try:
                await asyncio.wait({watching, settling}, return_when=asyncio.FIRST_EXCEPTION)
            finally:
                self._link = None
                watching.cancel()
                settling.cancel()
                ends = await asyncio.gather(watching, settling, return_exceptions=True)
        raise next(end for end in ends if isinstance(end, Exception))

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

    def _deliver(self, topic: str, payload: bytes, retained: bool) -> None:
        self.received += 1
        try:
            self._receive(Incoming(topic, payload, retained))
        except Exception:
            self.receive_errors += 1
            logger.exception("A message on %s could not be handled", topic)

    def _say_lost(self, error: Exception) -> None:
        """One line for each change of state, not for each try."""
        reason = explain(error)
        if not isinstance(error, aiomqtt.MqttError):
            logger.error("The connection to %s ended unexpectedly", self._url, exc_info=error)
        elif self._trouble is None:
            logger.warning("Lost the connection to %s: %s; connecting again", self._url, reason)
        elif reason != self._trouble:
            logger.warning("Cannot connect to %s: %s; trying again until it works", self._url, reason)
        self._trouble = reason
        if is_final(reason):
            self._decided.set()
        elif not self._ready:
            self._decided.clear()
