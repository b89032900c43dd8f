"""How much of something is let through in a stretch of time. Pure."""

from collections import deque


class SlidingWindow:
    """Lets at most `limit` through in any `window_s` seconds, and counts the others.

    Memory is bounded by `limit`. The time in seconds (of any monotonic clock) is passed in.
    """

    def __init__(self, limit: int, window_s: float) -> None:
        self._limit = limit
        self._window_s = window_s
        self._let_through: deque[float] = deque()
        self._refused = 0

    def full(self, now: float) -> bool:
        """Tell whether one at `now` would not pass, without counting it."""
        while self._let_through and self._let_through[0] <= now - self._window_s:
            self._let_through.popleft()
        return len(self._let_through) >= self._limit

    def allows(self, now: float) -> bool:
        """Count one at `now`, and tell whether it may pass."""
        if self.full(now):
            self._refused += 1
            return False
        self._let_through.append(now)
        return True

    def take_refused(self) -> int:
        """Return how many were refused since this was last asked."""
        refused, self._refused = self._refused, 0
        return refused
