"""Conversations as they grow: opening one, appending a turn, reading what was said."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from peewee import Case, Database

from gateway.errors import SessionLimitReached
from gateway.store import cache, counters, personalities
from gateway.store.counters import Counter, DayCounter
from gateway.store.models import Conversation, MessageRow, TurnRow
from gateway.store.records import OpenConversation, Recollection, StoredMessage
from gateway.store.sql import ask
from gateway.values import (
    DeviceAddress,
    DeviceId,
    LinkCounts,
    Message,
    Outcome,
    ReplyForm,
    Timings,
    TurnKind,
    TurnRecord,
)


def begin_turn(
    db: Database,
    device: DeviceAddress,
    sessions_max: int,
    now: datetime,
    messages: int,
    answers: int,
    groups: Sequence[str] = (),
) -> OpenConversation:
    """All that a turn asks of its conversation, in one go: the newest `messages`, which questions (at most `answers`)
    have an answer that is kept, and what is said of the device, which is in `groups` unless otherwise said."""
    epoch = open_session(db, device, sessions_max, now)
    said = tuple(history(db, device.id, messages)) if messages else ()
    answered = cache.answered(db, device.id, answers) if answers else frozenset()
    return OpenConversation(epoch, said, answered, personalities.kept(db, device.id, groups))


def open_session(db: Database, device: DeviceAddress, sessions_max: int, now: datetime) -> int:
    """The epoch of the device's conversation, which is made if there is none."""
    found = ask(db, "SELECT epoch, spelling FROM conversations WHERE session_id = ?", device.id)
    if not found:
        return _create(db, device, sessions_max, now)
    epoch, spelling = found[0]
    if spelling != device.spelling:
        Conversation.update(spelling=device.spelling).where(Conversation.session_id == device.id).execute(db)
    return int(epoch)


def save_device_info(
    db: Database, device: DeviceAddress, info: Mapping[str, Any], sessions_max: int, now: datetime
) -> None:
    """Keep what the device said of itself. This alone is no activity: a retained `hello` comes at every restart."""
    with db.atomic():
        open_session(db, device, sessions_max, now)
        Conversation.update(device_info=dict(info)).where(Conversation.session_id == device.id).execute(db)


def record_turn(db: Database, record: TurnRecord, epoch: int) -> bool:
    """Append a turn; False, and nothing written, if its conversation was erased since it began."""
    lines = [
        (role, text)
        for role, text in (("user", record.heard), ("assistant", record.said))
        if text and not (role == "user" and record.kind is TurnKind.SAY)
    ]
    with db.atomic():
        # First of all: this locks the conversation, so that it is either erased before or after, never during.
        alive = (
            Conversation.update(
                message_count=Conversation.message_count + len(lines),
                updated_at=Case(
                    None, [(Conversation.updated_at < record.started_at, record.started_at)], Conversation.updated_at
                ),
            )
            .where((Conversation.session_id == record.device.id) & (Conversation.epoch == epoch))
            .execute(db)
        )
        if not alive:
            return False
        [(newest,)] = ask(db, "SELECT MAX(id) FROM messages WHERE session_id = ?", record.device.id)
        if lines:
            MessageRow.insert_many(
                {
                    "session_id": record.device.id,
                    "id": key,
                    "role": role,
                    "text": text,
                    "created_at": record.started_at,
                }
                for key, (role, text) in enumerate(lines, (newest or 0) + 1)
            ).as_rowcount().execute(db)
        TurnRow.insert(
            session_id=record.device.id,
            turn=record.turn,
            kind=record.kind.value,
            outcome=record.outcome.value,
            started_at=record.started_at,
            heard=record.heard,
            said=record.said,
            language=record.language,
            error=record.error,
            cached=record.cached,
            chunks=record.chunks,
            bytes=record.bytes,
            first_audio_out_ms=record.timings.first_audio_out,
            timings=asdict(record.timings),
            reply_form=record.reply_form,
            largest_message=record.largest_message,
            **asdict(record.link),
        ).execute(db)
        counters.add(
            db,
            {
                Counter(record.outcome.value): 1,
                Counter.CONVERSATIONS: int(bool(lines) and newest is None),
                Counter.MESSAGES: len(lines),
                Counter.LOST: record.link.lost,
                Counter.DUPLICATE: record.link.duplicate,
                Counter.CACHE_HITS: int(record.cached),
            },
            record.started_at.date(),
            {DayCounter.TURNS: 1, DayCounter.FAILED: int(record.outcome is Outcome.FAILED)},
        )
    return True


def amend_reply(db: Database, record: TurnRecord, epoch: int, said: str) -> bool:
    """Say that of the newest turn, `record`, only `said` was heard; False if its conversation was erased."""
    with db.atomic():
        alive = (
            Conversation.select(Conversation.session_id)
            .where((Conversation.session_id == record.device.id) & (Conversation.epoch == epoch))
            .exists(db)
        )
        if not alive:
            return False
        message = (
            MessageRow.select(MessageRow.id)
            .where((MessageRow.session_id == record.device.id) & (MessageRow.role == "assistant"))
            .order_by(MessageRow.id.desc())
            .limit(1)
        )
        turn = (
            TurnRow.select(TurnRow.id)
            .where((TurnRow.session_id == record.device.id) & (TurnRow.turn == record.turn))
            .order_by(TurnRow.id.desc())
            .limit(1)
        )
        for model, newest, change in ((MessageRow, message, {"text": said}), (TurnRow, turn, {"said": said})):
            model.update(change).where(
                (model.session_id == record.device.id) & (model.id == newest.scalar(db))
            ).execute(db)
    return True


def history(db: Database, session_id: DeviceId, limit: int) -> list[Message]:
    """The newest `limit` messages, oldest first."""
    newest_first = "SELECT role, text FROM messages WHERE session_id = ? ORDER BY id DESC LIMIT ?"
    return [Message(role, text) for role, text in ask(db, newest_first, session_id, limit)][::-1]


def messages(db: Database, session_id: DeviceId, after: int, limit: int) -> list[tuple[int, StoredMessage]]:
    """A page of the conversation, oldest first: up to `limit` messages with their ids, which are above `after`."""
    rows = (
        MessageRow.select(MessageRow.id, MessageRow.role, MessageRow.text, MessageRow.created_at)
        .where((MessageRow.session_id == session_id) & (MessageRow.id > after))
        .order_by(MessageRow.id)
        .limit(limit)
        .tuples()
        .execute(db)
    )
    return [(key, StoredMessage(role, text, created_at)) for key, role, text, created_at in rows]


def turns(db: Database, session_id: DeviceId, limit: int) -> list[TurnRecord]:
    """The newest `limit` turns, oldest first."""
    spelling = Conversation.select(Conversation.spelling).where(Conversation.session_id == session_id).scalar(db)
    rows = TurnRow.select().where(TurnRow.session_id == session_id).order_by(TurnRow.id.desc()).limit(limit)
    device = DeviceAddress(session_id, spelling or session_id)
    return [_turn(device, row) for row in rows.dicts().execute(db)][::-1]


def recollect(db: Database, session_id: DeviceId, first: int, within: int) -> Recollection:
    """What the newest `within` turns tell of how the device speaks, and the newest number of `first` or above."""
    rows = list(
        TurnRow.select(TurnRow.turn, TurnRow.reply_form, TurnRow.largest_message)
        .where(TurnRow.session_id == session_id)
        .order_by(TurnRow.id.desc())
        .limit(within)
        .tuples()
        .execute(db)
    )
    number = next((number for number, _, _ in rows if number >= first), None)
    form, largest = next(((form, largest) for _, form, largest in rows if form), (None, None))
    return Recollection(number, ReplyForm(form) if form else None, largest)


def _turn(device: DeviceAddress, row: dict[str, Any]) -> TurnRecord:
    return TurnRecord(
        device=device,
        turn=row["turn"],
        kind=TurnKind(row["kind"]),
        outcome=Outcome(row["outcome"]),
        started_at=row["started_at"],
        heard=row["heard"],
        said=row["said"],
        language=row["language"],
        reply_form=ReplyForm(row["reply_form"]) if row["reply_form"] else None,
        largest_message=row["largest_message"],
        error=row["error"],
        cached=row["cached"],
        chunks=row["chunks"],
        bytes=row["bytes"],
        timings=Timings(**row["timings"]),
        link=LinkCounts(row["lost"], row["duplicate"], row["late"]),
    )


def _create(db: Database, device: DeviceAddress, sessions_max: int, now: datetime) -> int:
    epoch = secrets.randbits(62)
    row = {
        "session_id": device.id,
        "spelling": device.spelling,
        "epoch": epoch,
        "created_at": now,
        "updated_at": now,
        "message_count": 0,
        "device_info": {},
    }
    with db.atomic():
        made = Conversation.insert(row).on_conflict(action="nothing", conflict_target=[Conversation.session_id])
        if made.as_rowcount().execute(db):
            counters.add(db, {Counter.SESSIONS: 1})
            if counters.read(db)[Counter.SESSIONS] > sessions_max:
                raise SessionLimitReached(f"{sessions_max} conversations are kept, and no more may be")
            return epoch
        # Another process made it in the meantime.
        return int(Conversation.select(Conversation.epoch).where(Conversation.session_id == device.id).scalar(db))
