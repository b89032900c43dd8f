"""The store as the gateway and the command line see it: asynchronous, with one error for whatever goes wrong."""

from collections import Counter
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from gateway.personality import Kept, Personality
from gateway.store import cache, counters, history, personalities, sessions, statistics
from gateway.store.database import parse_url
from gateway.store.migrations import migrate
from gateway.store.records import (
    CachedAnswer,
    CacheLimits,
    ErasedSession,
    OpenConversation,
    Recollection,
    SessionSummary,
    StoredMessage,
    StoreStatistics,
    Thinned,
)
from gateway.store.worker import DatabaseWorker
from gateway.values import DeviceAddress, DeviceId, Message, TurnRecord

CLEANUP_DAYS_MAX = 365_000
_MESSAGES_PAGE = 200
_TURNS_SEARCHED = 64
_SESSIONS_PAGE = 50
_ROWS_PAGE = 2000
"""Conversations, and messages and turns of theirs, erased in one transaction: a turn waits no longer than for these."""


class Store:
    """Conversations, turns and cached answers in one database. Several processes may use it at once.

    Every method may raise `StoreError`: the database refused, is out of reach or too slow, or is not open. What was
    answered is committed. Times that go in are aware; those that come out are UTC.
    """

    def __init__(self, url: str, *, create: bool = True, busy_timeout_s: float = 5.0, waiting_max: int = 1000) -> None:
        """`create` makes an SQLite file that is not there. `busy_timeout_s` is how long SQLite waits for another
        process that writes; at most `waiting_max` calls may wait for the database.

        Raises:
            ConfigurationError: `url` is not the URL of a database that the gateway knows.
        """
        self._target = parse_url(url, busy_timeout_s, create=create)
        self._worker = DatabaseWorker(self._target, waiting_max)

    @property
    def description(self) -> str:
        """For the banner: kind and place, no password."""
        return self._target.description

    @property
    def refused(self) -> int:
        """Calls refused because too many were waiting."""
        return self._worker.refused

    @property
    def failed(self) -> int:
        """Calls that the database refused, or did not answer in time."""
        return self._worker.failed

    async def start(self) -> None:
        """Connect, make what is missing and bring the tables up to date.

        Raises:
            ConfigurationError: the database cannot be used; the message says what to do.
        """
        await self._worker.start(migrate)

    async def close(self) -> None:
        """Finish what waits, then disconnect."""
        await self._worker.close()

    # A conversation

    async def begin_turn(
        self,
        device: DeviceAddress,
        sessions_max: int,
        now: datetime,
        *,
        messages: int,
        answers: int,
        groups: Sequence[str] = (),
    ) -> OpenConversation:
        """Open the conversation as `open_session` does, and read in the same go what its next turn asks: the newest
        `messages`, which of at most `answers` questions are answered in the cache, and what is said of the device,
        which is in `groups` unless otherwise said.

        Raises:
            SessionLimitReached: there is none, and `sessions_max` are kept already.
        """
        return await self._worker.run_soon(history.begin_turn, device, sessions_max, now, messages, answers, groups)

    async def open_session(self, device: DeviceAddress, sessions_max: int, now: datetime) -> int:
        """The epoch of the device's conversation, which is made if there is none.

        A turn hands it back to `record_turn`: nothing is written to a conversation that was erased meanwhile.

        Raises:
            SessionLimitReached: there is none, and `sessions_max` others are kept.
        """
        return await self._worker.run_soon(history.open_session, device, sessions_max, now)

    async def save_device_info(
        self, device: DeviceAddress, info: Mapping[str, Any], sessions_max: int, now: datetime
    ) -> None:
        """Keep what the device said of itself (its `hello`). This alone does not count as activity.

        Raises:
            SessionLimitReached: the device has no conversation, and `sessions_max` others are kept.
        """
        await self._worker.run_soon(history.save_device_info, device, info, sessions_max, now)

    async def record_turn(self, record: TurnRecord, epoch: int) -> bool:
        """Append a turn and its messages; False, and nothing written, if the conversation of `epoch` was erased."""
        return await self._worker.run(history.record_turn, record, epoch)

    async def amend_reply(self, record: TurnRecord, epoch: int, said: str) -> bool:
        """Correct the newest turn, `record`, of which only `said` was heard; False if the conversation was erased."""
        return await self._worker.run(history.amend_reply, record, epoch, said)

    async def history(self, session_id: DeviceId, limit: int) -> list[Message]:
        """The newest `limit` messages of the user and the assistant, oldest first."""
        return await self._worker.run_soon(history.history, session_id, limit)

    async def messages(self, session_id: DeviceId) -> AsyncIterator[StoredMessage]:
        """The whole conversation, oldest first, read a page at a time."""
        last = 0
        while page := await self._worker.run(history.messages, session_id, last, _MESSAGES_PAGE):
            for _, message in page:
                yield message
            last = page[-1][0]

    async def turns(self, session_id: DeviceId, limit: int) -> list[TurnRecord]:
        """The newest `limit` turns, oldest first, with the device's present spelling."""
        return await self._worker.run(history.turns, session_id, limit)

    async def recollect(self, session_id: DeviceId, first: int) -> Recollection:
        """How the device spoke last, and the newest number of its recent turns that is `first` or above."""
        return await self._worker.run_soon(history.recollect, session_id, first, _TURNS_SEARCHED)

    # All conversations

    async def sessions(self, limit: int, offset: int = 0) -> list[SessionSummary]:
        """Conversations, the most recently active first."""
        return await self._worker.run(sessions.sessions, limit, offset)

    async def session(self, session_id: DeviceId) -> SessionSummary | None:
        return await self._worker.run_soon(sessions.session, session_id)

    async def forget(self, session_id: DeviceId) -> ErasedSession | None:
        """Erase one conversation, its turns and its cached answers; None if there is none."""
        parts: list[Thinned] = []
        while isinstance(part := await self._worker.run(sessions.forget, session_id, _ROWS_PAGE), Thinned):
            parts.append(part)
        return None if part is None else _whole([*parts, part])[0]

    async def cleanup(self, days: float, dry_run: bool, now: datetime) -> list[ErasedSession]:
        """Erase every conversation without activity in the last `days`, oldest first; only say which if `dry_run`.

        Raises:
            ValueError: `days` is below 0 or above `CLEANUP_DAYS_MAX`.
        """
        if not 0 <= days <= CLEANUP_DAYS_MAX:
            raise ValueError(f"days must be from 0 to {CLEANUP_DAYS_MAX}")
        before = now - timedelta(days=days)
        if not dry_run:
            # Yesterday may still be today elsewhere.
            await self._worker.run(counters.forget_days, (now - timedelta(days=1)).date())
        parts: list[ErasedSession | Thinned] = []
        while True:
            page: Sequence[ErasedSession | Thinned]
            if dry_run:
                page = await self._worker.run(sessions.inactive, before, _SESSIONS_PAGE, offset=len(parts))
            else:
                page = await self._worker.run(sessions.erase_inactive, before, _SESSIONS_PAGE, _ROWS_PAGE)
            if not page:
                return _whole(parts)
            parts += page

    async def statistics(self, now: datetime) -> StoreStatistics:
        """Figures over everything stored. Which day is today follows from the time zone of `now`, which is that of
        the turns recorded."""
        return await self._worker.run(statistics.statistics, now)

    # What operators said of devices and groups, each named by `device_target` or `group_target`

    async def kept(self, device: DeviceId, groups: Sequence[str] = ()) -> Kept:
        """What is said of a device and of its groups: `groups`, unless otherwise said."""
        return await self._worker.run(personalities.kept, device, groups)

    async def personality(self, target: str) -> Personality:
        """What is said of one device or group."""
        return await self._worker.run(personalities.said, target)

    async def personalities(self) -> dict[str, Personality]:
        """All that is said, by target."""
        return await self._worker.run(personalities.everything)

    async def change_personality(self, target: str, changes: Mapping[str, Any], rows_max: int) -> Personality:
        """Say the values of `changes` of `target`, and no longer those that are None there; return what is said now.

        Raises:
            PersonalityLimitReached: it is a new one, and `rows_max` are kept.
        """
        return await self._worker.run(personalities.change, target, changes, rows_max)

    async def members(self, group: str, configured: Collection[DeviceId] = ()) -> list[DeviceAddress]:
        """The devices of a group: those of which that is said, and of the `configured` ones those of which nothing
        else is."""
        return await self._worker.run(personalities.members, group, configured)

    async def addresses(self) -> list[DeviceAddress]:
        """Every device that has a conversation."""
        return await self._worker.run(sessions.addresses)

    # Answers given before

    async def cached_answer(
        self, session_id: DeviceId, question: str, language: str, ttl_s: float, now: datetime, asked: str = ""
    ) -> CachedAnswer | None:
        """What this device was answered to the same question no longer than `ttl_s` ago, by the one whose fingerprint
        is `asked`."""
        return await self._worker.run_soon(cache.cached_answer, session_id, question, language, ttl_s, now, asked)

    async def cache_answer(
        self,
        session_id: DeviceId,
        epoch: int,
        question: str,
        language: str,
        answer: CachedAnswer,
        limits: CacheLimits,
        now: datetime,
    ) -> bool:
        """Keep an answer, evicting what `limits` no longer allow; False if it was not kept.

        It is not kept if the conversation of `epoch` was erased, or if the limits leave no room for it.
        """
        return await self._worker.run(cache.cache_answer, session_id, epoch, question, language, answer, limits, now)


def _whole(parts: Sequence[ErasedSession | Thinned]) -> list[ErasedSession]:
    """The conversations that are erased, with all their messages; not those that are only thinner, as somebody spoke
    again meanwhile."""
    thinned = Counter[DeviceId]()
    for part in parts:
        if isinstance(part, Thinned):
            thinned[part.session_id] += part.messages
    return [
        replace(part, message_count=part.message_count + thinned[part.session_id])
        for part in parts
        if isinstance(part, ErasedSession)
    ]
