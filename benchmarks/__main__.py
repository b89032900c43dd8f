"""`python -m benchmarks`: measure, and leave the results as JSON, a page and a picture."""

import argparse
import asyncio
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import latency, memory, throughput
from benchmarks.page import page, picture
from benchmarks.processes import broker, installed_broker
from benchmarks.sizes import FULL, QUICK, Sizes
from gateway import __version__

RESULTS = Path(__file__).parent / "results"
PROFILE = "latency.pstats"


async def measure_all(sizes: Sizes, kind: str, tell: Callable[[str], None]) -> dict[str, Any]:
    """Measure everything on a broker of `kind`."""
    load_before = _load()
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as name:
        folder = Path(name)
        async with broker(kind, folder) as (url, description):
            tell(f"broker: {description}")
            result = {
                "latency": await latency.measure(url, sizes.latency, folder / "latency", tell),
                "throughput": await throughput.measure(url, sizes.throughput, folder / "throughput", tell),
                "memory": await memory.measure(url, sizes.memory, folder / "memory", tell),
            }
    return {
        "when": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "version": __version__,
        "broker": description,
        "machine": {
            "cpu": _cpu(),
            "cores": os.cpu_count(),
            "system": f"{platform.system()} {platform.machine()}",
            "python": platform.python_version(),
            "load_before": load_before,
            "load_after": _load(),
        },
        **result,
    }


async def profile(sizes: Sizes, kind: str, file: Path, tell: Callable[[str], None]) -> None:
    """Run the latency measurement with the gateway under cProfile, whose statistics go into `file`."""
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as name:
        async with broker(kind, Path(name)) as (url, _):
            await latency.measure(url, sizes.latency, Path(name), tell, profile=file)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="less of everything: half a minute")
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="FOLDER", help="where the results go")
    parser.add_argument("--broker", choices=("mosquitto", "embedded"), default=installed_broker())
    parser.add_argument("--profile", action="store_true", help=f"write {PROFILE} of the gateway instead of figures")
    args = parser.parse_args()
    sizes = QUICK if args.quick else FULL
    args.results.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()

    def tell(text: str) -> None:
        print(f"{time.monotonic() - began:5.0f} s  {text}", file=sys.stderr, flush=True)

    if args.profile:
        file = args.results.resolve() / PROFILE
        asyncio.run(profile(sizes, args.broker, file, tell))
        print(f"python -m pstats {file}")
        return
    result = asyncio.run(measure_all(sizes, args.broker, tell))
    (args.results / "results.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    (args.results / "results.md").write_text(page(result), encoding="utf-8")
    (args.results / "results.svg").write_text(picture(result), encoding="utf-8")
    tell(f"results.json, results.md and results.svg are in {args.results}")
    print(page(result))


def _load() -> float | None:
    """The load average of the last minute, where the system keeps one."""
    return round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None


def _cpu() -> str:
    """The processor's name, as far as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown processor"
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), "unknown processor")


if __name__ == "__main__":
    main()
