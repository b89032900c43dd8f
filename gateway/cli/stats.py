"""`voice-gateway stats`: figures over everything in the database."""

import asyncio
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import typer

from gateway.cli.options import AsJson, examples
from gateway.cli.output import print_json
from gateway.cli.storage import open_store, takes_database
from gateway.cli.tables import table
from gateway.settings_sources import Loaded

if TYPE_CHECKING:
    from gateway.store import StoreStatistics


def register(app: typer.Typer) -> None:
    app.command(
        epilog=examples(
            "voice-gateway stats",
            "voice-gateway stats --json | jq .turns",
            "mosquitto_sub -t voice/gateway/stats -C 1    # the same and more, from a running gateway",
        )
    )(stats)


@takes_database
def stats(loaded: Loaded, as_json: AsJson = False) -> None:
    """Show how many conversations and turns there are, how they ended and how long answers took."""
    from gateway.reports.stats import percentile  # draws in numpy

    zone = ZoneInfo(loaded.settings.timezone) if loaded.settings.timezone else None

    async def work() -> "StoreStatistics":
        async with open_store(loaded.settings) as store:
            return await store.statistics(datetime.now(zone).astimezone(zone))

    found = asyncio.run(work())
    p50, p95 = percentile(found.latencies_ms, 0.5), percentile(found.latencies_ms, 0.95)
    if as_json:
        print_json(
            {
                "total_sessions": found.total_sessions,
                "total_conversations": found.total_conversations,
                "total_messages": found.total_messages,
                "avg_messages_per_session": round(found.avg_messages_per_session, 2),
                "last_activity": found.last_activity,
                "active_sessions": [asdict(session) for session in found.active],
                "active_session_count": found.active_count,
                "turns": found.turns,
                "today": {"turns": found.turns_today, "failed": found.failed_today},
                "latency_ms": {"p50": p50, "p95": p95},
                "audio": {"lost": found.lost, "duplicate": found.duplicate},
                "cache": {"hits": found.cache_hits, "entries": found.cache_entries},
            }
        )
        return
    turns = ", ".join(f"{count} {outcome}" for outcome, count in found.turns.items())
    last = f"{found.last_activity.astimezone():%Y-%m-%d %H:%M:%S}" if found.last_activity else "never"
    rows = [
        ("sessions", f"{found.total_sessions}, {found.active_count} of them active in the last 24 hours"),
        ("messages", f"{found.total_messages}, {found.avg_messages_per_session:.1f} a session"),
        ("last activity", last),
        ("turns", turns),
        ("today", f"{found.turns_today} turns, {found.failed_today} of them failed"),
        ("first audio", f"{p50} ms (median), {p95} ms (95 %)" if found.latencies_ms else "no answers yet"),
        ("frames", f"{found.lost} lost, {found.duplicate} duplicate"),
        ("cache", f"{found.cache_entries} answers, used {found.cache_hits} times"),
    ]
    typer.echo(table(("figure", "value"), rows))
