"""What every benchmark is: it measures at a place, and tells its result as text, charts and goals."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

Result = dict[str, Any]
"""What was measured, as JSON knows it."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One figure of a chart, with the least and the greatest of the rounds where there were several. Bars whose labels
    agree up to the first comma have one colour."""

    label: str
    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Chart:
    """Bars of one scale, from 0; `unit` stands behind the values."""

    title: str
    unit: str
    bars: tuple[Bar, ...]


@dataclass(frozen=True, slots=True)
class Goal:
    """What was to be reached, with the figure that was: "p50 at most 3 times the echo's: 2.4"."""

    text: str
    met: bool


@dataclass(frozen=True, slots=True)
class Place:
    """Where a benchmark runs: the URL of a broker that nobody else uses, a fresh folder, somebody to tell of progress,
    and whether less of it is enough."""

    url: str
    folder: Path
    tell: Callable[[str], None]
    quick: bool


class Benchmark(Protocol):
    """One module each, whose `BENCHMARK` stands in `registry.py`."""

    @property
    def name(self) -> str:
        """As it is asked for on the command line; its results are `<name>.json`."""
        ...

    @property
    def title(self) -> str:
        """The headline of its section."""
        ...

    async def measure(self, place: Place) -> Result: ...

    def section(self, result: Result) -> str:
        """The result for people, in Markdown that reads well unrendered; its headlines begin at `###`."""
        ...

    def charts(self, result: Result) -> list[Chart]: ...

    def goals(self, result: Result) -> list[Goal]:
        """What was to be reached; none if `result` is of too little to say so."""
        ...
