"""Starts the devices of a simulation, and ends them in time or when told to."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.audio import SPEECH_RATE, Pcm
from gateway.broker.url import BrokerUrl
from gateway.device.uplink import CHUNK_MS, FrameWriter
from gateway.simulator.leaving import forget_devices
from gateway.simulator.plan import Plan
from gateway.simulator.simulated_device import SimulatedDevice, World
from gateway.simulator.tally import Tally
from gateway.simulator.watched_gateway import WatchedGateway
from gateway.values import Codec
from gateway.wire.frame import FIRST_DEVICE_TURN
from gateway.wire.topics import Topics

TICK_S = 0.05
"""How often this process looks whether it is late itself."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a simulation has come."""

    seconds: float
    connected: int
    answers: int
    failed: int
    p95_ms: int | None


class Simulation:
    """`await Simulation(…).run()`; meanwhile `progress`, and afterwards `as_data`, say what came of it."""

    def __init__(
        self, plan: Plan, url: BrokerUrl, questions: Sequence[Pcm], *, root_topic: str, ca_file: Path | None = None
    ) -> None:
        self._plan = plan
        self._url = url
        self._questions = questions
        self._topics = Topics(root_topic)
        self._ca_file = ca_file
        self._devices: list[SimulatedDevice] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._began = 0.0
        self._ended = 0.0
        self._cpu_began = 0.0
        self._cpu_s = 0.0
        self._late_s = 0.0
        self._literal = False
        self._stopped = False
        self.tally = Tally()

    async def run(self) -> None:
        """Simulate until the time is over and the last answers have been heard, or `stop` is called.

        Raises:
            BrokerUnavailable: there is no way to the broker.
            NothingCame: no gateway is there.
        """
        async with WatchedGateway(self._url, self._topics, self.tally.trouble, self._ca_file) as gateway:
            self._literal = gateway.literal
            await self._run()

    async def _run(self) -> None:
        if any(self._plan.form_of(index) == Codec.OPUS for index in range(self._plan.devices)):
            # The first Opus encoder imports for half a second, in which no device would be heard.
            await asyncio.to_thread(FrameWriter, FIRST_DEVICE_TURN, Codec.OPUS, SPEECH_RATE, CHUNK_MS)
        self._began, self._cpu_began = time.monotonic(), time.process_time()
        world = World(
            plan=self._plan,
            url=self._url,
            ca_file=self._ca_file,
            topics=self._topics,
            questions=self._questions,
            tally=self.tally,
            literal=self._literal,
            ends_at=self._began + self._plan.seconds,
        )
        self._devices = [SimulatedDevice(world, index) for index in range(self._plan.devices)]
        watching = asyncio.create_task(self._watch_itself(), name="watch itself")
        try:
            if not self._stopped:
                self._tasks = [asyncio.create_task(device.run(), name=device.spelling) for device in self._devices]
                # A defect of one device ends them all: it is this program's.
                await asyncio.wait(self._tasks, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            for task in self._tasks:
                task.cancel()
            ends = await asyncio.gather(*self._tasks, return_exceptions=True)
            watching.cancel()
            self._ended, self._cpu_s = time.monotonic(), time.process_time() - self._cpu_began
        for end in ends:
            if isinstance(end, Exception):
                raise end

    def stop(self) -> None:
        """End early: what is under way is not judged."""
        self._stopped = True
        for task in self._tasks:
            task.cancel()

    async def clean_up(self) -> str | None:
        """Have the gateway and the broker forget the devices, which have left; return why not, if it may not have
        worked."""
        return await forget_devices(self._url, self._topics, [each.spelling for each in self._devices], self._ca_file)

    @property
    def progress(self) -> Progress:
        tally = self.tally
        return Progress(
            seconds=time.monotonic() - self._began if self._began else 0.0,
            connected=tally.connected,
            answers=tally.answers,
            failed=tally.failed.total(),
            p95_ms=tally.first_sound_ms["p95"],
        )

    def as_data(self) -> dict[str, Any]:
        """What came of it, for scripts."""
        seconds = max(self._ended - self._began, 1e-9)
        spoilers = [device.spoiler for device in self._devices]
        return {
            "ok": self.tally.ok,
            "stopped_early": self._stopped,
            "seconds": round(seconds, 1),
            "devices": self._plan.devices,
            "slow_devices": sum(self._plan.is_slow(index) for index in range(self._plan.devices)),
            "memory_checked": self._literal,
            **self.tally.as_data(),
            "frames_sent": {
                "sent": sum(spoiler.sent for spoiler in spoilers),
                "lost": sum(spoiler.lost for spoiler in spoilers),
                "duplicated": sum(spoiler.duplicated for spoiler in spoilers),
                "reordered": sum(spoiler.reordered for spoiler in spoilers),
            },
            "simulator": {"cpu_cores": round(self._cpu_s / seconds, 2), "latest_ms": round(self._late_s * 1000)},
        }

    async def _watch_itself(self) -> None:
        """Measure how late this process is itself: what it hears late, it counts late."""
        while True:
            due = time.monotonic() + TICK_S
            await asyncio.sleep(TICK_S)
            self._late_s = max(self._late_s, time.monotonic() - due)
