"""How long a server asks to be left alone."""

import email.utils
import math
import time

LONGEST_REST_S = 3600.0
"""A server that asks for more is asked again after an hour."""


def retry_after_s(header: str | None) -> float | None:
    """The seconds that a Retry-After header means (a number or a date), None where it makes no sense."""
    if header is None:
        return None
    try:
        seconds = float(header)
    except ValueError:
        date = email.utils.parsedate_tz(header)
        if date is None:
            return None
        seconds = email.utils.mktime_tz(date) - time.time()
    return None if math.isnan(seconds) else min(max(seconds, 0.0), LONGEST_REST_S)
