"""Has everything forgotten that a simulation left behind, on the broker and in the gateway."""

import asyncio
import json
from collections.abc import Collection
from pathlib import Path

from gateway.broker.mqtt import MqttBroker
from gateway.broker.protocol import Incoming, Subscription
from gateway.broker.url import BrokerUrl
from gateway.errors import BrokerUnavailable
from gateway.wire.topics import RETAINED, Leaf, Topics

CONNECT_S = 5.0
FORGOTTEN_S = 15.0
"""Longest wait for the gateway to have erased all conversations."""
AT_A_TIME = 100
"""Messages published at a time."""


async def forget_devices(
    url: BrokerUrl, topics: Topics, spellings: Collection[str], ca_file: Path | None = None
) -> str | None:
    """Erase the conversations of devices that have left, and what the broker retains of them.

    Done once all of them are gone: the gateway tells the state of a device anew when it leaves. Returns why not, if
    something may have stayed.
    """
    waited_for = {topics.device(spelling, Leaf.STATE) for spelling in spellings}
    all_erased = asyncio.Event()

    def receive(incoming: Incoming) -> None:
        if not incoming.payload:
            waited_for.discard(incoming.topic)
        if not waited_for:
            all_erased.set()

    async def publish(leaf: Leaf, payload: bytes, *, retain: bool) -> None:
        names = list(spellings)
        for start in range(0, len(names), AT_A_TIME):
            some = [topics.device(name, leaf) for name in names[start : start + AT_A_TIME]]
            await asyncio.gather(*(broker.publish(topic, payload, qos=1, retain=retain) for topic in some))

    subscription = Subscription(topics.every_device(Leaf.STATE), 1)
    broker = MqttBroker(url, receive=receive, subscriptions=[subscription], ca_file=ca_file)
    async with broker:
        try:
            await broker.connected_once(CONNECT_S)
            await publish(Leaf.CONTROL, json.dumps({"type": "forget"}).encode(), retain=False)
            async with asyncio.timeout(FORGOTTEN_S):
                await all_erased.wait()
        except BrokerUnavailable as error:
            return str(error)
        except TimeoutError:
            return f"the gateway did not say in {FORGOTTEN_S:g} s that it has forgotten all of them"
        for leaf in RETAINED:
            await publish(leaf, b"", retain=True)
        return broker.trouble
