"""What waits to be spoken on one device: in which order, how much of it, and for how long."""

from itertools import permutations

import pytest

from gateway.session.announcements import WAITING_MAX, Announcements
from gateway.values import Announcement, Priority, TurnKind


def announcement(name: str, priority: Priority = Priority.NORMAL, ttl_s: float = 100) -> Announcement:
    return Announcement(name, TurnKind.SAY, name, priority=priority, ttl_s=ttl_s)


def taken(announcements: Announcements) -> list[str]:
    return [announcements.take().id for _ in range(len(announcements))]


@pytest.mark.parametrize("order", list(permutations(Priority)))
def test_what_matters_more_comes_first(order: tuple[Priority, ...]) -> None:
    announcements = Announcements()
    for priority in order:
        announcements.put(announcement(priority, priority), 0)
    assert taken(announcements) == ["urgent", "high", "normal", "low"]


def test_of_what_matters_as_much_the_first_that_came_comes_first() -> None:
    announcements = Announcements()
    for name in ("a", "b"):
        for priority in (Priority.LOW, Priority.HIGH):
            announcements.put(announcement(name + priority[0], priority), 0)
    assert taken(announcements) == ["ah", "bh", "al", "bl"]


def test_one_of_a_higher_priority_displaces_the_newest_of_the_lowest() -> None:
    announcements = Announcements()
    names = ["low 1", "low 2", *(f"normal {number}" for number in range(WAITING_MAX - 2))]
    for name in names:
        assert announcements.put(announcement(name, Priority(name.split()[0])), 0) is None
    gave_way = [announcements.put(announcement(f"high {number}", Priority.HIGH), 0) for number in range(3)]
    assert [each and each.id for each in gave_way] == ["low 2", "low 1", f"normal {WAITING_MAX - 3}"]
    assert len(announcements) == WAITING_MAX
    assert taken(announcements)[:3] == ["high 0", "high 1", "high 2"]


def test_one_that_matters_no_more_than_those_that_wait_is_not_taken() -> None:
    announcements = Announcements()
    for number in range(WAITING_MAX):
        announcements.put(announcement(str(number)), 0)
    for priority in (Priority.LOW, Priority.NORMAL):
        late = announcement("late", priority)
        assert announcements.put(late, 0) is late
    assert taken(announcements) == [str(number) for number in range(WAITING_MAX)]


def test_each_waits_for_as_long_as_it_may() -> None:
    announcements = Announcements()
    assert announcements.next_end is None
    announcements.put(announcement("long", ttl_s=30), 5)
    announcements.put(announcement("short", Priority.LOW, ttl_s=10), 5)
    assert announcements.next_end == 15
    assert announcements.take_expired(14.9) == []
    assert [each.id for each in announcements.take_expired(15)] == ["short"]
    assert announcements.next_end == 35
    assert [each.id for each in announcements.take_expired(99)] == ["long"]
    assert len(announcements) == 0


def test_what_is_not_urgent_and_may_not_wait_for_long_enough_is_known() -> None:
    announcements = Announcements()
    for name, priority, ttl_s in (("short", "normal", 10), ("long", "low", 30), ("urgent", "urgent", 10)):
        announcements.put(announcement(name, Priority(priority), ttl_s), 0)
    assert [each.id for each in announcements.take_hopeless(20)] == ["short"]
    assert taken(announcements) == ["urgent", "long"]
