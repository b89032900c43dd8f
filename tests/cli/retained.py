"""What a broker keeps."""

import asyncio

from gateway.broker.mqtt import MqttBroker
from gateway.broker.protocol import Incoming, Subscription
from gateway.broker.url import parse_broker_url


async def publish_retained(url: str, topics: list[str], payload: bytes = b"kept") -> None:
    """Leave a retained message on each of `topics`."""
    async with MqttBroker(parse_broker_url(url), receive=lambda _: None) as broker:
        await broker.connected_once(10)
        for topic in topics:
            await broker.publish(topic, payload, qos=1, retain=True)


async def retained_topics(url: str) -> set[str]:
    """Every topic with a retained message. They come before what is published after the subscription."""
    found: set[str] = set()
    complete = asyncio.Event()

    def receive(message: Incoming) -> None:
        if message.topic == "end-of-retained":
            complete.set()
        elif message.retained:
            found.add(message.topic)

    async with MqttBroker(parse_broker_url(url), receive=receive, subscriptions=[Subscription("#", 1)]) as broker:
        await broker.connected_once(10)
        await broker.publish("end-of-retained", b"", qos=1)
        await asyncio.wait_for(complete.wait(), 10)
    return found
