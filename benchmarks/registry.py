"""All benchmarks, in the order of the page. A new one is a module with `BENCHMARK`, and a line here."""

from benchmarks import costs, devices, first_sound, latency, messages, recognition, storage
from benchmarks.measurement import Benchmark

BENCHMARKS: tuple[Benchmark, ...] = (
    latency.BENCHMARK,
    first_sound.BENCHMARK,
    recognition.BENCHMARK,
    messages.BENCHMARK,
    devices.BENCHMARK,
    costs.BENCHMARK,
    storage.BENCHMARK,
)
