"""What a message and a session cost: messages a second, CPU a message, memory a session."""

from dataclasses import dataclass
from typing import Any

from benchmarks import memory, streams, throughput
from benchmarks.measurement import Bar, Chart, Goal, Place, Result
from benchmarks.memory import MemorySizes
from benchmarks.streams import StreamSizes
from benchmarks.tables import between, table
from benchmarks.throughput import ThroughputSizes

SESSION_KIB = 64
ROUTING_P99_MS = 20.0


@dataclass(frozen=True, slots=True)
class Sizes:
    throughput: ThroughputSizes
    streams: tuple[StreamSizes, ...]
    memory: MemorySizes


FULL = Sizes(
    ThroughputSizes(devices=20, publishers=2, frames=900, rounds=3),
    (StreamSizes(200, 1024, 10.0), StreamSizes(1000, 4096, 10.0)),
    MemorySizes(warm_up=200, counts=(1000, 2000), traced=300, raw=300),
)
QUICK = Sizes(
    ThroughputSizes(devices=20, publishers=2, frames=400, rounds=1),
    (StreamSizes(200, 1024, 3.0),),
    MemorySizes(warm_up=50, counts=(300,), traced=50, raw=50),
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
            "streams": await streams.measure(place.url, sizes.streams, place.folder / "streams", place.tell),
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
                "### Devices that speak at once, in real time",
                table(
                    ("devices", "chunk bytes", "messages/s", "lost", "p50 ms", "p99 ms", "max ms", "sent late ms"),
                    [_stream_row(each) for each in result["streams"]],
                ),
                "From the publisher's write to the session's assembler having taken it: the broker's share is in it."
                " How much later than real time the worst message was written stands beside it. All devices speak on"
                " while this is measured; what the end of a question costs is in other figures.",
                table(
                    ("devices", "gateway cores", "µs a message", "broker cores", "publisher cores"),
                    [_cores_row(each) for each in result["streams"]],
                ),
                "Publisher, broker and gateway share the machine's cores; recognition is left out.",
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
        goals = [
            Goal(
                f"{each['devices']} devices speak in chunks of {each['chunk_bytes']} bytes, none lost, p99 of routing"
                f" below {ROUTING_P99_MS:g} ms: {each['lost']} lost, {_milliseconds(each['routing_ms']['p99'])} ms",
                each["lost"] == 0 and (each["routing_ms"]["p99"] or 0.0) < ROUTING_P99_MS,
            )
            for each in result["streams"]
        ]
        held = result["memory"]
        sizes = (("", held["resident"][-1]["bytes_a_session"]), (", after raw sound", held["raw"]["bytes_a_session"]))
        return goals + [
            Goal(f"an idle session below {SESSION_KIB} KiB{after}: {size / 1024:.1f}", size < SESSION_KIB * 1024)
            for after, size in sizes
            if size is not None
        ]


BENCHMARK = Messages()


def _stream_row(each: dict[str, Any]) -> tuple[object, ...]:
    routing = (_milliseconds(each["routing_ms"][key]) for key in ("p50", "p99", "max"))
    rate = f"{each['messages_a_second']:.0f}"
    return (each["devices"], each["chunk_bytes"], rate, each["lost"], *routing, f"{each['speakers']['late_ms']:.1f}")


def _cores_row(each: dict[str, Any]) -> tuple[object, ...]:
    broker = "unknown here" if each["broker_cores"] is None else f"{each['broker_cores']:.2f}"
    gateway = (f"{each['cores']:.2f}", f"{each['cpu_us_a_message']:.0f}")
    return (each["devices"], *gateway, broker, f"{each['speakers']['cores']:.2f}")


def _milliseconds(value: float | None) -> str:
    return "none came" if value is None else f"{value:.1f}"


def _memory_rows(held: dict[str, Any]) -> list[tuple[object, ...]]:
    rows = [(each["devices"], "resident", each["bytes_a_session"]) for each in held["resident"]]
    traced = held["traced"]
    rows.append((traced["devices"], "allocated by Python", traced["bytes_a_session"]))
    rows.append((held["raw"]["devices"], "resident, of devices that sent raw sound", held["raw"]["bytes_a_session"]))
    return [(count, how, "unknown here" if size is None else f"{size / 1024:.1f}") for count, how, size in rows]
