"""The time and the date, here and elsewhere: what a chat model cannot know."""

import difflib
import zoneinfo
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any, Self

from gateway.config import Settings
from gateway.engines.protocols import ToolSpec
from gateway.engines.tools.protocol import ToolContext
from gateway.errors import ToolFailed

_SPEC = ToolSpec(
    "get_time",
    "The time, date and weekday now, where the user is or in another time zone.",
    {
        "type": "object",
        "properties": {
            "zone": {
                "type": "string",
                "description": "IANA time zone, such as Asia/Tokyo; leave it out for where the user is",
            }
        },
    },
)


class Clock:
    """Needs no network: the time zones come with the gateway."""

    name = "clock"
    description = "clock (time and date, here and in other time zones)"
    specs: Sequence[ToolSpec] = (_SPEC,)

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        return cls()

    async def start(self) -> None:
        """There is nothing to load."""

    async def close(self) -> None:
        """There is nothing to release."""

    async def check(self) -> str:
        return f"knows {len(_places())} places"

    async def call(self, function: str, arguments: Mapping[str, Any], context: ToolContext) -> str:
        zone = arguments.get("zone")
        if not zone:
            return told(context.now)
        if not isinstance(zone, str):
            raise ToolFailed("zone is the name of an IANA time zone, such as Asia/Tokyo")
        return told(context.now.astimezone(_zone_of(zone)))


def told(moment: datetime) -> str:
    """`moment`, with its zone, for a model to read: `Sunday 2026-11-22 17:05 (CET, UTC+01:00)`."""
    offset = f"{moment:%z}"
    return f"{moment:%A %Y-%m-%d %H:%M} ({moment:%Z}, UTC{offset[:3]}:{offset[3:5]})"


def _zone_of(place: str) -> zoneinfo.ZoneInfo:
    """The time zone called `place`, or the one whose city is."""
    wanted = place.strip().lower().replace(" ", "_")
    name = _places().get(wanted) or _places().get(wanted.rpartition("/")[2])
    if name is None:
        near = difflib.get_close_matches(wanted, _places(), n=1)
        hint = f"; did you mean {_places()[near[0]]}?" if near else ""
        raise ToolFailed(f"{place!r} is no IANA time zone{hint}")
    return zoneinfo.ZoneInfo(name)


@cache
def _places() -> Mapping[str, str]:
    """Every time zone by its name and, where it has one, by its city, in lower case."""
    zones = sorted(zoneinfo.available_timezones())
    cities = {zone.rpartition("/")[2].lower(): zone for zone in zones if "/" in zone and not zone.startswith("Etc/")}
    return cities | {zone.lower(): zone for zone in zones}
