"""Figures over everything stored, at a cost that does not grow with it."""

from datetime import datetime, timedelta

from peewee import Database

from gateway.store import counters
from gateway.store.counters import Counter, DayCounter
from gateway.store.models import Conversation, TurnRow
from gateway.store.records import ActiveSession, StoreStatistics
from gateway.values import Outcome

ACTIVE = timedelta(hours=24)
ACTIVE_SHOWN = 10
LATENCY_TURNS = 500


def statistics(db: Database, now: datetime) -> StoreStatistics:
    totals = counters.read(db)
    today = counters.read_day(db, now.date())
    newest = (
        Conversation.select(Conversation.session_id, Conversation.updated_at, Conversation.message_count)
        .order_by(Conversation.updated_at.desc(), Conversation.session_id.desc())
        .limit(ACTIVE_SHOWN)
        .tuples()
        .execute(db)
    )
    shown = [ActiveSession(*row) for row in newest]
    since = now - ACTIVE
    latencies = (
        TurnRow.select(TurnRow.first_audio_out_ms)
        .where((TurnRow.outcome == Outcome.COMPLETED.value) & TurnRow.first_audio_out_ms.is_null(False))
        .order_by(TurnRow.id.desc())
        .limit(LATENCY_TURNS)
        .tuples()
        .execute(db)
    )
    sessions = totals[Counter.SESSIONS]
    return StoreStatistics(
        total_sessions=sessions,
        total_conversations=totals[Counter.CONVERSATIONS],
        total_messages=totals[Counter.MESSAGES],
        avg_messages_per_session=totals[Counter.MESSAGES] / sessions if sessions else 0.0,
        last_activity=shown[0].last_activity if shown else None,
        active=tuple(session for session in shown if session.last_activity >= since),
        active_count=Conversation.select().where(Conversation.updated_at >= since).count(db),
        turns={outcome: totals[Counter(outcome.value)] for outcome in Outcome},
        turns_today=today[DayCounter.TURNS],
        failed_today=today[DayCounter.FAILED],
        lost=totals[Counter.LOST],
        duplicate=totals[Counter.DUPLICATE],
        cache_hits=totals[Counter.CACHE_HITS],
        cache_entries=totals[Counter.CACHE_ENTRIES],
        latencies_ms=tuple(latency for (latency,) in latencies),
    )
