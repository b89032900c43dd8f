"""Many devices that speak at once, in real time: what is lost, and how long a message takes to its utterance."""

import asyncio
import contextlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.processes import Part, broker_cpu_s, part
from benchmarks.throughput import QUIET_S, Ends, Tell


@dataclass(frozen=True, slots=True)
class StreamSizes:
    """`devices` speak at once for `seconds`, in chunks of `chunk_bytes` of PCM at 16 kHz, 32 kB a second each."""

    devices: int
    chunk_bytes: int
    seconds: float


async def measure(url: str, sizes: tuple[StreamSizes, ...], folder: Path, tell: Tell) -> list[dict[str, Any]]:
    """For each of `sizes`: messages sent and lost, milliseconds of routing, cores that each process took."""
    results = []
    for size in sizes:
        tell(f"{size.devices} devices speak at once, chunks of {size.chunk_bytes} bytes")
        results.append(await _stream(url, size, folder / f"{size.devices}"))
    return results


async def _stream(url: str, size: StreamSizes, folder: Path) -> dict[str, Any]:
    """A gateway of its own each time, so that no round has to do with what another left."""
    async with contextlib.AsyncExitStack() as stack:
        gateway = await stack.enter_async_context(part("gateway", url=url, folder=folder, deaf=True, stamped=True))
        speakers = await stack.enter_async_context(
            part("speakers", url=url, count=size.devices, size=size.chunk_bytes, seconds=size.seconds)
        )
        ends = Ends(url)
        await stack.enter_async_context(ends.broker)
        await ends.broker.connected_once(10)
        await speakers.ask("greet")
        await speakers.ask("come")
        before, broker_before_s = await gateway.ask("arrived"), broker_cpu_s()
        spoken = await speakers.ask("speak")
        broker_after_s, after = broker_cpu_s(), await _arrived(gateway, spoken["sent"])
        routing = await gateway.ask("routing")
        await speakers.ask("end")
        lost = sum(event["audio"]["lost"] for event in await ends.done(size.devices))
    cpu_s = after["cpu_s"] - before["cpu_s"]
    return {
        "devices": size.devices,
        "chunk_bytes": size.chunk_bytes,
        "messages": spoken["sent"],
        "messages_a_second": spoken["sent"] / spoken["seconds"],
        "lost": max(lost, spoken["sent"] - after["count"]),
        "routing_ms": {key: routing[f"{key}_ms"] for key in ("p50", "p99", "max")},
        "cores": cpu_s / spoken["seconds"],
        "broker_cores": None
        if broker_before_s is None or broker_after_s is None
        else (broker_after_s - broker_before_s) / spoken["seconds"],
        "cpu_us_a_message": cpu_s * 1e6 / spoken["sent"],
        "speakers": {"cores": spoken["cores"], "late_ms": spoken["late_ms"]},
    }


async def _arrived(gateway: Part, count: int) -> dict[str, Any]:
    """What the gateway tells once `count` stamped messages have been handled, or no more come."""
    last, changed_at = -1, time.monotonic()
    while True:
        told = await gateway.ask("arrived")
        if told["count"] >= count or time.monotonic() - changed_at > QUIET_S:
            return told
        if told["count"] != last:
            last, changed_at = told["count"], time.monotonic()
        await asyncio.sleep(0.2)
