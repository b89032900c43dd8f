"""Whole turns of gateways that differ in their databases only."""

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

from benchmarks.figures import percentile, spread
from benchmarks.latency import LatencySizes, ask_all, warm_up
from benchmarks.measurement import Place
from benchmarks.processes import part

FIGURES = {"p50_ms": "END to the first frame, p50 ms", "cpu_ms": "CPU ms a turn"}


@dataclass(frozen=True, slots=True)
class Stored:
    """A gateway's database, and the devices of which the first ask, in every round the same."""

    url: str
    devices: Sequence[str]


async def measure(place: Place, sizes: LatencySizes, gateways: Mapping[str, Stored]) -> dict[str, dict[str, Any]]:
    """The spread of `FIGURES` over the rounds of `sizes`, in which the `gateways` take turns; each is named by the root
    of its topics. Engines take no time."""
    rounds: dict[str, list[dict[str, float]]] = {root: [] for root in gateways}
    async with AsyncExitStack() as running:
        processes = {}
        for root, stored in gateways.items():
            folder = place.folder / root
            gateway = part("gateway", url=place.url, root=root, folder=folder, database=stored.url)
            processes[root] = await running.enter_async_context(gateway)
            await warm_up(place.url, root)
        for number in range(sizes.rounds):
            for root, stored in gateways.items():
                before = (await processes[root].ask("usage"))["cpu_s"]
                waits = await ask_all(place.url, root, stored.devices[: sizes.devices], sizes, number)
                cpu_s = (await processes[root].ask("usage"))["cpu_s"] - before
                rounds[root].append(
                    {"p50_ms": percentile(waits, 0.5) * 1000, "cpu_ms": cpu_s * 1000 / len(waits)},
                )
    return {root: {key: spread([one[key] for one in each]) for key in FIGURES} for root, each in rounds.items()}
