"""Figures from samples."""

import math
from collections.abc import Sequence
from statistics import median


def percentile(samples: Sequence[float], share: float) -> float:
    """The sample below or at which `share` (0..1) of them lie."""
    return sorted(samples)[max(0, math.ceil(share * len(samples)) - 1)]


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, least and greatest of the rounds."""
    return {"median": median(values), "min": min(values), "max": max(values)}
