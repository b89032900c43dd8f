"""Messages a second that the gateway takes in, beside aiomqtt alone on the same broker."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.figures import spread
from benchmarks.parts import FRAME_BYTES, MARKER
from benchmarks.processes import Part, part
from gateway.broker.mqtt import MqttBroker
from gateway.broker.protocol import Incoming, Subscription
from gateway.broker.url import parse_broker_url

QUIET_S = 5.0
"""When nothing more has come for so long after the first message, nothing more comes."""
ALL_S = 120.0
"""Longest wait for either side to be through."""

_ANSWER = f"voice/gateway/response/{MARKER}"

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class ThroughputSizes:
    """`devices` at once, shared out to `publishers` processes, send one utterance of `frames` each, `rounds` times."""

    devices: int
    publishers: int
    frames: int
    rounds: int


class Ends:
    """Hears how far the gateway has come: the answered markers, and how each device's utterance ended."""

    def __init__(self, url: str) -> None:
        self._done: list[dict[str, Any]] = []
        self._markers: list[float] = []
        self._changed = asyncio.Event()
        self.broker = MqttBroker(
            parse_broker_url(url),
            receive=self._receive,
            subscriptions=[Subscription("voice/+/event"), Subscription(_ANSWER, 1)],
        )

    async def markers(self, count: int) -> float:
        """Wait for the answers to `count` markers; return when the last one came."""
        await self._until(lambda: len(self._markers) >= count)
        answered, self._markers = self._markers, []
        return answered[-1]

    async def done(self, count: int) -> list[dict[str, Any]]:
        """Wait until `count` devices are through, and return their `done` events."""
        await self._until(lambda: len(self._done) >= count)
        ended, self._done = self._done, []
        return ended

    async def _until(self, reached: Callable[[], bool]) -> None:
        async with asyncio.timeout(ALL_S):
            while not reached():
                self._changed.clear()
                await self._changed.wait()

    def _receive(self, incoming: Incoming) -> None:
        if incoming.topic == _ANSWER:
            self._markers.append(time.monotonic())
        else:
            event = json.loads(incoming.payload)
            if event["event"] == "done":
                self._done.append(event)
        self._changed.set()


async def measure(url: str, sizes: ThroughputSizes, folder: Path, tell: Tell) -> dict[str, Any]:
    """Messages a second, microseconds of CPU a message and messages lost, of the gateway and of aiomqtt, in turns."""
    rounds: list[dict[str, Any]] = []
    async with contextlib.AsyncExitStack() as stack:
        gateway = await stack.enter_async_context(part("gateway", url=url, folder=folder, deaf=True))
        sink = await stack.enter_async_context(part("sink", url=url))
        ends = Ends(url)
        await stack.enter_async_context(ends.broker)
        await ends.broker.connected_once(10)
        for number in range(sizes.rounds):
            tell(f"saturated, round {number + 1} of {sizes.rounds}")
            rounds.append(
                {
                    "gateway": await _flood_gateway(url, gateway, ends, sizes, number + 1),
                    "aiomqtt": await _flood_sink(url, sink, sizes, number + 1),
                }
            )
    sides = {
        side: {key: spread([one[side][key] for one in rounds]) for key in ("messages_a_second", "cpu_us_a_message")}
        | {"lost": sum(one[side]["lost"] for one in rounds)}
        for side in ("gateway", "aiomqtt")
    }
    return {
        "message_bytes": FRAME_BYTES,
        "messages": sizes.devices * sizes.frames * sizes.rounds,
        **sides,
        "ratio": spread([one["gateway"]["messages_a_second"] / one["aiomqtt"]["messages_a_second"] for one in rounds]),
        "rounds": rounds,
    }


async def _flood_gateway(url: str, gateway: Part, ends: Ends, sizes: ThroughputSizes, turn: int) -> dict[str, float]:
    """Measured until the markers behind the messages are answered. What was lost the gateway counts itself, by `seq`,
    and says when the utterances have ended."""
    async with _flood(url, "voice", sizes, turn) as publishers:
        before = (await gateway.ask("usage"))["cpu_s"]
        began = await _go(publishers)
        seconds = await ends.markers(len(publishers)) - began
        cpu_s = (await gateway.ask("usage"))["cpu_s"] - before
        await asyncio.gather(*(publisher.ask("end") for publisher in publishers))
        lost = sum(event["audio"]["lost"] for event in await ends.done(sizes.devices))
    return _figures(sizes, lost, seconds, cpu_s)


async def _flood_sink(url: str, sink: Part, sizes: ThroughputSizes, turn: int) -> dict[str, float]:
    sent = sizes.devices * sizes.frames
    async with _flood(url, "plain", sizes, turn) as publishers:
        before = await sink.ask("usage")
        began = await _go(publishers)
        after = await _all_taken(sink, before["received"], sent)
    lost = sent - (after["received"] - before["received"])
    return _figures(sizes, lost, after["last_at"] - began, after["cpu_s"] - before["cpu_s"])


async def _all_taken(sink: Part, before: int, sent: int) -> dict[str, Any]:
    """Return the sink's usage once it has taken `sent` more than the `before` messages, or no more come.

    Raises:
        TimeoutError: not even one came.
    """
    async with asyncio.timeout(ALL_S):
        while True:
            usage = await sink.ask("usage")
            taken = usage["received"] - before
            # Until one is taken, `last_at` is of the round before, or of none.
            if taken == sent or (taken and time.monotonic() - usage["last_at"] > QUIET_S):
                return usage
            await asyncio.sleep(0.1)


@contextlib.asynccontextmanager
async def _flood(url: str, root: str, sizes: ThroughputSizes, turn: int) -> AsyncIterator[list[Part]]:
    """Publishers of one utterance for each device under `root`, ready to go."""
    names = [f"flood-{index}" for index in range(sizes.devices)]
    async with contextlib.AsyncExitStack() as stack:
        shares = [",".join(names[index :: sizes.publishers]) for index in range(sizes.publishers)]
        starting = (
            part("flood", url=url, root=root, devices=share, frames=sizes.frames, turn=turn) for share in shares
        )
        yield [await stack.enter_async_context(each) for each in starting]


async def _go(publishers: list[Part]) -> float:
    """Let them all send; return when the first one began."""
    told = await asyncio.gather(*(publisher.ask("go") for publisher in publishers))
    return float(min(each["began"] for each in told))


def _figures(sizes: ThroughputSizes, lost: int, seconds: float, cpu_s: float) -> dict[str, float]:
    received = sizes.devices * sizes.frames - lost
    return {
        "messages_a_second": received / seconds,
        "cpu_us_a_message": cpu_s * 1e6 / max(1, received),
        "lost": lost,
    }
