"""The results' folder: a JSON file for each benchmark, and one page and one picture of all of them.

A file holds what its benchmark made of its own figures (section, charts, goals) beside them, so that the page shows
what earlier runs left there as they told it.
"""

import json
import os
import platform
import time
import traceback
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.measurement import Benchmark, Place
from benchmarks.page import Document, page
from benchmarks.picture import picture
from gateway import __version__

PAGE, PICTURE = "results.md", "results.svg"
_CAPTION = "Thin lines reach from the least to the greatest round, or where it says so to the 95th percentile."


async def measured(benchmark: Benchmark, place: Place, broker: str) -> Document:
    """Run `benchmark`; the document says what came of it, or the error that ended it (on standard error: where)."""
    load_before, began = load(), time.monotonic()
    document: Document = {
        "name": benchmark.name,
        "title": benchmark.title,
        "when": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "version": __version__,
        "quick": place.quick,
        "broker": broker,
        "machine": machine(),
    }
    try:
        result = await benchmark.measure(place)
        document |= {
            "result": result,
            "section": benchmark.section(result),
            "charts": [asdict(chart) for chart in benchmark.charts(result)],
            "goals": [asdict(goal) for goal in benchmark.goals(result)],
        }
    except Exception as error:
        traceback.print_exception(error)
        document["error"] = f"{type(error).__name__}: {error}"
    document["seconds"] = round(time.monotonic() - began, 1)
    document["load"] = {"before": load_before, "after": load()}
    # As it will be read again: without tuples.
    return dict(json.loads(json.dumps(document)))


def keep(folder: Path, document: Document) -> None:
    """Write the document's file."""
    (folder / f"{document['name']}.json").write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def kept(folder: Path, names: list[str]) -> list[Document]:
    """The documents of `names` that are there."""
    files = [folder / f"{name}.json" for name in names]
    return [json.loads(file.read_text(encoding="utf-8")) for file in files if file.exists()]


def tell_all(folder: Path, documents: list[Document]) -> None:
    """Write the page and the picture of all `documents`."""
    charts = [chart for document in documents for chart in document.get("charts", ())]
    (folder / PICTURE).write_text(picture(charts), encoding="utf-8")
    text = page(documents) + (f"\n![All figures]({PICTURE})\n\n{_CAPTION}\n" if charts else "")
    (folder / PAGE).write_text(text, encoding="utf-8")


def load() -> float | None:
    """The load average of the last minute, where the system keeps one."""
    return round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None


def machine() -> dict[str, object]:
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }


def _cpu() -> str:
    """The processor's name, as far as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown processor"
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), "unknown processor")
