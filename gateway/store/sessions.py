"""The conversations as a list: showing them, and erasing those that are unwanted or long idle."""

from datetime import datetime
from typing import Any

from peewee import Database, fn

from gateway.store import counters
from gateway.store.counters import Counter
from gateway.store.models import CacheRow, Conversation
from gateway.store.records import ErasedSession, SessionSummary
from gateway.values import DeviceId

_DOOMED = -1
"""The epoch of a conversation that is being erased. None is ever made with it, and none is committed with it."""


def sessions(db: Database, limit: int, offset: int) -> list[SessionSummary]:
    """Conversations, the most recently active first."""
    rows = (
        Conversation.select()
        .order_by(Conversation.updated_at.desc(), Conversation.session_id.desc())
        .limit(limit)
        .offset(offset)
    )
    return [_summary(row) for row in rows.dicts().execute(db)]


def session(db: Database, session_id: DeviceId) -> SessionSummary | None:
    row = Conversation.select().where(Conversation.session_id == session_id).dicts().first(db)
    return None if row is None else _summary(row)


def forget(db: Database, session_id: DeviceId) -> ErasedSession | None:
    """Erase one conversation and all that belongs to it; None if there is none."""
    with db.atomic():
        erased = _erase(db, Conversation.session_id == session_id)
    return erased[0] if erased else None


def inactive(db: Database, before: datetime, limit: int, offset: int) -> list[ErasedSession]:
    """Conversations whose last activity lies before `before`, oldest first."""
    rows = (
        _described()
        .where(Conversation.updated_at < before)
        .order_by(Conversation.updated_at, Conversation.session_id)
        .limit(limit)
        .offset(offset)
    )
    return [ErasedSession(*row) for row in rows.tuples().execute(db)]


def erase_inactive(db: Database, before: datetime, limit: int) -> list[ErasedSession]:
    """Erase up to `limit` conversations whose last activity lies before `before`."""
    with db.atomic():
        ids = [found.session_id for found in inactive(db, before, limit, 0)]
        return _erase(db, Conversation.session_id.in_(ids) & (Conversation.updated_at < before)) if ids else []


def _erase(db: Database, condition: Any) -> list[ErasedSession]:
    # From here on no turn can be appended to them: the rows are locked, and no turn began under this epoch. One that
    # another process makes right after this is not marked, and not ours to count or delete.
    Conversation.update(epoch=_DOOMED).where(condition).execute(db)
    doomed = _described().where(condition & (Conversation.epoch == _DOOMED))
    erased = [ErasedSession(*row) for row in doomed.tuples().execute(db)]
    ids = [session.session_id for session in erased]
    if not ids:
        return []
    # Locked too, as another process may be evicting some of them: what is counted is what goes.
    CacheRow.update(size=CacheRow.size).where(CacheRow.session_id.in_(ids)).execute(db)
    entries, size = (
        CacheRow.select(fn.COUNT(CacheRow.id), fn.COALESCE(fn.SUM(CacheRow.size), 0))
        .where(CacheRow.session_id.in_(ids))
        .tuples()
        .first(db)
    )
    # Messages, turns and cached answers go with their conversation (ON DELETE CASCADE).
    Conversation.delete().where(Conversation.session_id.in_(ids) & (Conversation.epoch == _DOOMED)).execute(db)
    counters.add(
        db,
        {
            Counter.SESSIONS: -len(erased),
            Counter.CONVERSATIONS: -sum(1 for session in erased if session.message_count),
            Counter.MESSAGES: -sum(session.message_count for session in erased),
            Counter.CACHE_ENTRIES: -entries,
            Counter.CACHE_BYTES: -int(size),
        },
    )
    return sorted(erased, key=lambda session: (session.last_activity, session.session_id))


def _described() -> Any:
    return Conversation.select(
        Conversation.session_id, Conversation.spelling, Conversation.message_count, Conversation.updated_at
    )


def _summary(row: dict[str, Any]) -> SessionSummary:
    del row["epoch"]
    return SessionSummary(**row)
