"""Somebody else at the same broker: sees every topic, and asks the gateway what an operator may ask."""

import itertools
import json
from types import TracebackType
from typing import Any, Self

from gateway.broker.mqtt import MqttBroker
from gateway.broker.protocol import Incoming, Subscription
from gateway.broker.url import BrokerUrl, parse_broker_url
from gateway.device.exchange import Signal

PATIENCE_S = 20.0


class Onlooker:
    """`async with Onlooker(url) as onlooker:` sees everything that is published from then on, and what was retained."""

    def __init__(self, url: BrokerUrl | str, *topic_filters: str) -> None:
        self._signal = Signal()
        self._transactions = itertools.count()
        self.messages: list[Incoming] = []
        self._broker = MqttBroker(
            parse_broker_url(url) if isinstance(url, str) else url,
            receive=self._receive,
            subscriptions=[Subscription(each, 1) for each in topic_filters or ("voice/#",)],
            reconnect_min_s=0.05,
            reconnect_max_s=0.2,
        )

    async def __aenter__(self) -> Self:
        await self._broker.start()
        await self._broker.connected_once(PATIENCE_S)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._broker.stop()

    def on(self, topic: str) -> list[Incoming]:
        """Everything seen on `topic` so far."""
        return [message for message in self.messages if message.topic == topic]

    async def message(self, topic: str, payload: bytes | None = None, **fields: object) -> Incoming:
        """Wait for the first message on `topic`: with this `payload`, or with these `fields` of its JSON."""
        return await self._signal.until(
            lambda: next((each for each in self.on(topic) if _is(each, payload, fields)), None),
            PATIENCE_S,
            lambda: f"nothing on {topic} with {payload or fields}; there came {self.on(topic)[-5:]}",
        )

    async def nth(self, topic: str, index: int) -> Incoming:
        """Wait until more than `index` messages have come on `topic`, and return the one with that index."""
        return await self._signal.until(
            lambda: self.on(topic)[index] if len(self.on(topic)) > index else None,
            PATIENCE_S,
            lambda: f"no message {index} on {topic}",
        )

    async def erased(self, part: str) -> Incoming:
        """Wait for the first empty message on a topic with `part` in it."""
        return await self._signal.until(
            lambda: next((each for each in self.messages if part in each.topic and not each.payload), None),
            PATIENCE_S,
            lambda: f"nothing with {part} in its topic was erased",
        )

    async def json(self, topic: str, **fields: object) -> Any:
        """Wait for the first message on `topic` with these `fields`, and return its JSON."""
        return json.loads((await self.message(topic, **fields)).payload)

    async def publish(self, topic: str, payload: bytes, *, retain: bool = False, qos: int = 1) -> None:
        await self._broker.publish(topic, payload, qos=qos, retain=retain)

    async def request(self, verb: str, **body: object) -> Any:
        """Ask, and return the answer whole."""
        transaction = next(self._transactions)
        await self.publish(f"voice/gateway/request/{verb}", json.dumps({**body, "transaction": transaction}).encode())
        return await self.json(f"voice/gateway/response/{verb}", transaction=transaction)

    async def statistics(self) -> Any:
        """What the gateway says of itself when it is asked."""
        return (await self.request("stats"))["data"]

    def _receive(self, message: Incoming) -> None:
        self.messages.append(message)
        self._signal.notify()


def _is(message: Incoming, payload: bytes | None, fields: dict[str, object]) -> bool:
    if payload is not None and message.payload != payload:
        return False
    if not fields:
        return True
    body = json.loads(message.payload) if message.payload else {}
    return all(body.get(name) == value for name, value in fields.items())
