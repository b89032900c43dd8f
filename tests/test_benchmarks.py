"""The benchmarks run, and their results have the shape that the page shows. No figure is asserted."""

from pathlib import Path

from benchmarks.__main__ import measure_all, profile
from benchmarks.page import page, picture
from benchmarks.processes import installed_broker
from benchmarks.sizes import LatencySizes, MemorySizes, Sizes, ThroughputSizes

TINY = Sizes(
    (LatencySizes(devices=2, questions=1, rounds=1, pause_s=(0.0, 0.05)),),
    ThroughputSizes(devices=2, publishers=2, frames=50, rounds=1),
    MemorySizes(warm_up=2, counts=(3,), traced=3),
)


def ignore(progress: str) -> None:
    pass


async def test_everything_is_measured_and_told() -> None:
    result = await measure_all(TINY, installed_broker(), ignore)
    (latency,) = result["latency"]
    assert latency["questions"] == 2
    for side in ("gateway", "echo"):
        assert 0 < latency[side]["p50_ms"]["median"] <= latency[side]["p95_ms"]["median"]
    throughput = result["throughput"]
    assert throughput["messages"] == 100
    for side in ("gateway", "aiomqtt"):
        assert throughput[side]["messages_a_second"]["median"] > 0
        assert throughput[side]["lost"] == 0
    assert [each["devices"] for each in result["memory"]["resident"]] == [3]
    assert result["memory"]["traced"]["bytes_a_session"] > 0
    told = page(result)
    assert f"Broker: {installed_broker()}" in told
    assert "| gateway | " in told
    assert picture(result).count("<rect") == 1 + 4 + 2


async def test_the_gateway_is_profiled_with_the_embedded_broker(tmp_path: Path) -> None:
    await profile(TINY, "embedded", tmp_path / "gateway.pstats", ignore)
    assert (tmp_path / "gateway.pstats").stat().st_size > 0
