"""Running totals, kept in the transaction that changes what they count."""

from collections.abc import Mapping
from enum import StrEnum

from peewee import EXCLUDED, Database

from gateway.store.models import CounterRow


class Counter(StrEnum):
    """The totals. Those of a turn's outcome have the name of the outcome."""

    SESSIONS = "sessions"
    CONVERSATIONS = "conversations"
    """Sessions with at least one message."""
    MESSAGES = "messages"
    COMPLETED = "completed"
    INTERRUPTED = "interrupted"
    SILENT = "silent"
    FAILED = "failed"
    LOST = "lost"
    DUPLICATE = "duplicate"
    CACHE_HITS = "cache_hits"
    CACHE_ENTRIES = "cache_entries"
    CACHE_BYTES = "cache_bytes"


def add(db: Database, changes: Mapping[Counter, int]) -> None:
    """Add to the totals. Last in a transaction, and in one order: every writer locks the same rows."""
    rows = [{"name": counter.value, "value": changes[counter]} for counter in sorted(changes) if changes[counter]]
    if rows:
        CounterRow.insert_many(rows).on_conflict(
            conflict_target=[CounterRow.name], update={CounterRow.value: CounterRow.value + EXCLUDED.value}
        ).as_rowcount().execute(db)


def read(db: Database) -> dict[Counter, int]:
    """Every total; 0 where nothing was counted yet."""
    stored = dict(CounterRow.select(CounterRow.name, CounterRow.value).tuples().execute(db))
    return {counter: int(stored.get(counter.value, 0)) for counter in Counter}
