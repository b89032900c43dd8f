"""From the end of speech to the first sound, for a device that says nothing of its end: it only streams on."""

import asyncio
import contextlib
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.figures import spread
from benchmarks.measurement import Place
from benchmarks.processes import part
from gateway.audio import SPEECH_RATE
from gateway.broker.mqtt import MqttBroker
from gateway.broker.protocol import Incoming, Subscription
from gateway.broker.url import parse_broker_url
from gateway.cli.questions import spoken_questions
from gateway.config import Settings
from gateway.wire.topics import Leaf, Topics

WAYS = ("off", "recognise", "answer")
"""Values of the setting `speculation`; each is also the root topic of its gateway."""
SENTENCES = 1
QUESTION = "What time is it?"
CHUNK = 512
"""Samples in a message: 1 KiB, 32 ms."""
LOUD = 650
"""A sample of speech has more than this; what lies behind the last one is silence."""
REPLY_S = 20.0


class Streamer:
    """A device that streams what its microphone hears, speech or not, as bare samples."""

    def __init__(self, url: str, root: str) -> None:
        topics = Topics(root)
        self._in = topics.device("streamer", Leaf.IN)
        self._first_at: float | None = None
        self._ended = asyncio.Event()
        self._broker = MqttBroker(
            parse_broker_url(url),
            receive=self._receive,
            subscriptions=[Subscription(topics.device("streamer", Leaf.OUT))],
        )

    async def start(self) -> None:
        await self._broker.start()
        await self._broker.connected_once(10)

    async def stop(self) -> None:
        await self._broker.stop()

    async def ask(self, speech: NDArray[np.int16]) -> float:
        """Stream `speech`, and silence after it until the answer begins; return the seconds from the one to the other,
        when the whole answer has come."""
        self._first_at = None
        self._ended.clear()
        silence = np.zeros(CHUNK, np.int16).tobytes()
        began = time.monotonic()
        spoken_at = began + len(speech) / SPEECH_RATE
        # In real time: a chunk leaves when its last sample has been heard.
        sent = 0
        async with asyncio.timeout(REPLY_S):
            while self._first_at is None:
                await asyncio.sleep(began + (sent + CHUNK) / SPEECH_RATE - time.monotonic())
                chunk = speech[sent : sent + CHUNK].astype("<i2").tobytes()
                await self._broker.publish(self._in, chunk + silence[len(chunk) :])
                sent += CHUNK
            await self._ended.wait()
        return self._first_at - spoken_at

    def _receive(self, incoming: Incoming) -> None:
        if self._first_at is None:
            self._first_at = time.monotonic()
        if not incoming.payload:
            self._ended.set()


async def measure(place: Place, ways: Sequence[str], rounds: int) -> dict[str, Any]:
    """Milliseconds from the end of speech to the first sound with each of the `ways`, which take turns."""
    speech = await _speech()
    taken: dict[str, list[float]] = {way: [] for way in ways}
    async with contextlib.AsyncExitStack() as stack:
        streamers = {}
        for way in ways:
            folder = place.folder / f"data-{way}"
            gateway = part("gateway", url=place.url, folder=folder, sentences=SENTENCES, root=way, speculation=way)
            await stack.enter_async_context(gateway)
            streamers[way] = Streamer(place.url, way)
            await streamers[way].start()
            stack.push_async_callback(streamers[way].stop)
            await streamers[way].ask(speech)
        for number in range(rounds):
            place.tell(f"end of speech by silence, round {number + 1} of {rounds}")
            for way, streamer in streamers.items():
                taken[way].append(await streamer.ask(speech) * 1000)
    return {"ways": {way: spread(ms) for way, ms in taken.items()}, "rounds": taken}


async def _speech() -> NDArray[np.int16]:
    """The question without the silence that the voice puts around it."""
    spoken = (await spoken_questions(Settings(), {}, [(QUESTION, "en")]))[QUESTION].speech.samples
    loud = np.flatnonzero(np.abs(spoken.astype(np.int32)) > LOUD)
    return spoken[loud[0] : loud[-1] + 1]
