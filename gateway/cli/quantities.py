"""Reads shares and times as people write them."""

import math

from gateway.errors import ConfigurationError

_SECONDS = {"ms": 0.001, "min": 60.0, "s": 1.0, "": 1.0}
"""By unit, those first that end like another."""


def share(option: str, text: str) -> float:
    """Read what `option` was given: `2%` or `0.02`; return 0 to 1.

    Raises:
        ConfigurationError: it is no share.
    """
    number = _number(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    if not 0 <= number <= 1:
        raise ConfigurationError(f"{option} is a share such as 2% or 0.02, not {text!r}")
    return number


def seconds(option: str, text: str) -> float:
    """Read what `option` was given: `30ms`, `2s`, `1.5` or `2min`.

    Raises:
        ConfigurationError: it is no time.
    """
    unit = next(unit for unit in _SECONDS if text.endswith(unit))
    number = _number(text.removesuffix(unit)) * _SECONDS[unit]
    if not 0 <= number < math.inf:
        raise ConfigurationError(f"{option} is a time such as 30ms, 2s or 1min, not {text!r}")
    return number


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
