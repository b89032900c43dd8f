"""The composition root: builds the parts in order, and stops them in reverse."""

import asyncio
import logging
import os
import sys
import time
from collections.abc import Coroutine, Mapping
from contextlib import AsyncExitStack
from datetime import UTC, datetime, tzinfo
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from zoneinfo import ZoneInfo

from gateway import __version__
from gateway.broker.embedded import EmbeddedBroker
from gateway.broker.mqtt import MqttBroker
from gateway.broker.protocol import Incoming, Subscription, Will
from gateway.broker.url import BrokerKind, BrokerUrl, parse_broker_url
from gateway.config import Settings, database_url
from gateway.discovery_setup import make_discovery
from gateway.engines.clips import clip
from gateway.engines.registry import Engines, build, choose
from gateway.engines.vad import SpeechDetector
from gateway.errors import BrokerUnavailable, StoreError
from gateway.events import Events
from gateway.operations import Operations
from gateway.pipeline.encoder_stock import EncoderStock
from gateway.pipeline.speculation import SpeculationCounts
from gateway.pipeline.turn_request import TurnServices
from gateway.reports.discovery import DiscoveryPublisher
from gateway.reports.home_assistant import Discovery
from gateway.reports.live import DeviceState, LiveState
from gateway.reports.logs import LogListener
from gateway.reports.publisher import Publisher
from gateway.reports.stats import statistics_report
from gateway.reports.trying import line_to_try
from gateway.requests import Requests
from gateway.session import SessionServices
from gateway.sessions import Sessions
from gateway.store import Store
from gateway.values import DeviceAddress
from gateway.web.address import WebAddress, web_address
from gateway.web.token import token_file, web_token
from gateway.wire.topics import OFFLINE, ONLINE, UPLINK, Leaf, Topics

if TYPE_CHECKING:
    from gateway.web.server import WebServer

log = logging.getLogger(__name__)

STATES_RESTORED = 200
"""Devices, the most recently active, whose state is published at the start."""
FLUSH_S = 2.0
"""Longest wait at the end for events and the farewell to be published."""
TURNS_END_S = 6.0
"""Longest wait at the end for running turns; with the rest a stop stays within 10 s."""


class Gateway:
    """The whole gateway, from the broker to the store: `async with Gateway(settings):` runs it.

    Raises on entering:
        ConfigurationError: something cannot work as configured; the message says what to do.
    """

    def __init__(
        self, settings: Settings, *, environ: Mapping[str, str] | None = None, engines: Engines | None = None
    ) -> None:
        """`engines`, if given, are used instead of those that the settings choose; the caller has started them."""
        self.settings = settings
        self._environ = os.environ if environ is None else environ
        self._engines = engines
        self._topics = Topics(settings.root_topic)
        prefix = settings.home_assistant_discovery
        self._entities = Discovery(prefix, self._topics, settings.language) if prefix else None
        self._url = parse_broker_url(settings.mqtt_url)
        self._zone: tzinfo | None = ZoneInfo(settings.timezone) if settings.timezone else None
        self._began = time.monotonic()
        self._overflows = 0
        self._speculation = SpeculationCounts()
        self._declared_offline = asyncio.Event()
        self._embedded: EmbeddedBroker | None = None
        self._discovery: DiscoveryPublisher | None = None
        self._web: WebServer | None = None
        self._stack = AsyncExitStack()
        self.notes: list[str] = []
        """What a person should know: engines that fell back to offline ones."""
        self._lines: list[str] = []
        self._broker_line = f"broker: {self._url}"

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await self._start(stack)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    @property
    def broker_url(self) -> BrokerUrl:
        """Where software devices of the same process connect, login included."""
        return self._url

    def banner(self) -> str:
        """What the gateway uses and why, its topics, and a line to try it."""
        root = self._topics.root
        lines = [
            self._broker_line,
            f"database: {self._store.description}",
            *self._lines,
            f"topics: {root}/<device>/in is heard, {root}/<device>/out answers; statistics on {self._topics.stats}",
            *(f"note: {note}" for note in self.notes),
        ]
        to_try = line_to_try(self.settings, parse_broker_url(self.settings.mqtt_url), self._url, sys.argv[0])
        return "\n".join(
            [f"MQTT voice gateway {__version__}", *(f"  {line}" for line in lines), "Try it:", f"  {to_try}"]
        )

    @property
    def page_url(self) -> str | None:
        """Where the page is, for a browser on this machine; None if it is not served."""
        return None if self._web is None else self._web.url

    async def wait_connected(self, timeout_s: float) -> None:
        """Wait until the broker has taken the subscriptions.

        Raises:
            BrokerUnavailable: not within `timeout_s` seconds.
        """
        await self._broker.connected_once(timeout_s)

    # Starting, in order

    async def _start(self, stack: AsyncExitStack) -> None:
        settings = self.settings
        page = web_address(settings)
        self._store = Store(database_url(settings))
        await self._store.start()
        stack.push_async_callback(self._store.close)

        self._running = engines = await self._start_engines(stack)
        self._detector = detector = SpeechDetector()
        await detector.start()
        stack.push_async_callback(detector.close)

        await self._start_embedded_broker(stack)
        self._live = await self._earlier_state()
        self._broker = MqttBroker(
            self._url,
            receive=self._receive,
            subscriptions=self._subscriptions(),
            will=Will(self._topics.status, OFFLINE),
            client_id=settings.mqtt_client_id,
            keepalive_s=settings.mqtt_keepalive_s,
            ca_file=settings.mqtt_ca_file,
            on_connected=self._greet,
        )
        self._events = Events()
        self._publisher = Publisher(
            self._broker,
            self._topics,
            self._live,
            self._statistics,
            interval_s=settings.stats_interval_s,
            now=_utc_now,
        )
        self._events.listen(LogListener(with_text=settings.log_text))
        self._events.listen(self._publisher)
        if self._entities is not None:
            self._discovery = await make_discovery(
                settings, self._store, self._broker, self._entities, self._events.emit
            )
            self._events.listen(self._discovery)
        self._sessions = Sessions(
            SessionServices(
                turns=TurnServices(
                    settings=settings,
                    engines=engines,
                    store=self._store,
                    broker=self._broker,
                    emit=self._events.emit,
                    clip=clip,
                    monotonic=time.monotonic,
                    now=self._now,
                    encoder=EncoderStock().take,
                ),
                topics=self._topics,
                detector=detector,
                speculation=self._speculation,
                count_overflow=self._count_overflow,
                told=self._publisher.told,
            )
        )
        self._operations = Operations(
            settings,
            self._store,
            self._sessions,
            self._statistics,
            self._live.online,
            self._events.emit,
            None if self._discovery is None else self._discovery.again,
        )
        self._requests = Requests(settings, self._broker, self._operations)
        await self._publisher.start()
        await self._requests.start()
        if self._discovery is not None:
            await self._discovery.start()
        stack.push_async_callback(self._stop_serving)
        await self._broker.start()
        if page is not None:
            await self._start_web(page, stack)
        self._start_task(stack, self._keep_online(), "keep online")
        if settings.cleanup_interval_h > 0:
            self._start_task(stack, self._keep_house(settings.cleanup_interval_h * 3600), "keep house")

    async def _start_engines(self, stack: AsyncExitStack) -> Engines:
        if self._engines is not None:
            return self._engines
        choice = await choose(self.settings, self._environ)
        engines = await build(choice, self.settings)
        stack.push_async_callback(engines.close)
        self._lines += engines.lines
        self.notes += engines.notes
        return engines

    async def _start_embedded_broker(self, stack: AsyncExitStack) -> None:
        if self._url.kind is not BrokerKind.EMBEDDED:
            return
        self._embedded = embedded = EmbeddedBroker(self._url, self.settings.data_dir)
        await embedded.start()
        stack.push_async_callback(embedded.stop)
        self._url = embedded.url
        self._broker_line = f"broker: embedded, {embedded.hint}"

    async def _start_web(self, address: WebAddress, stack: AsyncExitStack) -> None:
        # Half a second of imports and more, which nobody pays who has no page.
        from gateway.web.server import PortTaken, WebServer
        from gateway.web.services import WebServices

        settings = self.settings
        token = web_token(settings, address)
        services = WebServices(
            settings, self._operations, self._events, self._live, self._broker, lambda: self._url, self._now
        )
        server = WebServer(services, address, token)
        try:
            await server.start()
        except PortTaken as error:
            if address.wanted:
                raise
            self.notes.append(str(error))
            return
        stack.push_async_callback(server.stop)
        self._web = server
        login = "" if token is None else f", token in {token_file(settings.data_dir)}"
        if settings.web_token:
            login = ", token as in GATEWAY_WEB_TOKEN"
        self._lines.append(f"page: {server.url}{login}")

    async def _earlier_state(self) -> LiveState:
        """What the store knows of earlier runs."""
        stored = await self._store.statistics(self._now())
        states = []
        for session in await self._store.sessions(STATES_RESTORED):
            turns = await self._store.turns(session.session_id, 1)
            device = DeviceAddress(session.session_id, session.spelling)
            states.append(DeviceState(device, last=turns[-1] if turns else None))
        return LiveState(self.settings.sessions_max, stored.latencies_ms, reversed(states))

    def _start_task(self, stack: AsyncExitStack, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)

        async def stop() -> None:
            task.cancel()
            await asyncio.wait({task})

        stack.push_async_callback(stop)

    def _subscriptions(self) -> list[Subscription]:
        # A device's own messages at one QoS, for order is kept within one only: when many devices come at once a hello
        # at QoS 1 waits behind what is in flight, and an abort would end the turn that was begun after it.
        qos = dict.fromkeys((Leaf.IN, Leaf.HELLO, Leaf.CONTROL), self.settings.mqtt_qos_in)
        devices = [Subscription(self._topics.every_device(leaf), qos.get(leaf, 1)) for leaf in UPLINK]
        return [
            *devices,
            Subscription(self._topics.every_request, 1),
            # The gateway's own, to see when somebody else erases one.
            Subscription(self._topics.every_device(Leaf.STATE)),
            # Also its own, to see when an earlier run's will says that it is offline.
            Subscription(self._topics.status, 1),
            *(
                # Home Assistant has begun; and what is retained for it, so that nothing of it stays behind.
                [Subscription(self._entities.birth, 1), Subscription(self._entities.every, 1)]
                if self._entities is not None
                else []
            ),
        ]

    # While it runs

    def _receive(self, incoming: Incoming) -> None:
        # The most frequent first.
        if self._sessions.route(incoming) or self._requests.route(incoming) or self._publisher.route(incoming):
            return
        if self._discovery is not None and self._discovery.route(incoming):
            return
        # What was retained before this connection is overwritten by its greeting.
        if incoming.topic == self._topics.status and incoming.payload != ONLINE and not incoming.retained:
            self._declared_offline.set()

    async def _greet(self) -> None:
        await self._broker.publish(self._topics.status, ONLINE, qos=1, retain=True)
        self._publisher.connected()
        if self._discovery is not None:
            self._discovery.connected()
        log.info("gateway ready")

    async def _keep_online(self) -> None:
        """Contradict the will of an earlier run. After a loss of power the broker finds that connection dead only
        when its keep-alive has passed, and publishes its will over what this run has said."""
        while True:
            await self._declared_offline.wait()
            self._declared_offline.clear()
            await self._broker.publish(self._topics.status, ONLINE, qos=1, retain=True)

    async def _statistics(self) -> dict[str, Any]:
        stored = await self._store.statistics(self._now())
        return statistics_report(
            stored,
            self._live,
            self._running.health(),
            notes=self.notes,
            speculation=self._speculation.report(),
            tools=self._running.tools.report(),
            dropped={
                "messages": self._overflows,
                "events": self._publisher.dropped,
                "requests": self._requests.refused,
                "publications": self._broker.unpublished,
                "receptions": self._broker.receive_errors,
                "retained": self._broker.retained_forgotten,
                "embedded_broker": self._embedded.dropped if self._embedded is not None else 0,
                "speech_detector": self._detector.refused,
                "tool_functions": self._running.tools.left_out,
                "store_calls": self._store.refused + self._store.failed,
                "discovery": 0 if self._discovery is None else self._discovery.refused,
            },
            uptime_s=round(time.monotonic() - self._began),
        )

    async def _keep_house(self, interval_s: float) -> None:
        while True:
            try:
                erased = await self._operations.clean_up(self.settings.cleanup_days)
                if erased:
                    log.info("removed %d sessions idle for %d days", len(erased), self.settings.cleanup_days)
            except StoreError as exc:
                log.warning("the clean-up failed: %s", exc)
            await asyncio.sleep(interval_s)

    def _count_overflow(self) -> None:
        self._overflows += 1

    def _now(self) -> datetime:
        return datetime.now(self._zone).astimezone(self._zone)

    # Stopping

    async def _stop_serving(self) -> None:
        """End running turns, tell what happened, take leave."""
        # First, so that none asks for a session that is closed.
        await self._requests.stop()
        if self._discovery is not None:
            await self._discovery.stop(FLUSH_S)
        try:
            async with asyncio.timeout(TURNS_END_S):
                await self._sessions.close()
        except TimeoutError:
            log.warning("some turns did not end in time")
        await self._publisher.stop(FLUSH_S)
        try:
            async with asyncio.timeout(FLUSH_S):
                await self._broker.publish(self._topics.status, OFFLINE, qos=1, retain=True)
        except (TimeoutError, BrokerUnavailable):
            log.debug("the farewell was not published")
        await self._broker.stop()


def _utc_now() -> datetime:
    return datetime.now(UTC)
