"""How a database finds the rows of each statement that a turn, or what goes on beside it, is made of."""

import re
from collections.abc import Callable

from peewee import Database, PostgresqlDatabase, QueryEvent

from benchmarks.million import NOW
from benchmarks.stored_turns import ANSWER, LIMITS, SETTINGS, a_turn, address
from gateway.store import cache, history, sessions, statistics
from gateway.wire.frame import FIRST_GATEWAY_TURN

Plan = dict[str, str]
"""`call`, `statement` (its verb, table and order) and `plan`."""

_LITERAL = re.compile(r"'[^']*'::[a-z ]+(\[\])?")


def query_plans(db: Database, name: str) -> list[Plan]:
    """The plans of all statements that read, or look for what they write, asked for the device `name`.

    The statements are run, for a later one depends on what an earlier one found, and undone.
    """
    found: list[Plan] = []
    with db.atomic() as transaction:
        for call, job in _jobs(name).items():
            for statement in _statements(db, job):
                plan = Plan(call=call, statement=_short(statement.sql), plan=_plan(db, statement))
                if plan not in found:
                    found.append(plan)
        transaction.rollback()
    return found


def _jobs(name: str) -> dict[str, Callable[[Database], object]]:
    device = address(name)
    epoch = 0

    def begin(db: Database) -> None:
        nonlocal epoch
        epoch = history.begin_turn(
            db, device, SETTINGS.sessions_max, NOW, SETTINGS.history_messages, LIMITS.session_entries
        ).epoch

    return {
        "begin_turn": begin,
        "cached_answer": lambda db: cache.cached_answer(db, device.id, "What?", "en", LIMITS.ttl_s, NOW),
        "record_turn": lambda db: history.record_turn(db, a_turn(device, 1, "What?", NOW), epoch),
        "cache_answer": lambda db: cache.cache_answer(db, device.id, epoch, "What?", "en", ANSWER, LIMITS, NOW),
        "session": lambda db: sessions.session(db, device.id),
        "recollect": lambda db: history.recollect(db, device.id, FIRST_GATEWAY_TURN, 64),
        "statistics": lambda db: statistics.statistics(db, NOW),
    }


def _statements(db: Database, job: Callable[[Database], object]) -> list[QueryEvent]:
    seen: list[QueryEvent] = []
    db.query_hooks.append(seen.append)
    try:
        job(db)
    finally:
        db.query_hooks.remove(seen.append)
    return [event for event in seen if event.sql.startswith(("SELECT", "UPDATE", "DELETE"))]


def _plan(db: Database, statement: QueryEvent) -> str:
    if isinstance(db, PostgresqlDatabase):
        rows = db.execute_sql(f"EXPLAIN (COSTS OFF) {statement.sql}", statement.params).fetchall()
        lines = [" ".join(line.replace("->", "").split()) for (line,) in rows]
        return "; ".join(_LITERAL.sub("?", line) for line in lines)
    rows = db.execute_sql(f"EXPLAIN QUERY PLAN {statement.sql}", statement.params).fetchall()
    return "; ".join(row[3] for row in rows)


def _short(sql: str) -> str:
    """ "SELECT turns ORDER BY id DESC": the verb, the table, and the order."""
    verb, table = sql.split()[0], re.search(r'(?:FROM|UPDATE) "?(\w+)', sql)
    order = re.search(r"ORDER BY .*?(?= LIMIT| OFFSET|$)", sql)
    parts = [verb, table[1] if table else "", re.sub(r'"t1"\.|"', "", order[0]) if order else ""]
    return " ".join(part for part in parts if part)
