from gateway.limits import SlidingWindow


def test_at_most_so_many_pass_in_any_stretch_of_time() -> None:
    window = SlidingWindow(3, 10.0)
    passed = [now for now in range(0, 40, 2) if window.allows(float(now))]
    assert passed == [0, 2, 4, 10, 12, 14, 20, 22, 24, 30, 32, 34]


def test_those_refused_are_counted_until_asked_for() -> None:
    window = SlidingWindow(1, 10.0)
    assert [window.allows(0.0) for _ in range(4)] == [True, False, False, False]
    assert window.take_refused() == 3
    assert window.take_refused() == 0
