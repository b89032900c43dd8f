"""The benchmarks run, and what they tell has the shape that the page and the picture show. No figure is asserted."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks.__main__ import measure_all, profile
from benchmarks.costs import Costs, CostsSizes
from benchmarks.devices import INSTANT, OFFLINE, Devices, DevicesSizes, Step, next_devices
from benchmarks.documents import kept, tell_all
from benchmarks.first_sound import FirstSound, FirstSoundSizes
from benchmarks.latency import Latency, LatencySizes
from benchmarks.measurement import Benchmark
from benchmarks.memory import MemorySizes
from benchmarks.messages import Messages, Sizes
from benchmarks.million import Filling
from benchmarks.page import Document
from benchmarks.processes import installed_broker
from benchmarks.recognition import Recognition
from benchmarks.recognition import Sizes as RecognitionSizes
from benchmarks.registry import BENCHMARKS
from benchmarks.storage import Storage, StorageSizes
from benchmarks.streams import StreamSizes
from benchmarks.throughput import ThroughputSizes

LATENCY = Latency(quick=(LatencySizes(devices=2, questions=1, rounds=1, pause_s=(0.0, 0.05)),))
TINY: Sequence[Benchmark] = (
    LATENCY,
    FirstSound(quick=FirstSoundSizes(sentences=(1,), rounds=1, ways=("answer",))),
    Recognition(quick=RecognitionSizes({"tiny": (1, 1)}, devices=2)),
    Messages(
        quick=Sizes(
            ThroughputSizes(devices=2, publishers=2, frames=50, rounds=1),
            (StreamSizes(devices=3, chunk_bytes=1024, seconds=0.3),),
            MemorySizes(warm_up=2, counts=(3,), traced=3, raw=4),
        )
    ),
    Devices(quick=DevicesSizes({INSTANT: 2, OFFLINE: 1}, seconds=1.5, search_s=0.1)),
    Costs(quick=CostsSizes(windows=1, rounds=1)),
    Storage(
        quick=StorageSizes(
            Filling(messages=400, talker=100, devices=20, cached=20),
            turns=3,
            earlier=1,
            whole=LatencySizes(devices=2, questions=1, rounds=1, pause_s=(0.0, 0.05)),
        )
    ),
)
"""Every benchmark, with the least that it can be run with."""


def ignore(progress: str) -> None:
    pass


def test_every_benchmark_is_tried_here() -> None:
    assert [benchmark.name for benchmark in TINY] == [benchmark.name for benchmark in BENCHMARKS]


@pytest.mark.parametrize("benchmark", TINY, ids=[benchmark.name for benchmark in TINY])
async def test_it_measures_and_tells(benchmark: Benchmark, tmp_path: Path) -> None:
    (document,) = await measure_all([benchmark], installed_broker(), ignore, quick=True, results=tmp_path)
    assert "error" not in document, document["error"]
    assert json.loads((tmp_path / f"{benchmark.name}.json").read_text()) == document
    assert "| " in document["section"]
    assert document["charts"]
    for chart in document["charts"]:
        for bar in chart["bars"]:
            assert bar["label"]
            assert math.isfinite(bar["value"])
            assert (bar["low"] is None) == (bar["high"] is None)
    assert all(goal["text"] and isinstance(goal["met"], bool) for goal in document["goals"])
    assert_told([document], tmp_path)


@pytest.mark.parametrize(
    ("tried", "next_one"),
    [
        ([(50, True)], 100),
        ([(50, True), (100, True)], 200),
        ([(50, True), (100, False)], 75),
        ([(50, True), (100, False), (75, True)], 87),
        ([(50, True), (100, False), (75, False)], 62),
        ([(50, True), (100, False), (75, True), (81, False)], None),
        ([(4, False)], 2),
        ([(4, False), (2, False)], 1),
        ([(4, False), (2, False), (1, False)], None),
        ([(1, True), (2, False)], None),
    ],
)
def test_the_number_of_devices_is_searched_for(tried: list[tuple[int, bool]], next_one: int | None) -> None:
    steps = [Step(devices, 1, () if passed else ("in time",), 1, 0.1, 1.0, 0.1, 1) for devices, passed in tried]
    assert next_devices(steps) == next_one


def assert_told(documents: list[Document], folder: Path) -> None:
    """The page and the picture of `folder` show what `documents` hold."""
    tell_all(folder, kept(folder, [document["name"] for document in documents]))
    page, picture = (folder / "results.md").read_text(), (folder / "results.svg").read_text()
    bars = 0
    for document in documents:
        assert document["section"] in page
        assert all(goal["text"] in page for goal in document["goals"])
        bars += sum(len(chart["bars"]) for chart in document["charts"])
    drawn = ElementTree.fromstring(picture)
    assert len(drawn.findall(".//{http://www.w3.org/2000/svg}rect")) == bars


async def test_the_gateway_is_profiled_with_the_embedded_broker(tmp_path: Path) -> None:
    await profile(LATENCY, "embedded", tmp_path / "gateway.pstats", ignore, quick=True)
    assert (tmp_path / "gateway.pstats").stat().st_size > 0
