"""How much is measured. More of it makes the figures steadier, not different."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LatencySizes:
    """`devices` at once ask `questions` each, one after the other, with a pause between `pause_s` seconds; all that
    `rounds` times."""

    devices: int
    questions: int
    rounds: int
    pause_s: tuple[float, float]


@dataclass(frozen=True, slots=True)
class ThroughputSizes:
    """`devices` at once, shared out to `publishers` processes, send one utterance of `frames` each, `rounds` times."""

    devices: int
    publishers: int
    frames: int
    rounds: int


@dataclass(frozen=True, slots=True)
class MemorySizes:
    """After `warm_up` devices that are not counted, memory is read when `counts[0]`, `counts[1]`, … have come;
    `traced` devices come to a gateway that also counts its own allocations."""

    warm_up: int
    counts: tuple[int, ...]
    traced: int


@dataclass(frozen=True, slots=True)
class Sizes:
    latency: tuple[LatencySizes, ...]
    throughput: ThroughputSizes
    memory: MemorySizes


FULL = Sizes(
    (LatencySizes(1, 12, 3, (0.05, 0.15)), LatencySizes(20, 4, 3, (0.5, 1.5))),
    ThroughputSizes(devices=20, publishers=2, frames=900, rounds=3),
    MemorySizes(warm_up=200, counts=(1000, 5000), traced=300),
)
QUICK = Sizes(
    (LatencySizes(1, 6, 2, (0.05, 0.15)), LatencySizes(20, 2, 1, (0.5, 1.5))),
    ThroughputSizes(devices=20, publishers=2, frames=400, rounds=1),
    MemorySizes(warm_up=50, counts=(300,), traced=50),
)
