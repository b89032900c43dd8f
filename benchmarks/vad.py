"""What it costs to follow speech: wall-clock time for a window of 32 ms, as the gateway's sessions ask for it."""

import asyncio
import time
from dataclasses import dataclass
from statistics import median

import numpy as np

from gateway.audio import SPEECH_RATE, SPEECH_WINDOW, to_int16
from gateway.engines.vad import SpeechDetector

STREAMS = 64
WINDOWS_A_CHUNK = 4
"""128 ms: the chunk of the firmware."""


@dataclass(frozen=True, slots=True)
class DetectionCosts:
    """Medians over the rounds, in µs a window, the way to the detector's thread and back included."""

    one_window: float
    """A stream alone that sends one window at a time (1 KiB of PCM)."""
    four_windows: float
    """A stream alone that sends four at a time (4 KiB)."""
    many_streams: float
    """`STREAMS` streams at once, each with four at a time."""
    many_streams_one_window: float
    """The same with one at a time."""


async def measure_detection(rounds: int = 30) -> DetectionCosts:
    """Measure all of them in turn, `rounds` times."""
    detector = SpeechDetector()
    await detector.start()
    try:
        ways = {"one_window": (1, 1), "four_windows": (1, WINDOWS_A_CHUNK)}
        ways |= {"many_streams": (STREAMS, WINDOWS_A_CHUNK), "many_streams_one_window": (STREAMS, 1)}
        costs: dict[str, list[float]] = {name: [] for name in ways}
        for round_number in range(rounds):
            for name, (streams, windows) in ways.items():
                costs[name].append(await _cost(detector, streams, windows, seed=round_number))
        return DetectionCosts(**{name: median(figures) for name, figures in costs.items()})
    finally:
        await detector.close()


async def _cost(detector: SpeechDetector, streams: int, windows: int, *, seed: int) -> float:
    """µs a window of `streams` streams that each send `windows` windows at a time, over about a second of audio or, of
    many streams, three chunks."""
    chunks = 3 if streams > 1 else SPEECH_RATE // SPEECH_WINDOW // windows
    noise = np.random.default_rng(seed).normal(0, 0.1, SPEECH_WINDOW * windows).astype(np.float32)
    chunk = to_int16(noise).tobytes()
    followed = [detector.stream(SPEECH_RATE) for _ in range(streams)]
    began = time.perf_counter()
    for _ in range(chunks):
        await asyncio.gather(*(stream.probabilities(chunk) for stream in followed))
    return (time.perf_counter() - began) * 1e6 / (streams * windows * chunks)
