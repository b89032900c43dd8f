"""A database that has been in use for years, made in seconds: by statements of its own, not by a million turns."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from peewee import Database, PostgresqlDatabase

from gateway.store.database import parse_url
from gateway.store.migrations import migrate

NOW = datetime(2026, 3, 29, 12, 0, tzinfo=UTC)
"""When the measurement is, for the database."""
YEAR_S = 365 * 86_400
TALKER = "talker"
"""The device that said more than all others. It did so first: its rows are the oldest, far from where new ones go."""


@dataclass(frozen=True, slots=True)
class Filling:
    """`messages` in all, `talker` of them by one device, the others by `devices`, each of which has as many as every
    other, with those of the others in between; a turn for every two. `cached` answers are kept."""

    messages: int
    talker: int
    devices: int
    cached: int


def device_name(index: int) -> str:
    """The id of the ordinary device number `index`."""
    return f"device-{index}"


def fill(url: str, filling: Filling) -> float:
    """Make the database of `url` and fill it; returns the seconds that it took."""
    began = time.monotonic()
    with opened(url) as db:
        migrate(db)
        if isinstance(db, PostgresqlDatabase):
            db.execute_sql("SET statement_timeout = 0")
        with db.atomic():
            for statement in _statements(filling, postgres=isinstance(db, PostgresqlDatabase)):
                # PostgreSQL's driver takes a lone % for a placeholder.
                db.execute_sql(statement.replace("%", "%%") if isinstance(db, PostgresqlDatabase) else statement)
        if isinstance(db, PostgresqlDatabase):
            db.execute_sql("ANALYZE")  # what autovacuum does in the life of a database
    return time.monotonic() - began


@contextmanager
def opened(url: str) -> Iterator[Database]:
    """The database of `url`, past the store and its thread."""
    db = parse_url(url, 5, create=True).open()
    try:
        yield db
    finally:
        db.close()


def _statements(filling: Filling, *, postgres: bool) -> Iterator[str]:
    others = filling.messages - filling.talker
    each = others // filling.devices

    def at(seconds_ago: str) -> str:
        if postgres:
            return f"to_timestamp({NOW.timestamp():.0f} - ({seconds_ago}))"
        return f"strftime('%Y-%m-%d %H:%M:%S.000000+00:00', {NOW.timestamp():.0f} - ({seconds_ago}), 'unixepoch')"

    def series(count: int) -> str:
        return f"WITH RECURSIVE series (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM series WHERE i < {count - 1})"

    def lines(owner: str, count: int, ago: str) -> Iterator[str]:
        said = "'It is twenty to four in the afternoon, and outside it rains as it did before, number ' || i"
        yield (
            f"INSERT INTO messages (session_id, id, role, text, created_at) {series(count)} SELECT {owner}, i + 1,"
            " CASE i % 2 WHEN 0 THEN 'user' ELSE 'assistant' END,"
            f" CASE i % 2 WHEN 0 THEN 'What time is it, and does it rain? ' || i ELSE {said} END, {ago} FROM series"
        )
        yield (
            "INSERT INTO turns (session_id, turn, kind, outcome, started_at, heard, said, language, cached, chunks,"
            " bytes, lost, duplicate, late, first_audio_out_ms, timings, reply_form, largest_message)"
            f" {series(count // 2)} SELECT {owner}, 1 + i % 32767, 'speech', 'completed', {ago},"
            f" 'What time is it, and does it rain? ' || i, {said}, 'en', {'false' if postgres else 0}, 9, 20000, 0, 0,"
            """ 0, 400 + i % 300, '{"received": 1, "stt": 90, "first_audio_out": 400, "total": 5000}', 'frames', 1932"""
            " FROM series"
        )

    audio = "decode(repeat('30', 1000), 'hex')" if postgres else "zeroblob(1000)"

    def conversation(owner: str, count: int, messages: int, ago: str) -> str:
        return (
            "INSERT INTO conversations (session_id, spelling, epoch, created_at, updated_at, message_count,"
            f" device_info) {series(count)} SELECT {owner}, {owner}, 7, {at(str(YEAR_S))}, {ago}, {messages}, '{{}}'"
            " FROM series"
        )

    # Spread over a year, and some active today.
    device, device_ago = "'device-' || i", at(f"i * {YEAR_S // max(1, filling.devices)}")
    yield conversation(f"'{TALKER}'", 1, filling.talker, at(str(YEAR_S)))
    yield conversation(device, filling.devices, each, device_ago)
    yield from lines(f"'{TALKER}'", filling.talker, at(str(YEAR_S)))
    yield from lines(f"'device-' || (i % {filling.devices})", each * filling.devices, at(str(YEAR_S // 2)))
    yield (
        "INSERT INTO cache (session_id, input_hash, input_text, size, created_at, last_accessed, access_count, rate,"
        f" bitrate_kbps, output, audio) {series(filling.cached)} SELECT 'device-' || (i % {filling.devices}),"
        f" 'hash-' || i, 'What time is it?', 1024, {at('1')}, {at('1')}, 0, 24000, 48, 'It is twenty to four.',"
        f" {audio} FROM series"
    )
    totals = {
        "sessions": filling.devices + 1,
        "conversations": filling.devices + 1,
        "messages": filling.talker + each * filling.devices,
        "completed": filling.messages // 2,
        "cache_entries": filling.cached,
        "cache_bytes": filling.cached * 1024,
    }
    values = ", ".join(f"('{name}', {value})" for name, value in totals.items())
    yield f"INSERT INTO counters (name, value) VALUES {values}"
