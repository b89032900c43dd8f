"""Writing what became of a device's turns, beside everything else; the store keeps the order."""

import asyncio
import logging
from collections.abc import Coroutine
from datetime import UTC
from typing import Any, TypeVar

from gateway.errors import StoreError
from gateway.events import FORGET, SessionsErased, TurnEnded
from gateway.pipeline.turn_request import TurnServices
from gateway.session.telling import Teller
from gateway.store import CachedAnswer, CacheLimits
from gateway.values import TurnRecord

log = logging.getLogger(__name__)

T = TypeVar("T")

WAIT_S = 0.2
"""The next turn does not wait longer for the record of the last one."""

PATIENCE_S = 3.0
"""A turn is told to be done after this even if its record is still not written, and that is told first."""


class Records:
    """The writes of one device that are under way."""

    def __init__(self, services: TurnServices, teller: Teller) -> None:
        self._services = services
        self._teller = teller
        self._writes: set[asyncio.Task[Any]] = set()

    @property
    def writing(self) -> bool:
        return bool(self._writes)

    async def settle(self, within_s: float) -> None:
        """Wait for what is under way, for at most `within_s` seconds."""
        if self._writes:
            await asyncio.wait(self._writes, timeout=within_s)

    async def end(self, record: TurnRecord, epoch: int | None, answer: CachedAnswer | None = None) -> None:
        """Write a turn that has ended (`epoch` None: it is not to be written), keep its `answer`, and tell that it is
        done. Returns when that is done, or takes long."""
        write = self._begin(self._end(record, epoch, answer))
        await asyncio.wait({write}, timeout=WAIT_S)

    def amend(self, record: TurnRecord, epoch: int, said: str) -> None:
        """Correct the newest turn: only `said` was heard of its reply."""
        self._begin(self._amend(record, epoch, said))

    def _begin(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        write = asyncio.create_task(work, name="write turn")
        self._writes.add(write)
        write.add_done_callback(self._writes.discard)
        return write

    async def _end(self, record: TurnRecord, epoch: int | None, answer: CachedAnswer | None) -> None:
        """Write, then tell: what was told to be done survives a crash, unless the database hangs, which is told
        before."""
        erased = False
        try:
            if epoch is not None:
                erased = await self._write(record, epoch, answer)
        except StoreError as exc:
            self._teller.tell_store(exc)
        finally:
            self._services.emit(TurnEnded(record))
        if erased:
            # By another process, while the turn ran: then its words are not to stay in the device's state either.
            self._services.emit(SessionsErased((record.device,), FORGET))

    async def _write(self, record: TurnRecord, epoch: int, answer: CachedAnswer | None) -> bool:
        """Write a turn and the answer to be kept; True if its conversation was erased meanwhile.

        Raises:
            StoreError: it was refused, or is still not written after `PATIENCE_S`; then it may be later.
        """
        writing = self._begin(self._services.store.record_turn(record, epoch))
        await asyncio.wait({writing}, timeout=PATIENCE_S)
        if not writing.done():
            writing.add_done_callback(_log_late_failure)
            raise StoreError(f"turn {record.turn} is not written after {PATIENCE_S:g} s; it may be later")
        erased = not writing.result()
        if answer is not None and not erased:
            await self._keep(record, epoch, answer)
        return erased

    async def _keep(self, record: TurnRecord, epoch: int, answer: CachedAnswer) -> None:
        """Keep an answer for the next time that this device asks the same."""
        settings, now = self._services.settings, self._services.now().astimezone(UTC)
        limits = CacheLimits(settings.cache_ttl_s, settings.cache_session_entries, settings.cache_max_mb * 1024 * 1024)
        store, device = self._services.store, record.device.id
        await store.cache_answer(device, epoch, record.heard, record.language, answer, limits, now)

    async def _amend(self, record: TurnRecord, epoch: int, said: str) -> None:
        try:
            await self._services.store.amend_reply(record, epoch, said)
        except StoreError as exc:
            self._teller.tell_store(exc)


def _log_late_failure(writing: "asyncio.Task[Any]") -> None:
    if not writing.cancelled() and (error := writing.exception()) is not None:
        log.warning("a record that was late could not be written: %s", error)
