"""`python -m benchmarks`: measure, and leave the results as JSON, a page and a picture."""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from benchmarks import latency
from benchmarks.documents import PAGE, PICTURE, keep, kept, measured, tell_all
from benchmarks.measurement import Benchmark, Place
from benchmarks.page import Document, page
from benchmarks.processes import broker, installed_broker
from benchmarks.registry import BENCHMARKS

RESULTS = Path(__file__).parent / "results"
PROFILE = "latency.pstats"
INTERRUPTED = 130
EXAMPLES = """\
examples:
  python -m benchmarks                       everything, in less than 15 minutes
  python -m benchmarks --quick               less of everything: some minutes, figures that say little
  python -m benchmarks storage costs         these two alone
  python -m benchmarks latency --json        the results on standard output, for a program
  python -m benchmarks latency --profile     no figures, but where the time goes, for python -m pstats

Results go to benchmarks/results: <name>.json of each, and results.md and results.svg of all that are there.
Exit status: 0 everything was measured (whether or not the goals were met), 1 something could not be, 2 wrong usage,
130 Ctrl-C."""


async def measure_all(
    benchmarks: Sequence[Benchmark], kind: str, tell: Callable[[str], None], *, quick: bool, results: Path
) -> list[Document]:
    """Measure each on a broker of `kind`, one after the other, and keep what came of each at once in `results`.

    One that fails does not end the others: its document says why.
    """
    documents = []
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as name:
        for benchmark in benchmarks:
            folder = Path(name) / benchmark.name
            folder.mkdir()
            # A broker for each: what one leaves retained there is not delivered to the next.
            async with broker(kind, folder) as (url, description):
                tell(f"{benchmark.name}: {benchmark.title}")
                place = Place(url, folder, partial(_tell_of, benchmark.name, tell), quick)
                document = await measured(benchmark, place, description)
            if "error" in document:
                tell(f"{benchmark.name} failed: {document['error']}")
            keep(results, document)
            documents.append(document)
    return documents


async def profile(
    benchmark: latency.Latency, kind: str, file: Path, tell: Callable[[str], None], *, quick: bool
) -> None:
    """Run `benchmark` with the gateway under cProfile, whose statistics go into `file`."""
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as name:
        async with broker(kind, Path(name)) as (url, _):
            await benchmark.measure(Place(url, Path(name), tell, quick), profile=file)


def _tell_of(name: str, tell: Callable[[str], None], text: str) -> None:
    tell(f"{name}: {text}")


def main() -> None:
    names = [benchmark.name for benchmark in BENCHMARKS]
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure what the gateway costs: "
        + "; ".join(f"{each.name} ({each.title})" for each in BENCHMARKS),
        epilog=EXAMPLES,
        formatter_class=_Help,
    )
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"which to run; all if none is named: {', '.join(names)}"
    )
    parser.add_argument("--quick", action="store_true", help="less of everything")
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="FOLDER", help="where the results go")
    parser.add_argument("--broker", choices=("mosquitto", "embedded"), default=installed_broker())
    parser.add_argument("--json", action="store_true", help="print the results as JSON instead of the page")
    parser.add_argument("--profile", action="store_true", help=f"write {PROFILE} of the gateway, and no figures")
    args = parser.parse_args()
    if unknown := [name for name in args.names if name not in names]:
        parser.error(f"there is no benchmark {unknown[0]}: choose from {', '.join(names)}")
    if args.profile and args.names not in ([], ["latency"]):
        parser.error("--profile is of the benchmark latency alone")
    try:
        sys.exit(run(args))
    except KeyboardInterrupt:
        print("interrupted; what was measured before is kept", file=sys.stderr)
        sys.exit(INTERRUPTED)


def run(args: argparse.Namespace) -> int:
    """Do what was asked for; the exit status."""
    began = time.monotonic()

    def tell(text: str) -> None:
        print(f"{time.monotonic() - began:5.0f} s  {text}", file=sys.stderr, flush=True)

    results = args.results.resolve()
    try:
        results.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        print(f"the results cannot go to {args.results}: {error.strerror}; --results names a folder", file=sys.stderr)
        return 1
    if args.profile:
        asyncio.run(profile(latency.BENCHMARK, args.broker, results / PROFILE, tell, quick=args.quick))
        print(f"python -m pstats {results / PROFILE}")
        return 0
    chosen = [benchmark for benchmark in BENCHMARKS if not args.names or benchmark.name in args.names]
    try:
        documents = asyncio.run(measure_all(chosen, args.broker, tell, quick=args.quick, results=results))
    finally:
        tell_all(results, kept(results, [benchmark.name for benchmark in BENCHMARKS]))
        tell(f"{PAGE}, {PICTURE} and the JSON of each are in {results}")
    print(json.dumps(documents, indent=2) if args.json else page(documents), end="\n" if args.json else "")
    return 1 if any("error" in document for document in documents) else 0


class _Help(argparse.RawDescriptionHelpFormatter):
    """Wraps the description, and leaves the examples as they are."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        if text is EXAMPLES:
            return text
        return argparse.HelpFormatter._fill_text(self, text, width, indent)


if __name__ == "__main__":
    main()
