"""The announcements that wait to be spoken on one device: by priority, then in the order of their arrival; bounded.
Pure: the time is passed in."""

from collections.abc import Callable
from dataclasses import dataclass

from gateway.values import Announcement, Priority

WAITING_MAX = 8
"""Announcements of one device that wait."""

_RANKS = {priority: rank for rank, priority in enumerate(Priority)}


@dataclass(frozen=True, slots=True)
class Waiting:
    """An announcement, and until when (of the monotonic clock) it may wait to be begun."""

    announcement: Announcement
    until: float

    @property
    def rank(self) -> int:
        return _RANKS[self.announcement.priority]

    @property
    def is_urgent(self) -> bool:
        return self.announcement.priority is Priority.URGENT


class Announcements:
    """Holds up to `WAITING_MAX`."""

    def __init__(self) -> None:
        self._waiting: list[Waiting] = []

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, announcement: Announcement, now: float) -> Announcement | None:
        """Take an announcement; return the one for which there is no room: the newest of the lowest priority, which
        may be `announcement` itself. None: there was room for all."""
        waiting = Waiting(announcement, now + announcement.ttl_s)
        # Behind all of its priority and above.
        place = next((at for at, each in enumerate(self._waiting) if each.rank < waiting.rank), len(self._waiting))
        self._waiting.insert(place, waiting)
        return self._waiting.pop().announcement if len(self._waiting) > WAITING_MAX else None

    @property
    def first(self) -> Waiting | None:
        """The one whose turn it is."""
        return self._waiting[0] if self._waiting else None

    @property
    def next_end(self) -> float | None:
        """When the next one has waited for too long; None if none waits."""
        return min((each.until for each in self._waiting), default=None)

    def take(self) -> Announcement:
        """Return the first, which there must be, and hold it no longer."""
        return self._waiting.pop(0).announcement

    def take_expired(self, now: float) -> list[Announcement]:
        """Return those that have waited for too long, and hold them no longer."""
        return self._take(lambda each: each.until <= now)

    def take_hopeless(self, opens_at: float) -> list[Announcement]:
        """Return those that are not urgent and may not wait until `opens_at`, and hold them no longer."""
        return self._take(lambda each: not each.is_urgent and each.until < opens_at)

    def take_all(self) -> list[Announcement]:
        return self._take(lambda _: True)

    def _take(self, wanted: Callable[[Waiting], bool]) -> list[Announcement]:
        taken = [each.announcement for each in self._waiting if wanted(each)]
        self._waiting = [each for each in self._waiting if not wanted(each)]
        return taken
