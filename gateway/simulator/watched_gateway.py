"""The gateway that is simulated on, as far as it tells of itself."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from gateway.broker.mqtt import MqttBroker
from gateway.broker.protocol import Incoming, Subscription
from gateway.broker.url import BrokerUrl
from gateway.errors import NothingCame
from gateway.wire.topics import ONLINE, Topics

CONNECT_S = 10.0
GATEWAY_S = 5.0
"""Longest wait for the gateway to say that it is there, and with what it answers."""
LITERAL_CHAT = "offline"
"""The chat engine that repeats a name word for word."""


class WatchedGateway:
    """`async with WatchedGateway(…) as gateway:` is one that is online; `on_trouble` is told when it no longer is.

    Raises on entering:
        BrokerUnavailable: there is no way to the broker.
        NothingCame: no gateway is there.
    """

    def __init__(
        self, url: BrokerUrl, topics: Topics, on_trouble: Callable[[str], None], ca_file: Path | None = None
    ) -> None:
        self._url = url
        self._topics = topics
        self._on_trouble = on_trouble
        self._told: dict[str, bytes] = {}
        self._changed = asyncio.Event()
        subscriptions = [Subscription(topics.status, 1), Subscription(topics.stats, 1)]
        self._broker = MqttBroker(url, receive=self._receive, subscriptions=subscriptions, ca_file=ca_file)

    @property
    def literal(self) -> bool:
        """Whether its chat model repeats what it was told."""
        return _chat_engines(self._told.get(self._topics.stats, b"")) == [LITERAL_CHAT]

    async def __aenter__(self) -> Self:
        await self._broker.start()
        try:
            await self._broker.connected_once(CONNECT_S)
            await self._until_online()
        except BaseException:
            await self._broker.stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._broker.stop()

    async def _until_online(self) -> None:
        status = self._topics.status
        try:
            async with asyncio.timeout(GATEWAY_S):
                while self._told.get(status) != ONLINE or self._topics.stats not in self._told:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            if (says := self._told.get(status, b"nothing")) != ONLINE:
                raise NothingCame(
                    f"no gateway is online on {self._url}: {status} says {says.decode(errors='replace')}"
                ) from None

    def _receive(self, incoming: Incoming) -> None:
        before = self._told.get(incoming.topic)
        self._told[incoming.topic] = incoming.payload
        if incoming.topic == self._topics.status and before == ONLINE != incoming.payload:
            self._on_trouble(f"the gateway went away ({incoming.topic}): look at its log")
        self._changed.set()


def _chat_engines(stats: bytes) -> list[str]:
    """The chat engines that the statistics topic names; none if it cannot be understood."""
    try:
        engines = json.loads(stats)["engines"]
        return [str(engine["engine"]) for engine in engines if engine["stage"] == "llm"]
    except (ValueError, TypeError, KeyError):
        return []
