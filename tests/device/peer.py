"""The other end of the wire: hears what a device publishes, and answers what a test tells it to."""

import asyncio
import json
import math
from types import TracebackType
from typing import Any, Self

import numpy as np

from gateway.audio import Pcm
from gateway.broker.mqtt import MqttBroker
from gateway.broker.protocol import Incoming, Subscription
from gateway.broker.url import parse_broker_url
from gateway.engines.encoder import Mp3Encoder
from gateway.wire.frame import Flag, Frame, FrameCodec, decode, encode
from gateway.wire.topics import Leaf, Topics

TIMEOUT_S = 5.0
RATE = 24_000
KBPS = 48


def tone(seconds: float, rate: int = 16_000) -> Pcm:
    """A tone of 440 Hz."""
    times = np.arange(round(seconds * rate)) / rate
    return Pcm((8000 * np.sin(2 * math.pi * 440 * times)).astype(np.int16), rate)


def mp3_of(seconds: float) -> bytes:
    """A tone as the MP3 that a gateway would send: 48 kbit/s, so 6 bytes a millisecond."""
    encoder = Mp3Encoder(RATE, KBPS)
    return encoder.feed(tone(seconds, RATE)) + encoder.finish()


class Peer:
    """Listens to every topic of the device `spelling` and publishes in the gateway's place."""

    def __init__(self, url: str, spelling: str) -> None:
        self._spelling = spelling
        self._topics = Topics()
        self.arrived: asyncio.Queue[tuple[Leaf, bytes, bool]] = asyncio.Queue()
        leaves = (Leaf.IN, Leaf.HELLO, Leaf.ONLINE, Leaf.CONTROL, Leaf.ASK, Leaf.SAY)
        self._broker = MqttBroker(
            parse_broker_url(url),
            receive=self._receive,
            subscriptions=[Subscription(self._topics.device(spelling, leaf)) for leaf in leaves],
        )

    def _receive(self, incoming: Incoming) -> None:
        told = self._topics.parse_device(incoming.topic)
        assert told is not None
        self.arrived.put_nowait((told[1], incoming.payload, incoming.retained))

    async def __aenter__(self) -> Self:
        await self._broker.start()
        await self._broker.connected_once(TIMEOUT_S)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._broker.stop()

    async def next(self, leaf: Leaf) -> bytes:
        """The next payload on `leaf`; what comes on other topics before it is passed over."""
        async with asyncio.timeout(TIMEOUT_S):
            while True:
                came, payload, _ = await self.arrived.get()
                if came is leaf:
                    return payload

    async def utterance(self) -> list[Frame]:
        """The frames of the next utterance, to its END or CANCEL."""
        frames: list[Frame] = []
        while not frames or not frames[-1].flags & (Flag.END | Flag.CANCEL):
            frames.append(decode(await self.next(Leaf.IN)))
        return frames

    async def out(self, payload: bytes) -> None:
        await self._broker.publish(self._topics.device(self._spelling, Leaf.OUT), payload)

    async def frame(self, turn: int, seq: int, audio: bytes = b"", flags: Flag = Flag.NONE) -> None:
        await self.out(encode(Frame(turn, seq, flags | (Flag.START if seq == 0 else 0), FrameCodec.MP3, RATE, audio)))

    async def event(self, kind: str, turn: int | None, **fields: Any) -> None:
        body = {"event": kind, "turn": turn, **fields}
        await self._broker.publish(self._topics.device(self._spelling, Leaf.EVENT), json.dumps(body).encode())

    async def state(self, payload: bytes) -> None:
        await self._broker.publish(self._topics.device(self._spelling, Leaf.STATE), payload, qos=1, retain=True)
