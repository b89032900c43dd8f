from collections.abc import Sequence

import pytest

from gateway.reports.stats import percentile


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [
        ([], 0.5, None),
        ([7], 0.5, 7),
        ([7], 0.95, 7),
        ([2, 1], 0.5, 1),
        ([3, 1, 2], 0.5, 2),
        (range(1, 21), 0.5, 10),
        (range(1, 21), 0.95, 19),
        (range(1, 22), 0.95, 20),
    ],
)
def test_a_percentile_is_the_nearest_rank(values: Sequence[int], share: float, expected: int | None) -> None:
    assert percentile(values, share) == expected
