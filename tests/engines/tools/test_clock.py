from datetime import UTC

import pytest

from gateway.engines.tools.clock import Clock, told
from gateway.errors import ToolFailed
from tests.conformance.tools import CONTEXT, ToolboxConformance


class TestClock(ToolboxConformance):
    @pytest.fixture
    def toolbox(self) -> Clock:
        return Clock()

    async def test_tells_the_time_where_the_device_is(self, toolbox: Clock) -> None:
        assert await toolbox.call("get_time", {}, CONTEXT) == "Sunday 2026-11-22 17:05 (CET, UTC+01:00)"

    @pytest.mark.parametrize("zone", ["Asia/Tokyo", "asia/tokyo", "Tokyo", " tokyo "])
    async def test_tells_it_elsewhere_by_zone_or_by_city(self, toolbox: Clock, zone: str) -> None:
        assert await toolbox.call("get_time", {"zone": zone}, CONTEXT) == "Monday 2026-11-23 01:05 (JST, UTC+09:00)"

    async def test_a_city_may_have_a_name_of_two_words(self, toolbox: Clock) -> None:
        assert (await toolbox.call("get_time", {"zone": "New York"}, CONTEXT)).startswith("Sunday 2026-11-22 11:05")

    async def test_an_unknown_place_is_answered_with_the_nearest(self, toolbox: Clock) -> None:
        with pytest.raises(ToolFailed, match="did you mean Europe/Madrid"):
            await toolbox.call("get_time", {"zone": "Europe/Madird"}, CONTEXT)


def test_the_offset_is_told_with_its_sign() -> None:
    assert told(CONTEXT.now.astimezone(UTC)) == "Sunday 2026-11-22 16:05 (UTC, UTC+00:00)"
