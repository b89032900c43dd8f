"""The statistics that Home Assistant and operators read. Pure."""

import math
from collections.abc import Sequence
from typing import Any

from gateway import __version__
from gateway.engines.circuit import EngineHealth
from gateway.reports.live import LiveState
from gateway.store import StoreStatistics
from gateway.values import AnnouncementStatus, Outcome


def statistics_report(
    stored: StoreStatistics,
    live: LiveState,
    health: Sequence[EngineHealth],
    *,
    notes: Sequence[str],
    speculation: dict[str, int | float],
    tools: Sequence[dict[str, Any]],
    dropped: dict[str, int],
    uptime_s: int,
) -> dict[str, Any]:
    """Return the payload of the statistics topic: what docs/protocol.md lists, and how the engines are.

    `notes` say what a person should know of them; `speculation` what working ahead was good for; `tools` which of
    them were called how often; `dropped` counts what reached a bound, by the name of the bound.
    """
    return {
        "total_sessions": stored.total_sessions,
        "total_conversations": stored.total_conversations,
        "avg_messages_per_session": round(stored.avg_messages_per_session, 2),
        "last_activity": stored.last_activity.isoformat() if stored.last_activity else None,
        "active_sessions": [
            {
                "session_id": session.session_id,
                "last_activity": session.last_activity.isoformat(),
                "message_count": session.message_count,
            }
            for session in stored.active
        ],
        "active_session_count": stored.active_count,
        "devices_online": live.devices_online,
        "turns": {str(outcome): stored.turns.get(outcome, 0) for outcome in Outcome},
        "today": {"turns": stored.turns_today, "failed": stored.failed_today},
        "latency_ms": {"p50": percentile(live.latencies_ms, 0.5), "p95": percentile(live.latencies_ms, 0.95)},
        "audio": {"lost": stored.lost, "duplicate": stored.duplicate},
        "cache": {"hits": stored.cache_hits, "entries": stored.cache_entries},
        "engines": [
            {
                "stage": engine.stage,
                "engine": engine.engine,
                "resting_s": round(engine.rest_left_s),
                "failing": engine.failing,
                "failures": engine.failures,
                "passed_over": engine.passed_over,
                **({"counters": dict(engine.counters)} if engine.counters else {}),
            }
            for engine in health
        ],
        "problems": {
            str(stage): all(engine.failing for engine in health if engine.stage is stage)
            for stage in dict.fromkeys(engine.stage for engine in health)
        },
        "notes": list(notes),
        "announcements": {str(status): live.announcements[status] for status in AnnouncementStatus},
        "speculation": speculation,
        "tools": list(tools),
        "dropped": dropped,
        "uptime_s": uptime_s,
        "version": __version__,
    }


def percentile(values: Sequence[int], share: float) -> int | None:
    """The smallest of `values` that at least `share` (above 0, to 1) of them do not exceed; None without values.

    This is the nearest rank: always a value that occurred, the lower of two at the median.
    """
    if not values:
        return None
    return sorted(values)[math.ceil(share * len(values)) - 1]
