"""Running totals, kept in the transaction that changes what they count."""

from collections.abc import Mapping
from datetime import date
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


class DayCounter(StrEnum):
    """What is counted day by day. The name of such a row begins with the day, so that days sort, and old ones go."""

    TURNS = "turns"
    FAILED = "failed"

    def of(self, day: date) -> str:
        return f"{day.isoformat()} {self.value}"


def add(
    db: Database,
    changes: Mapping[Counter, int],
    day: date | None = None,
    of_day: Mapping[DayCounter, int] | None = None,
) -> None:
    """Add to the totals, and `of_day` to those of the `day`. Last in a transaction, and in one order: every writer
    locks the same rows."""
    named = {counter.value: value for counter, value in changes.items()}
    if day is not None and of_day is not None:
        named |= {counter.of(day): value for counter, value in of_day.items()}
    rows = [{"name": name, "value": named[name]} for name in sorted(named) if named[name]]
    if rows:
        CounterRow.insert_many(rows).on_conflict(
            conflict_target=[CounterRow.name], update={CounterRow.value: CounterRow.value + EXCLUDED.value}
        ).as_rowcount().execute(db)


def read(db: Database) -> dict[Counter, int]:
    """Every total; 0 where nothing was counted yet."""
    stored = dict(CounterRow.select(CounterRow.name, CounterRow.value).tuples().execute(db))
    return {counter: int(stored.get(counter.value, 0)) for counter in Counter}


def read_day(db: Database, day: date) -> dict[DayCounter, int]:
    """What was counted on `day`; 0 where nothing was."""
    names = {counter.of(day): counter for counter in DayCounter}
    rows = CounterRow.select(CounterRow.name, CounterRow.value).where(CounterRow.name.in_(list(names)))
    stored = dict(rows.tuples().execute(db))
    return {counter: int(stored.get(name, 0)) for name, counter in names.items()}


def forget_days(db: Database, before: date) -> None:
    """Drop what was counted on the days before `before`."""
    # Digits sort before letters: only rows of days are below a day.
    CounterRow.delete().where(CounterRow.name < before.isoformat()).execute(db)
