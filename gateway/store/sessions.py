"""The conversations as a list: showing them, and erasing those that are unwanted or long idle."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from peewee import Database, fn

from gateway.store import counters
from gateway.store.counters import Counter
from gateway.store.models import CacheRow, Conversation, MessageRow, TurnRow
from gateway.store.records import ErasedSession, SessionSummary, Thinned
from gateway.values import DeviceAddress, DeviceId

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


def addresses(db: Database) -> list[DeviceAddress]:
    """Every device that has a conversation, in the order of their ids."""
    rows = Conversation.select(Conversation.session_id, Conversation.spelling).order_by(Conversation.session_id)
    return [DeviceAddress(*row) for row in rows.tuples().execute(db)]


def forget(db: Database, session_id: DeviceId, rows: int) -> ErasedSession | Thinned | None:
    """Erase one conversation and all that belongs to it, or the oldest of it if it has more than `rows` messages and
    turns; None if there is none."""
    wanted = Conversation.session_id == session_id
    with db.atomic():
        if _size(db, session_id, rows + 1) > rows:
            return _thin(db, session_id, wanted, rows)
        erased = _erase(db, wanted)
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


def erase_inactive(db: Database, before: datetime, limit: int, rows: int) -> Sequence[ErasedSession | Thinned]:
    """Erase up to `limit` conversations whose last activity lies before `before`, with up to `rows` messages and turns
    of theirs; of the first one, if it has more, the oldest. Nothing: there are none."""
    idle = Conversation.updated_at < before
    left = rows
    ids: list[DeviceId] = []
    with db.atomic():
        for found in inactive(db, before, limit, 0):
            size = _size(db, found.session_id, left + 1)
            if size <= left:
                left -= size
                ids.append(found.session_id)
            elif ids:
                break
            elif thinned := _thin(db, found.session_id, idle & (Conversation.session_id == found.session_id), rows):
                return [thinned]
        return _erase(db, idle & Conversation.session_id.in_(ids)) if ids else []


def _size(db: Database, session_id: DeviceId, limit: int) -> int:
    """How many messages and turns a conversation has; beyond `limit` of either they are not counted."""
    return sum(
        model.select(model.id).where(model.session_id == session_id).limit(limit).count(db)
        for model in (MessageRow, TurnRow)
    )


def _thin(db: Database, session_id: DeviceId, condition: Any, rows: int) -> Thinned | None:
    """Erase the oldest `rows` messages and turns of a conversation, all but its newest message; None if `condition` no
    longer holds. What a turn would read of it goes last."""
    # Written, not read: this locks the conversation, so that nothing is appended during the rest.
    if not Conversation.update(epoch=Conversation.epoch).where(condition).execute(db):
        return None
    held = Conversation.select(Conversation.message_count).where(condition).scalar(db)
    messages = _erase_oldest(db, MessageRow, session_id, min(rows // 2, held - 1))
    _erase_oldest(db, TurnRow, session_id, rows // 2)
    Conversation.update(message_count=Conversation.message_count - messages).where(condition).execute(db)
    counters.add(db, {Counter.MESSAGES: -messages})
    return Thinned(session_id, messages)


def _erase_oldest(db: Database, model: type[MessageRow] | type[TurnRow], session_id: DeviceId, count: int) -> int:
    of_session = model.session_id == session_id
    oldest = model.select(model.id).where(of_session).order_by(model.id)
    last = oldest.limit(1).offset(count - 1).scalar(db) if count > 0 else None
    if last is None:
        return 0
    return int(model.delete().where(of_session & (model.id <= last)).execute(db))


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
