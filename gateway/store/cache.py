"""Answers given before, one device at a time: a repeated question is answered at once, and never across devices."""

import hashlib
import unicodedata
from collections.abc import Iterator
from datetime import datetime, timedelta

from peewee import Database, chunked

from gateway.store import counters
from gateway.store.counters import Counter
from gateway.store.models import CacheRow, Conversation
from gateway.store.records import CachedAnswer, CacheLimits
from gateway.store.sql import ask
from gateway.values import DeviceId

_PAGE = 64
_LONGEST_TTL_S = 100 * 365 * 86_400.0


def input_hash(question: str, language: str, asked: str = "") -> str:
    """What two questions share that are the same: case, punctuation and spacing do not count, accents do. `asked` is
    the fingerprint of who is asked: another gives another answer."""
    folded = unicodedata.normalize("NFC", question).casefold()
    words = "".join(character if character.isalnum() else " " for character in folded).split()
    return hashlib.sha256("\n".join([language + asked, *words]).encode("utf-8", "replace")).hexdigest()


def answered(db: Database, session_id: DeviceId, limit: int) -> frozenset[str]:
    """The hashes of up to `limit` questions of this device whose answers are kept, too old ones included."""
    rows = ask(db, "SELECT input_hash FROM cache WHERE session_id = ? LIMIT ?", session_id, limit)
    return frozenset(found for (found,) in rows)


def cached_answer(
    db: Database, session_id: DeviceId, question: str, language: str, ttl_s: float, now: datetime, asked: str = ""
) -> CachedAnswer | None:
    """The answer this device got to this question, of who is `asked` now too, no longer than `ttl_s` ago."""
    kept = CacheRow.select(
        CacheRow.id, CacheRow.created_at, CacheRow.output, CacheRow.audio, CacheRow.rate, CacheRow.bitrate_kbps
    ).where((CacheRow.session_id == session_id) & (CacheRow.input_hash == input_hash(question, language, asked)))
    row = kept.tuples().first(db)
    # The age is not asked in SQL: PostgreSQL would take "all that are young" for few, and read them one by one.
    if row is None or row[1] <= _oldest(ttl_s, now):
        return None
    key, _, output, audio, rate, bitrate_kbps = row
    CacheRow.update(last_accessed=now, access_count=CacheRow.access_count + 1).where(CacheRow.id == key).execute(db)
    return CachedAnswer(output, bytes(audio), rate, bitrate_kbps, asked)


def cache_answer(
    db: Database,
    session_id: DeviceId,
    epoch: int,
    question: str,
    language: str,
    answer: CachedAnswer,
    limits: CacheLimits,
    now: datetime,
) -> bool:
    """Keep an answer, and evict what the limits no longer allow; False if it was not kept.

    It is not kept if its conversation was erased since the turn began, if the limits leave no room for it, or if
    another process erased what was to make room.
    """
    size = sum(len(text.encode("utf-8", "replace")) for text in (question, answer.text)) + len(answer.audio)
    if limits.ttl_s <= 0 or size > limits.total_bytes:
        return False
    key = input_hash(question, language, answer.asked)
    of_session = CacheRow.session_id == session_id
    with db.atomic() as transaction:
        # Written, not read: this locks the conversation, so that it is not erased during the rest.
        alive = Conversation.update(epoch=epoch).where(
            (Conversation.session_id == session_id) & (Conversation.epoch == epoch)
        )
        if not alive.execute(db):
            return False
        unwanted = CacheRow.select(CacheRow.id, CacheRow.size).tuples()
        others = unwanted.where(of_session & (CacheRow.input_hash != key)).order_by(CacheRow.last_accessed.desc())
        evicted = dict(unwanted.where(of_session & (CacheRow.input_hash == key)).execute(db))
        expired = unwanted.where(CacheRow.created_at <= _oldest(limits.ttl_s, now)).order_by(CacheRow.created_at)
        evicted |= dict(expired.limit(_PAGE).execute(db))
        evicted |= dict(others.offset(limits.session_entries - 1).execute(db))
        held = counters.read(db)[Counter.CACHE_BYTES] + size - sum(evicted.values())
        if held > limits.total_bytes:
            for row_id, row_size in _least_recently_used(db):
                if row_id not in evicted:
                    evicted[row_id] = row_size
                    held -= row_size
                if held <= limits.total_bytes:
                    break
        for ids in chunked(evicted, _PAGE):
            if CacheRow.delete().where(CacheRow.id.in_(ids)).execute(db) != len(ids):
                # Another process erased some of them meanwhile and has counted them: not this time.
                transaction.rollback()
                return False
        CacheRow.insert(
            session_id=session_id,
            input_hash=key,
            input_text=question,
            size=size,
            created_at=now,
            last_accessed=now,
            access_count=0,
            rate=answer.rate,
            bitrate_kbps=answer.bitrate_kbps,
            output=answer.text,
            audio=answer.audio,
        ).execute(db)
        counters.add(db, {Counter.CACHE_ENTRIES: 1 - len(evicted), Counter.CACHE_BYTES: size - sum(evicted.values())})
    return True


def _least_recently_used(db: Database) -> Iterator[tuple[int, int]]:
    """Id and size of every answer, the longest unused first, read a page at a time."""
    rows = CacheRow.select(CacheRow.id, CacheRow.size).order_by(CacheRow.last_accessed, CacheRow.id).limit(_PAGE)
    offset = 0
    while page := list(rows.offset(offset).tuples().execute(db)):
        yield from page
        offset += _PAGE


def _oldest(ttl_s: float, now: datetime) -> datetime:
    return now - timedelta(seconds=min(ttl_s, _LONGEST_TTL_S))
