"""No query gets slower as rows grow: each finds its rows by an index."""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from peewee import Database, QueryEvent

from benchmarks.million import TALKER, Filling, device_name, fill, opened
from benchmarks.query_plans import query_plans
from gateway.store import CachedAnswer, CacheLimits, cache, history, sessions, statistics
from gateway.store.database import parse_url
from gateway.store.migrations import migrate
from gateway.store.records import Thinned
from gateway.values import DeviceId, Timings
from tests.fakes.postgres import PostgresServer
from tests.store.samples import KITCHEN, MANY, NOW, turn

SESSIONS = 1000
MESSAGES_EACH = 100
ANSWER = CachedAnswer("text", bytes(100), 24000, 48)
LIMITS = CacheLimits(ttl_s=600, session_entries=2, total_bytes=5000)


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """SQLite with 100,000 messages and 50,000 turns of a thousand sessions."""
    db = parse_url(f"sqlite:///{tmp_path_factory.mktemp('grown')}/gateway.db", 5, create=True).open()
    migrate(db)
    at = NOW.isoformat(sep=" ", timespec="microseconds")
    insert = db.connection().executemany
    with db.atomic():
        insert(
            "INSERT INTO conversations VALUES (?, ?, 7, ?, ?, ?, '{}')",
            ((f"s{n}", f"s{n}", at, at, MESSAGES_EACH) for n in range(SESSIONS)),
        )
        insert(
            "INSERT INTO messages (session_id, id, role, text, created_at) VALUES (?, ?, 'user', 'what?', ?)",
            ((f"s{n % SESSIONS}", n, at) for n in range(SESSIONS * MESSAGES_EACH)),
        )
        insert(
            "INSERT INTO turns (session_id, turn, kind, outcome, started_at, heard, said, language, cached, chunks,"
            " bytes, lost, duplicate, late, first_audio_out_ms, timings)"
            " VALUES (?, 1, 'speech', 'completed', ?, '', '', '', 0, 1, 1, 0, 0, 0, 9, ?)",
            ((f"s{n % SESSIONS}", at, json.dumps({})) for n in range(SESSIONS * MESSAGES_EACH // 2)),
        )
        insert(
            "INSERT INTO cache (session_id, input_hash, input_text, size, created_at, last_accessed, access_count,"
            " rate, bitrate_kbps, output, audio) VALUES (?, ?, '', 100, ?, ?, 0, 24000, 48, '', x'00')",
            ((f"s{n % SESSIONS}", f"{n}", at, at) for n in range(SESSIONS * 2)),
        )
    yield db
    db.close()


def test_every_query_goes_by_an_index(grown: Database) -> None:
    seen: list[QueryEvent] = []
    grown.query_hooks.append(seen.append)
    session_id, later = DeviceId("s500"), NOW + timedelta(days=1)
    epoch = history.open_session(grown, KITCHEN, 2 * MANY, NOW)
    history.save_device_info(grown, KITCHEN, {"v": 1}, 2 * MANY, NOW)
    assert history.record_turn(grown, turn(timings=Timings(first_audio_out=5)), epoch)
    assert len(history.history(grown, session_id, 20)) == 20
    assert len(history.messages(grown, session_id, 50_000, 20)) == 20
    assert len(history.turns(grown, session_id, 20)) == 20
    assert len(sessions.sessions(grown, 20, 0)) == 20
    assert sessions.session(grown, session_id)
    for number in range(4):
        now = NOW + timedelta(seconds=number)
        assert cache.cache_answer(grown, KITCHEN.id, epoch, f"{number}", "en", ANSWER, LIMITS, now)
    assert cache.cached_answer(grown, KITCHEN.id, "3", "en", 600, NOW)
    assert len(statistics.statistics(grown, NOW).latencies_ms) == statistics.LATENCY_TURNS
    assert len(sessions.inactive(grown, later, 20, 0)) == 20
    assert len(sessions.erase_inactive(grown, later, 5, 1000)) == 5
    assert sessions.erase_inactive(grown, later, 5, 20) == [Thinned(DeviceId("s101"), 10)]
    assert sessions.forget(grown, session_id, 1000)
    grown.query_hooks.clear()

    assert len(seen) > 30
    for event in seen:
        # Counters are a dozen rows, read whole.
        if not event.sql.startswith(("SELECT", "UPDATE", "DELETE")) or '"counters"' in event.sql:
            continue
        plan = [row[3] for row in grown.execute_sql(f"EXPLAIN QUERY PLAN {event.sql}", event.params).fetchall()]
        for step in plan:
            assert "TEMP B-TREE" not in step, (event.sql, plan)
            # Walking along an index is fine for as long as there is a limit, and so is counting what was found so.
            bounded = "LIMIT" in event.sql and ("INDEX" in step or step == "SCAN _wrapped")
            assert "SCAN" not in step or bounded, (event.sql, plan)


def test_erasing_uses_the_indexes_of_what_belongs_to_a_conversation(tmp_path: Path) -> None:
    """`ON DELETE CASCADE` is not in the plan: without an index it would read the whole of each table."""
    db = parse_url(f"sqlite:///{tmp_path}/gateway.db", 5, create=True).open()
    migrate(db)
    for table in ("messages", "turns", "cache"):
        indexes = [db.get_primary_keys(table), *(index.columns for index in db.get_indexes(table))]
        assert any(columns[0] == "session_id" for columns in indexes), table
    db.close()


def test_sqlite_finds_what_a_device_said_in_one_place(grown: Database) -> None:
    """By an index beside the table, each of its messages would be on another page, between those of all others."""
    plans = [plan["plan"] for plan in query_plans(grown, "s500") if "messages" in plan["statement"].split()]
    assert len(plans) == 2
    for plan in plans:
        assert plan == "SEARCH messages USING PRIMARY KEY (session_id=?)"


@pytest.mark.parametrize("name", [TALKER, device_name(1)])
def test_postgresql_reads_nobody_elses_rows_for_a_device(postgres: PostgresServer, name: str) -> None:
    """Its planner chooses by what it knows of the rows; of many, it is a device that said much long ago."""
    url = postgres.new_database()
    fill(url, Filling(messages=40_000, talker=10_000, devices=300, cached=3000))
    with opened(url) as db:
        # What is small enough is read whole.
        large = [
            plan for plan in query_plans(db, name) if {"messages", "turns", "cache"} & set(plan["statement"].split())
        ]
    assert len(large) >= 8
    for plan in large:
        assert "Filter: (session_id" not in plan["plan"], plan
        assert "Seq Scan" not in plan["plan"], plan
