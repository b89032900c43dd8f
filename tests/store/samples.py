"""What the tests of the store put into it."""

from datetime import UTC, datetime
from typing import Any

from gateway.values import DeviceAddress, Outcome, TurnKind, TurnRecord, parse_device_id

NOW = datetime(2026, 3, 29, 1, 30, 0, 123456, tzinfo=UTC)
MANY = 1000


def device(spelling: str) -> DeviceAddress:
    return DeviceAddress(parse_device_id(spelling), spelling)


KITCHEN = device("A4:CF:12:8B:3F:9E")
HALL = device("hall")


def turn(of: DeviceAddress = KITCHEN, heard: str = "hello", said: str = "hi", **changes: Any) -> TurnRecord:
    """A completed, spoken turn, but for `changes`."""
    fields: dict[str, Any] = {
        "turn": 1,
        "kind": TurnKind.SPEECH,
        "outcome": Outcome.COMPLETED,
        "started_at": NOW,
        "language": "en",
    }
    return TurnRecord(device=of, heard=heard, said=said, **(fields | changes))
