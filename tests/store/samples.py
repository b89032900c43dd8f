"""What the tests of the store put into it."""

from datetime import UTC, datetime
from typing import Any

from peewee import chunked

from gateway.store import counters
from gateway.store.counters import Counter
from gateway.store.database import parse_url
from gateway.store.models import Conversation, MessageRow, TurnRow
from gateway.values import DeviceAddress, Outcome, TurnKind, TurnRecord, parse_device_id

NOW = datetime(2026, 3, 29, 1, 30, 0, 123456, tzinfo=UTC)
MANY = 1000
LONG = 10_000
"""Messages of a conversation that is too long to be erased in one go."""


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


def long_conversation(url: str, of: DeviceAddress, messages: int, at: datetime) -> None:
    """Put a conversation with half as many turns as `messages` into the database of `url`, which has its tables: the
    text of message n is "line n"."""
    db = parse_url(url, 5, create=False).open()
    with db.atomic():
        Conversation.insert(
            session_id=of.id,
            spelling=of.spelling,
            epoch=7,
            created_at=at,
            updated_at=at,
            message_count=messages,
            device_info={},
        ).execute(db)
        line = {"session_id": of.id, "role": "user", "created_at": at}
        lines = (line | {"id": 1 + n, "text": f"line {n}"} for n in range(messages))
        for some in chunked(lines, 1000):
            MessageRow.insert_many(some).as_rowcount().execute(db)
        record = {"session_id": of.id, "turn": 1, "kind": "speech", "outcome": "completed", "started_at": at}
        record |= dict.fromkeys(("heard", "said", "language"), "") | {"cached": False, "timings": {}}
        record |= dict.fromkeys(("chunks", "bytes", "lost", "duplicate", "late"), 0)
        for some in chunked([record] * (messages // 2), 500):
            TurnRow.insert_many(some).as_rowcount().execute(db)
        counters.add(db, {Counter.SESSIONS: 1, Counter.CONVERSATIONS: 1, Counter.MESSAGES: messages})
    db.close()
