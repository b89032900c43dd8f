"""What a device costs in memory that said hello, had one turn, and then is only there."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.processes import part
from gateway.broker.mqtt import MqttBroker
from gateway.broker.protocol import Incoming, Subscription
from gateway.broker.url import parse_broker_url

AT_ONCE = 20
TURN_S = 30.0
QUESTION = b"How are you?"
"""The same for every device: otherwise the memory for synthesised sentences, which has a bound of its own and is
shared by all, would fill up and be counted."""
HELLO = {
    "v": 1,
    "name": "Kitchen",
    "firmware": "1.0.0",
    "board": "esp32-s3",
    "max_packet": 4096,
    "buffer_ms": 2000,
    "codecs": ["pcm", "adpcm"],
    "rate": 16000,
    "reply": {"rate": 24000, "bitrate_kbps": 32},
    "language": "en",
}
RAW_RATE = 44_100
"""Hz of what raw devices send: it is followed by a speech detector, behind a resampler."""
RAW_CHUNK_BYTES = 4096
RAW_CHUNKS = 20

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class MemorySizes:
    """After `warm_up` devices that are not counted, memory is read when `counts[0]`, `counts[1]`, … have come;
    `traced` devices come to a gateway that also counts its own allocations, and `raw` ones, which send sound, to one
    that hears nothing in it."""

    warm_up: int
    counts: tuple[int, ...]
    traced: int
    raw: int


class _Crowd:
    """Many devices behind one connection."""

    def __init__(self, url: str, *, raw: bool) -> None:
        self._raw = raw
        self._turns: dict[str, asyncio.Event] = {}
        self._made = 0
        self.broker = MqttBroker(
            parse_broker_url(url), receive=self._receive, subscriptions=[Subscription("voice/+/event")]
        )

    async def grow(self, count: int) -> None:
        """Let `count` devices more come, ask once and fall silent; a few at a time."""
        places = asyncio.Semaphore(AT_ONCE)

        async def live(name: str) -> None:
            async with places:
                done = self._turns[name] = asyncio.Event()
                await (self._speak(name) if self._raw else self._ask(name))
                async with asyncio.timeout(TURN_S):
                    await done.wait()

        await asyncio.gather(*(live(f"device-{self._made + index}") for index in range(count)))
        self._made += count

    async def _ask(self, name: str) -> None:
        await self.broker.publish(f"voice/{name}/hello", json.dumps(HELLO).encode(), qos=1)
        await self.broker.publish(f"voice/{name}/ask", QUESTION, qos=1)

    async def _speak(self, name: str) -> None:
        await self.broker.publish(f"voice/{name}/hello", json.dumps({**HELLO, "rate": RAW_RATE}).encode())
        for _ in range(RAW_CHUNKS):
            await self.broker.publish(f"voice/{name}/in", bytes(RAW_CHUNK_BYTES))
        await self.broker.publish(f"voice/{name}/in", b"")

    def _receive(self, incoming: Incoming) -> None:
        event = json.loads(incoming.payload)
        if event["event"] == "done":
            assert event["outcome"] == ("silent" if self._raw else "completed"), event
            self._turns[event["session_id"]].set()


async def measure(url: str, sizes: MemorySizes, folder: Path, tell: Tell) -> dict[str, Any]:
    """Bytes a session: of resident memory for each of the counts, and of Python's own allocations."""
    resident = await _grow(url, sizes.warm_up, sizes.counts, folder / "resident", tell)
    traced = await _grow(url, sizes.warm_up, (sizes.traced,), folder / "traced", tell, trace=True)
    raw = await _grow(url, sizes.warm_up, (sizes.raw,), folder / "raw", tell, raw=True)
    return {
        "warm_up_devices": sizes.warm_up,
        "rss_with_warm_up_bytes": resident[0]["rss"],
        "resident": [
            {"devices": count, "bytes_a_session": _growth(resident[0]["rss"], at["rss"], count)}
            for count, at in zip(sizes.counts, resident[1:], strict=True)
        ],
        "traced": {
            "devices": sizes.traced,
            "bytes_a_session": _growth(traced[0]["traced"], traced[1]["traced"], sizes.traced),
        },
        "raw": {"devices": sizes.raw, "bytes_a_session": _growth(raw[0]["rss"], raw[1]["rss"], sizes.raw)},
    }


def _growth(before: int | None, after: int | None, count: int) -> float | None:
    return None if before is None or after is None else (after - before) / count


async def _grow(
    url: str,
    warm_up: int,
    counts: tuple[int, ...],
    folder: Path,
    tell: Tell,
    *,
    trace: bool = False,
    raw: bool = False,
) -> list[dict[str, Any]]:
    """What the gateway holds after the warm-up, and when each of `counts` further devices have come."""
    async with part("gateway", url=url, folder=folder, trace=trace, deaf=raw) as gateway:
        crowd = _Crowd(url, raw=raw)
        async with crowd.broker:
            await crowd.broker.connected_once(10)
            await crowd.grow(warm_up)
            held = [await gateway.ask("memory")]
            there = 0
            for count in counts:
                how = ", each allocation counted" if trace else ", raw sound" if raw else ""
                tell(f"memory: {count} devices{how}")
                await crowd.grow(count - there)
                there = count
                held.append(await gateway.ask("memory"))
            return held
