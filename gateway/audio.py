"""Blocks of samples and what is done to them without any input or output."""

from dataclasses import dataclass

import numpy as np
import soxr
from numpy.typing import NDArray

SPEECH_RATE = 16_000
"""Hz. What every recogniser and the voice activity detector take."""
SPEECH_WINDOW = 512
"""Samples at that rate that the voice activity detector judges at a time: 32 ms."""


@dataclass(frozen=True, slots=True)
class Pcm:
    """Mono audio: `samples` is int16 of shape (n,), `rate` in Hz."""

    samples: NDArray[np.int16]
    rate: int

    @property
    def seconds(self) -> float:
        return len(self.samples) / self.rate


def to_int16(samples: NDArray[np.float32]) -> NDArray[np.int16]:
    """Turn float32 samples in -1..1 into int16; what lies outside is clipped."""
    clipped: NDArray[np.float32] = np.clip(samples, -1.0, 1.0) * np.float32(32767.0)
    return clipped.astype(np.int16)


def to_float32(samples: NDArray[np.int16]) -> NDArray[np.float32]:
    """Turn int16 samples into float32 in -1..1."""
    return samples.astype(np.float32) / np.float32(32768.0)


def resample(samples: NDArray[np.float32], rate: int, to_rate: int) -> NDArray[np.float32]:
    """Resample a whole mono signal of shape (n,) from `rate` to `to_rate` Hz."""
    if rate == to_rate or len(samples) == 0:
        return samples
    return np.asarray(soxr.resample(samples, rate, to_rate, quality="HQ"), dtype=np.float32)
