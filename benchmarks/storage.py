"""What a turn costs: with a million messages in the database, and with none."""

import asyncio
import itertools
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from peewee import Database

from benchmarks import whole_turns
from benchmarks.figures import percentile
from benchmarks.latency import LatencySizes
from benchmarks.measurement import Bar, Chart, Goal, Place, Result
from benchmarks.million import NOW, TALKER, Filling, device_name, fill, opened
from benchmarks.one_core import one_core
from benchmarks.query_plans import Plan, query_plans
from benchmarks.stored_turns import BESIDE, IN_A_TURN, RewoundStore, Side
from benchmarks.tables import between, table
from benchmarks.whole_turns import FIGURES, Stored
from gateway.store.models import CacheRow, Conversation, MessageRow, TurnRow
from tests.fakes.postgres import PostgresServer, find_binaries

NEWCOMERS = 20
"""Devices of the database that is otherwise empty."""
FLAT = 1.2
CLEANUP_DAYS = 330
"""Of the filled database, which reaches back a year, a tenth of the devices is idle for longer, and the talker."""
CLEANUP_WAIT_MS = 250.0
CLEANUP_PAUSE_S = 0.02
WARM_UP = 10
EMPTY, FILLED, TALKING = "empty", "full", "full, the talker"
TURN = "the turn"


@dataclass(frozen=True, slots=True)
class StorageSizes:
    """`turns` on each side: in a database with `filling`, and in one whose devices have had `earlier` turns each. Of 64
    as many are read as of any more."""

    filling: Filling
    turns: int
    earlier: int
    whole: LatencySizes
    """The turns of whole gateways."""


FULL = StorageSizes(
    Filling(messages=1_000_000, talker=100_000, devices=9_000, cached=20_000),
    turns=200,
    earlier=64,
    whole=LatencySizes(devices=NEWCOMERS, questions=2, rounds=3, pause_s=(0.5, 1.0)),
)
QUICK = StorageSizes(
    Filling(messages=100_000, talker=10_000, devices=900, cached=2_000),
    turns=100,
    earlier=10,
    whole=LatencySizes(devices=NEWCOMERS, questions=1, rounds=2, pause_s=(0.5, 1.0)),
)


@dataclass(frozen=True)
class Storage:
    full: StorageSizes = FULL
    quick: StorageSizes = QUICK
    name: str = "storage"
    title: str = "What a turn costs when the database is full, and when it is empty"

    async def measure(self, place: Place) -> Result:
        sizes = self.quick if place.quick else self.full
        kinds: dict[str, AbstractContextManager[tuple[str, str]]] = {"SQLite": _sqlite(place.folder)}
        if (binaries := find_binaries()) is not None:
            kinds["PostgreSQL"] = _postgres(binaries)
        databases = {}
        for kind, urls in kinds.items():
            with urls as (empty, filled):
                with one_core():
                    figures = await _measure(kind, empty, filled, sizes, place)
                place.tell(f"{kind}: turns of whole gateways")
                gateways = {
                    EMPTY: Stored(empty, _newcomers()),
                    FILLED: Stored(filled, [device_name(index) for index in range(NEWCOMERS)]),
                }
                databases[kind] = {**figures, "whole": await whole_turns.measure(place, sizes.whole, gateways)}
        return {
            "messages": sizes.filling.messages,
            "talker": sizes.filling.talker,
            "earlier": sizes.earlier,
            "databases": databases,
        }

    def section(self, result: Result) -> str:
        parts = [
            f"*{EMPTY}*: {NEWCOMERS} devices with {result['earlier']} turns each, and nothing else. *{FILLED}*:"
            f" {result['messages']:,} messages and half as many turns before them; each turn is another device's."
            f" *{TALKING}*: the same database; every turn is the first after a long silence of one device, which said"
            f" {result['talker']:,} of these messages before any other said one. Milliseconds at the caller, thread and"
            " commit included, all on one core: median (95 %). *Whole turns*: those of two gateways, with engines that"
            " take no time: median (least to greatest round)."
        ]
        for kind, each in result["databases"].items():
            cleanup = each["cleanup"]
            parts += [
                f"### {kind}",
                f"Filled in {each['fill_s']:.0f} s.",
                table(("", *each["sides"]), _rows(each["sides"])),
                table(("whole turns", *each["whole"]), _whole_rows(each["whole"])),
                f"A clean-up of {cleanup['sessions']:,} conversations with {cleanup['messages']:,} messages took"
                f" {cleanup['seconds']:.1f} s; of {cleanup['turns']} turns meanwhile the database took at most"
                f" {cleanup['longest_wait_ms']:.0f} ms for one of their calls"
                f" ({cleanup['p50_wait_ms']:.1f} at the median).",
                table(("call", "statement", "how the full database finds the rows"), _plan_rows(each["plans"])),
            ]
        return "\n\n".join(parts)

    def charts(self, result: Result) -> list[Chart]:
        return [
            Chart(
                f"The database's part of a turn, {kind}: median to 95 %",
                "ms",
                tuple(
                    Bar(side, calls[TURN]["p50"], calls[TURN]["p50"], calls[TURN]["p95"])
                    for side, calls in each["sides"].items()
                ),
            )
            for kind, each in result["databases"].items()
        ]

    def goals(self, result: Result) -> list[Goal]:
        return [goal for kind, each in result["databases"].items() for goal in _goals(kind, each)]


BENCHMARK = Storage()


async def _measure(kind: str, empty: str, filled: str, sizes: StorageSizes, place: Place) -> dict[str, Any]:
    """Both databases of one kind, which are at these URLs and new."""
    place.tell(f"{kind}: filling a database with {sizes.filling.messages:,} messages")
    fill_s = fill(filled, sizes.filling)
    store, full_store = RewoundStore(empty), RewoundStore(filled)
    await store.start()
    await full_store.start()
    try:
        newcomers = itertools.cycle(_newcomers())
        others = itertools.cycle([device_name(index) for index in range(sizes.filling.devices)])
        sides = {
            EMPTY: Side(store, newcomers, _forget_answers),
            FILLED: Side(full_store, others),
            TALKING: Side(full_store, itertools.repeat(TALKER), partial(_be_silent_again, sizes.filling)),
        }
        place.tell(f"{kind}: {sizes.turns} turns on each side")
        for _ in range(NEWCOMERS * sizes.earlier):
            await sides[EMPTY].turn()
        await _take_turns(list(sides.values()), sizes.turns)
        plans = _plans(filled)
        place.tell(f"{kind}: cleaning up while turns go on")
        cleanup = await _clean_up(full_store, filled, sizes.filling)
    finally:
        await full_store.close()
        await store.close()
    return {
        "fill_s": round(fill_s, 1),
        "sides": {name: _figures(side.ms) for name, side in sides.items()},
        "plans": plans,
        "cleanup": cleanup,
    }


def _newcomers() -> list[str]:
    return [f"newcomer-{index}" for index in range(NEWCOMERS)]


def _forget_answers(db: Database) -> None:
    """Take back the answers kept in the empty database: in the full one, too, each turn finds next to none of its
    device's."""
    CacheRow.delete().execute(db)


def _be_silent_again(filling: Filling, db: Database) -> None:
    """Take back what the talker has said since the filling: each of its turns is the first after a long silence, with
    what everybody else said in between."""
    with db.atomic():
        for row, rows in ((MessageRow, filling.talker), (TurnRow, filling.messages // 2), (CacheRow, filling.cached)):
            row.delete().where((row.session_id == TALKER) & (row.id > rows)).execute(db)


async def _take_turns(sides: list[Side], turns: int) -> None:
    """One side after the other, so that whatever else the machine does meets all, and each as often behind each other
    one; the first few are not counted. What is asked beside turns comes after them all: in between it would be asked
    more often than in any gateway, and of devices that no turn is about."""
    for counted in (WARM_UP, turns):
        for side in sides:
            side.ms.clear()
        for step in (Side.turn, Side.beside):
            for number in range(counted):
                first = number % len(sides)
                for side in (*sides[first:], *sides[:first]):
                    await step(side)


def _figures(ms: Mapping[str, list[float]]) -> dict[str, dict[str, float]]:
    whole = [sum(calls) for calls in zip(*(ms[call] for call in IN_A_TURN), strict=True)]
    taken = {call: ms[call] for call in IN_A_TURN} | {TURN: whole} | {call: ms[call] for call in BESIDE}
    return {call: {"p50": median(each), "p95": percentile(each, 0.95)} for call, each in taken.items()}


def _plans(url: str) -> list[Plan]:
    """Those of an ordinary device, and where they differ those of the talker."""
    with opened(url) as db:
        ordinary = query_plans(db, device_name(0))
        return ordinary + [plan for plan in query_plans(db, TALKER) if plan not in ordinary]


async def _clean_up(store: RewoundStore, url: str, filling: Filling) -> dict[str, Any]:
    """Erase what is older than `CLEANUP_DAYS`, and let devices that are not have turns meanwhile."""
    with opened(url) as db:
        long_ago = NOW - timedelta(days=CLEANUP_DAYS + 1)
        Conversation.update(updated_at=long_ago).where(Conversation.session_id == TALKER).execute(db)
    side = Side(store, itertools.cycle([device_name(index) for index in range(filling.devices // 2)]))
    began = time.monotonic()
    erasing = asyncio.create_task(store.cleanup(CLEANUP_DAYS, False, NOW), name="clean up")
    turns = 0
    while not erasing.done():
        await side.turn()
        turns += 1
        await asyncio.wait({erasing}, timeout=CLEANUP_PAUSE_S)
    erased = await erasing
    waits = [wait for call in IN_A_TURN for wait in side.ms[call]]
    return {
        "sessions": len(erased),
        "messages": sum(session.message_count for session in erased),
        "seconds": time.monotonic() - began,
        "turns": turns,
        "p50_wait_ms": median(waits),
        "longest_wait_ms": max(waits),
    }


@contextmanager
def _sqlite(folder: Path) -> Iterator[tuple[str, str]]:
    yield f"sqlite:///{folder}/empty.db", f"sqlite:///{folder}/full.db"


@contextmanager
def _postgres(binaries: Path) -> Iterator[tuple[str, str]]:
    server = PostgresServer(binaries)
    server.start()
    try:
        yield server.new_database(), server.new_database()
    finally:
        server.stop()


def _rows(sides: Mapping[str, Mapping[str, Mapping[str, float]]]) -> list[list[str]]:
    return [
        [call, *(f"{calls[call]['p50']:.2f} ({calls[call]['p95']:.2f})" for calls in sides.values())]
        for call in (*IN_A_TURN, TURN, *BESIDE)
    ]


def _whole_rows(whole: Mapping[str, Mapping[str, Mapping[str, float]]]) -> list[list[str]]:
    return [[name, *(between(figures[key]) for figures in whole.values())] for key, name in FIGURES.items()]


def _plan_rows(plans: list[Plan]) -> list[tuple[str, str, str]]:
    return [(plan["call"], plan["statement"], plan["plan"].replace("|", "/")) for plan in plans]


def _goals(kind: str, each: Mapping[str, Any]) -> list[Goal]:
    sides, waited = each["sides"], each["cleanup"]["longest_wait_ms"]
    ratios = {side: sides[side][TURN]["p50"] / sides[EMPTY][TURN]["p50"] for side in (FILLED, TALKING)}
    whole = {
        name: each["whole"][FILLED][key]["median"] / each["whole"][EMPTY][key]["median"]
        for key, name in FIGURES.items()
    }
    return [
        *(
            Goal(
                f"{kind}, {side}: the database's part of a turn, at most {FLAT:g} times that in the empty one:"
                f" {ratio:.2f}",
                ratio <= FLAT,
            )
            for side, ratio in ratios.items()
        ),
        *(
            Goal(
                f"{kind}, {FILLED}: a whole turn, {name}, at most {FLAT:g} times that with the empty one: {ratio:.2f}",
                ratio <= FLAT,
            )
            for name, ratio in whole.items()
        ),
        Goal(
            f"{kind}: during a clean-up no turn waits more than {CLEANUP_WAIT_MS:.0f} ms: {waited:.0f}",
            waited <= CLEANUP_WAIT_MS,
        ),
    ]
