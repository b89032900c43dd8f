"""How many devices one core carries: simulated ones, more and more, until an answer does not pass a check."""

import secrets
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.measurement import Bar, Chart, Goal, Place, Result
from benchmarks.processes import Part, part
from benchmarks.tables import table
from gateway.audio import Pcm
from gateway.broker.url import parse_broker_url
from gateway.cli.questions import spoken_questions
from gateway.config import Settings
from gateway.simulator import Plan, Simulation

LANGUAGE = "en"
QUESTIONS = ("What time is it?", "Who are you?", "What did I ask before?")
"""Phrases that the test model knows."""
PAUSE_S = 5.0
PATIENCE_S = 2.0
RAMP_SHARE = 0.1
FINE = 1.15
"""The search ends when this many times the devices of the last step that passed did not."""
INSTANT, OFFLINE = "engines that take no time", "test model, offline, espeak"


@dataclass(frozen=True, slots=True)
class DevicesSizes:
    """Steps of `seconds` each, the first with so many devices as `first` says for the engines; no step begins later
    than `search_s` after the first one."""

    first: dict[str, int]
    seconds: float
    search_s: float


FULL = DevicesSizes({INSTANT: 50, OFFLINE: 8}, seconds=10, search_s=55)
QUICK = DevicesSizes({INSTANT: 20, OFFLINE: 4}, seconds=5, search_s=15)


@dataclass(frozen=True, slots=True)
class Step:
    """What came of so many devices. `failed` names the checks that an answer did not pass, most often failed first;
    `late_ms` is how late the simulator was itself at worst."""

    devices: int
    answers: int
    failed: tuple[str, ...]
    first_sound_p95_ms: int | None
    gateway_cores: float
    gateway_ms_an_answer: float
    simulator_cores: float
    late_ms: int

    @property
    def passed(self) -> bool:
        return not self.failed


@dataclass(frozen=True)
class Devices:
    full: DevicesSizes = FULL
    quick: DevicesSizes = QUICK
    name: str = "devices"
    title: str = "Devices a core"

    async def measure(self, place: Place) -> Result:
        sizes = self.quick if place.quick else self.full
        questions = await _questions()
        result: Result = {"pause_s": PAUSE_S, "patience_s": PATIENCE_S, "seconds": sizes.seconds, "engines": {}}
        for number, (engines, first) in enumerate(sizes.first.items()):
            folder = place.folder / f"data-{number}"
            async with part("gateway", url=place.url, folder=folder, offline=engines == OFFLINE) as gateway:
                steps = await _search(place, gateway, questions, first, sizes)
            result["engines"][engines] = _summary(steps)
        return result

    def section(self, result: Result) -> str:
        told = (
            f"Devices of the simulator ask in frames of PCM, listen as a board does, rest {result['pause_s']:g} s on"
            f" average and ask again, for {result['seconds']:g} s a step. Every answer must pass every check of"
            f" `voice-gateway simulate`, with its first sound within {result['patience_s']:g} s. Broker and simulator"
            " are on the same machine; *late* is how late the simulator was itself, at worst, and what it hears late it"
            " judges late. *Devices a core* are those of the largest step that passed, by the cores that the gateway"
            " used then: where the simulator was at its limit before the gateway, the machine carries fewer."
        )
        parts = [told]
        for engines, each in result["engines"].items():
            parts += [f"### {engines.capitalize()}: {_carried(each)}", table(_HEADS, _rows(each["steps"]))]
        return "\n\n".join(parts)

    def charts(self, result: Result) -> list[Chart]:
        bars = [Bar(engines, each["devices_a_core"]) for engines, each in result["engines"].items()]
        return [Chart("Devices a core", "", tuple(bar for bar in bars if bar.value))]

    def goals(self, result: Result) -> list[Goal]:
        return []


BENCHMARK = Devices()

_HEADS = (
    "devices",
    "answers",
    "checks failed",
    "first sound, 95 %, ms",
    "gateway, cores",
    "CPU ms an answer",
    "simulator, cores",
    "late, ms",
)


async def _questions() -> list[Pcm]:
    spoken = await spoken_questions(Settings(), {}, [(text, LANGUAGE) for text in QUESTIONS])
    return [question.speech for question in spoken.values()]


async def _search(place: Place, gateway: Part, questions: Sequence[Pcm], first: int, sizes: DevicesSizes) -> list[Step]:
    """Double the devices until an answer does not pass, or halve them until all do, then go between the two."""
    ends_at = time.monotonic() + sizes.search_s
    steps: list[Step] = []
    devices: int | None = first
    while devices is not None and time.monotonic() < ends_at:
        place.tell(f"{devices} devices")
        steps.append(await _step(place, gateway, questions, devices, sizes.seconds))
        devices = next_devices(steps)
    return steps


def next_devices(steps: Sequence[Step]) -> int | None:
    """How many are tried next; None when it is known well enough how many pass."""
    passed = max((step.devices for step in steps if step.passed), default=0)
    failed = min((step.devices for step in steps if not step.passed), default=None)
    if failed is None:
        return 2 * passed
    if not passed:
        return failed // 2 or None
    between = (passed + failed) // 2
    return between if failed > passed * FINE and passed < between < failed else None


async def _step(place: Place, gateway: Part, questions: Sequence[Pcm], devices: int, seconds: float) -> Step:
    plan = Plan(
        devices=devices,
        seconds=seconds,
        run=secrets.token_hex(2),
        language=LANGUAGE,
        ramp_s=seconds * RAMP_SHARE,
        patience_s=PATIENCE_S,
        pause_s=PAUSE_S,
    )
    simulation = Simulation(plan, parse_broker_url(place.url), questions, root_topic="voice")
    before = (await gateway.ask("usage"))["cpu_s"]
    await simulation.run()
    cpu_s = (await gateway.ask("usage"))["cpu_s"] - before
    told = simulation.as_data()
    await simulation.clean_up()
    failed = [check.value for check, _ in simulation.tally.failed.most_common()]
    if not simulation.tally.ok and not failed:
        failed = list(told["troubles"]) or ["no answer"]
    return Step(
        devices,
        told["answers"],
        tuple(failed),
        told["first_sound_ms"]["p95"],
        round(cpu_s / told["seconds"], 2),
        round(cpu_s * 1000 / max(1, told["answers"]), 1),
        told["simulator"]["cpu_cores"],
        told["simulator"]["latest_ms"],
    )


def _summary(steps: Sequence[Step]) -> dict[str, Any]:
    best = max((step for step in steps if step.passed), key=lambda step: step.devices, default=None)
    first_failure = min((step for step in steps if not step.passed), key=lambda step: step.devices, default=None)
    return {
        "devices": best.devices if best else 0,
        "devices_a_core": round(best.devices / best.gateway_cores) if best else 0,
        "first_failure": asdict(first_failure) if first_failure else None,
        "steps": [asdict(step) for step in steps],
    }


def _carried(each: dict[str, Any]) -> str:
    if not each["devices"]:
        return "no step passed"
    failure = each["first_failure"]
    end = f"at {failure['devices']} failed: {failure['failed'][0]}" if failure else "none failed in the time given"
    return f"{each['devices']} devices, {each['devices_a_core']} a core; {end}"


def _rows(steps: Sequence[dict[str, Any]]) -> list[tuple[object, ...]]:
    return [
        (
            step["devices"],
            step["answers"],
            ", ".join(step["failed"]) or "none",
            step["first_sound_p95_ms"],
            f"{step['gateway_cores']:.2f}",
            step["gateway_ms_an_answer"],
            f"{step['simulator_cores']:.2f}",
            step["late_ms"],
        )
        for step in steps
    ]
