"""What a message and a session cost: messages a second, CPU a message, memory a session."""

from dataclasses import dataclass
from typing import Any

from benchmarks import memory, throughput
from benchmarks.measurement import Bar, Chart, Goal, Place, Result
from benchmarks.memory import MemorySizes
from benchmarks.tables import between, table
from benchmarks.throughput import ThroughputSizes

SESSION_KIB = 64


@dataclass(frozen=True, slots=True)
class Sizes:
    throughput: ThroughputSizes
    memory: MemorySizes


FULL = Sizes(
    ThroughputSizes(devices=20, publishers=2, frames=900, rounds=3),
    MemorySizes(warm_up=200, counts=(1000, 5000), traced=300),
)
QUICK = Sizes(
    ThroughputSizes(devices=20, publishers=2, frames=400, rounds=1),
    MemorySizes(warm_up=50, counts=(300,), traced=50),
)


@dataclass(frozen=True)
class Messages:
    full: Sizes = FULL
    quick: Sizes = QUICK
    name: str = "messages"
    title: str = "Messages a second, and memory of a session"

    async def measure(self, place: Place) -> Result:
        sizes = self.quick if place.quick else self.full
        return {
            "throughput": await throughput.measure(
                place.url, sizes.throughput, place.folder / "throughput", place.tell
            ),
            "memory": await memory.measure(place.url, sizes.memory, place.folder / "memory", place.tell),
        }

    def section(self, result: Result) -> str:
        saturated = result["throughput"]
        sides = [(side, saturated[side]) for side in ("gateway", "aiomqtt")]
        messages = [
            (side, between(figures["messages_a_second"], 0), between(figures["cpu_us_a_message"]), figures["lost"])
            for side, figures in sides
        ]
        return "\n\n".join(
            [
                f"### Messages of {saturated['message_bytes']} bytes taken in, saturated",
                table(("", "messages/s", "CPU µs a message", "lost"), messages),
                "### Memory of a session after its turn",
                table(("sessions", "measured", "KiB each"), _memory_rows(result["memory"])),
            ]
        )

    def charts(self, result: Result) -> list[Chart]:
        bars = [
            Bar(side, rate["median"], rate["min"], rate["max"])
            for side in ("gateway", "aiomqtt")
            for rate in [result["throughput"][side]["messages_a_second"]]
        ]
        return [Chart("Messages a second taken in, saturated", "", tuple(bars))]

    def goals(self, result: Result) -> list[Goal]:
        size = result["memory"]["resident"][-1]["bytes_a_session"]
        if size is None:
            return []
        return [Goal(f"an idle session below {SESSION_KIB} KiB: {size / 1024:.1f}", size < SESSION_KIB * 1024)]


BENCHMARK = Messages()


def _memory_rows(held: dict[str, Any]) -> list[tuple[object, ...]]:
    rows = [(each["devices"], "resident", each["bytes_a_session"]) for each in held["resident"]]
    traced = held["traced"]
    rows.append((traced["devices"], "allocated by Python", traced["bytes_a_session"]))
    return [(count, how, "unknown here" if size is None else f"{size / 1024:.1f}") for count, how, size in rows]
