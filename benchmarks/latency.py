"""From the end of a question to the first sound of its answer, beside a plain echo on the same broker."""

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.figures import percentile, spread
from benchmarks.measurement import Bar, Chart, Goal, Place, Result
from benchmarks.processes import part
from benchmarks.tables import between, table
from gateway.audio import SPEECH_RATE
from gateway.broker.mqtt import MqttBroker
from gateway.broker.protocol import Incoming, Subscription
from gateway.broker.url import parse_broker_url
from gateway.device.uplink import CHUNK_MS, FrameWriter
from gateway.values import Codec
from gateway.wire.frame import FIRST_DEVICE_TURN, Flag, decode, turn_after
from gateway.wire.topics import Leaf, Topics

QUESTION_FRAMES = 4
"""Frames of `CHUNK_MS` in a question, sent as fast as they would be spoken; the last one carries END."""
REPLY_S = 20.0
ECHO, GATEWAY = "echo", "voice"
"""The two that are compared, by the root of their topics."""
RATIO_GOAL = 3.0


@dataclass(frozen=True, slots=True)
class LatencySizes:
    """`devices` at once ask `questions` each, one after the other, with a pause between `pause_s` seconds; all that
    `rounds` times."""

    devices: int
    questions: int
    rounds: int
    pause_s: tuple[float, float]


FULL = (
    LatencySizes(1, 12, 3, (0.05, 0.15)),
    LatencySizes(20, 4, 3, (0.5, 1.5)),
    LatencySizes(100, 2, 2, (2.0, 6.0)),
)
QUICK = (
    LatencySizes(1, 6, 2, (0.05, 0.15)),
    LatencySizes(20, 2, 1, (0.5, 1.5)),
    LatencySizes(100, 1, 1, (2.0, 6.0)),
)


@dataclass(frozen=True)
class Latency:
    full: tuple[LatencySizes, ...] = FULL
    quick: tuple[LatencySizes, ...] = QUICK
    name: str = "latency"
    title: str = "From END to the first frame of the reply, engines that take no time"

    async def measure(self, place: Place, *, profile: Path | None = None) -> Result:
        """`profile` is the file for the gateway's cProfile statistics; the figures then are of no use."""
        return {"at_once": await measure(place, self.quick if place.quick else self.full, profile)}

    def section(self, result: Result) -> str:
        rows = [row for each in result["at_once"] for row in _rows(each)]
        return table(("devices", "questions", "", "p50 ms", "p95 ms", "CPU ms a turn"), rows)

    def charts(self, result: Result) -> list[Chart]:
        return [
            Chart(
                f"END to the first reply frame, {each['devices']} at once",
                "ms",
                tuple(
                    Bar(f"{side}, {key}", figures["median"], figures["min"], figures["max"])
                    for key in ("p50", "p95")
                    for side in ("gateway", "echo")
                    for figures in [each[side][f"{key}_ms"]]
                ),
            )
            for each in result["at_once"]
        ]

    def goals(self, result: Result) -> list[Goal]:
        ratios = [(each["devices"], each["ratio"]["p50"]["median"]) for each in result["at_once"]]
        return [
            Goal(f"p50 at most {RATIO_GOAL:g} times the echo's, {devices} at once: {ratio:.1f}", ratio <= RATIO_GOAL)
            for devices, ratio in ratios
        ]


BENCHMARK = Latency()


class Asker:
    """The least that a device can be: sends a question, and notes when the first and the last frame of a reply came.

    The same for both sides, so that what it costs itself is in both.
    """

    def __init__(self, url: str, root: str, name: str, first_turn: int = FIRST_DEVICE_TURN) -> None:
        topics = Topics(root)
        self._in = topics.device(name, Leaf.IN)
        self._turn = first_turn
        self._first: tuple[float, int] | None = None
        self._ended = asyncio.Event()
        self._broker = MqttBroker(
            parse_broker_url(url),
            receive=self._receive,
            subscriptions=[Subscription(topics.device(name, Leaf.OUT))],
        )

    async def start(self) -> None:
        await self._broker.start()
        await self._broker.connected_once(10)

    async def stop(self) -> None:
        await self._broker.stop()

    async def ask(self) -> tuple[float, int]:
        """Ask, and return the seconds from END to the first frame of the reply, and its size in bytes."""
        writer = FrameWriter(self._turn, Codec.PCM, SPEECH_RATE, CHUNK_MS)
        self._turn = turn_after(self._turn)
        self._first = None
        self._ended.clear()
        samples = np.zeros(SPEECH_RATE * CHUNK_MS * QUESTION_FRAMES // 1000, np.int16)
        asked_at = 0.0
        for frame in writer.frames(samples, last=True):
            await asyncio.sleep(CHUNK_MS / 1000)
            asked_at = time.monotonic()
            await self._broker.publish(self._in, frame)
        async with asyncio.timeout(REPLY_S):
            await self._ended.wait()
        assert self._first is not None
        first_at, size = self._first
        return first_at - asked_at, size

    def _receive(self, incoming: Incoming) -> None:
        if self._first is None:
            self._first = time.monotonic(), len(incoming.payload)
        if decode(incoming.payload).flags & Flag.END:
            self._ended.set()


async def measure(place: Place, sizes: tuple[LatencySizes, ...], profile: Path | None) -> list[dict[str, Any]]:
    """Milliseconds at p50 and p95 of each round of each of `sizes`, for the gateway and for the echo, in turns."""
    url, tell = place.url, place.tell
    async with part("gateway", url=url, folder=place.folder / "data", profile=profile) as gateway:
        tell("warming up")
        reply_bytes = await warm_up(url, GATEWAY)
        async with part("echo", url=url, size=reply_bytes) as echo:
            parts = {GATEWAY: gateway, ECHO: echo}
            results = []
            for size in sizes:
                rounds: list[dict[str, Any]] = []
                for number in range(size.rounds):
                    tell(f"{size.devices} devices, round {number + 1} of {size.rounds}")
                    one_round = {}
                    for root, process in parts.items():
                        before = (await process.ask("usage"))["cpu_s"]
                        names = [f"round-{number}-{size.devices}-{index}" for index in range(size.devices)]
                        samples = await ask_all(url, root, names, size, number)
                        cpu_s = (await process.ask("usage"))["cpu_s"] - before
                        one_round[root] = {
                            "p50_ms": percentile(samples, 0.50) * 1000,
                            "p95_ms": percentile(samples, 0.95) * 1000,
                            "cpu_ms_a_turn": cpu_s * 1000 / len(samples),
                        }
                    rounds.append(one_round)
                results.append(_result(size, rounds, reply_bytes))
            return results


async def warm_up(url: str, root: str) -> int:
    """Ask twice, so that everything is loaded that is loaded when first used; return the size of a first frame."""
    asker = Asker(url, root, "warm-up")
    await asker.start()
    await asker.ask()
    _, size = await asker.ask()
    await asker.stop()
    return size


async def ask_all(url: str, root: str, devices: Sequence[str], size: LatencySizes, seed: int) -> list[float]:
    """Let the `devices` ask, each as many questions as `size` says, one after the other; return the seconds of every
    question. `seed` is the number of the round: a device may ask in several."""
    # A number that it had a moment ago would be taken for a late copy.
    first_turn = FIRST_DEVICE_TURN + seed * size.questions
    askers = [Asker(url, root, device, first_turn) for device in devices]
    await asyncio.gather(*(asker.start() for asker in askers))
    waits: list[float] = []

    async def converse(asker: Asker, chance: random.Random) -> None:
        await asyncio.sleep(chance.uniform(0, size.pause_s[1]))
        for _ in range(size.questions):
            waited_s, _ = await asker.ask()
            waits.append(waited_s)
            await asyncio.sleep(chance.uniform(*size.pause_s))

    # The same seeds for both sides: their questions come at the same moments.
    await asyncio.gather(*(converse(asker, random.Random(1000 * seed + i)) for i, asker in enumerate(askers)))
    await asyncio.gather(*(asker.stop() for asker in askers))
    return waits


def _result(size: LatencySizes, rounds: list[dict[str, Any]], reply_bytes: int) -> dict[str, Any]:
    sides = {
        name: {key: spread([one[root][key] for one in rounds]) for key in ("p50_ms", "p95_ms", "cpu_ms_a_turn")}
        for name, root in (("gateway", GATEWAY), ("echo", ECHO))
    }
    return {
        "devices": size.devices,
        "questions": size.devices * size.questions * size.rounds,
        "first_frame_bytes": reply_bytes,
        **sides,
        "ratio": {
            key: spread([one[GATEWAY][f"{key}_ms"] / one[ECHO][f"{key}_ms"] for one in rounds])
            for key in ("p50", "p95")
        },
        "rounds": rounds,
    }


def _rows(each: dict[str, Any]) -> list[tuple[object, ...]]:
    rows: list[tuple[object, ...]] = [
        (
            each["devices"],
            each["questions"],
            side,
            between(each[side]["p50_ms"]),
            between(each[side]["p95_ms"]),
            between(each[side]["cpu_ms_a_turn"]),
        )
        for side in ("gateway", "echo")
    ]
    ratio = each["ratio"]
    return [*rows, (each["devices"], each["questions"], "ratio", between(ratio["p50"]), between(ratio["p95"]), "")]
