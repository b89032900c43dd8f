"""The one thread on which a store's database is used: blocking database code meets asyncio here and nowhere else."""

import asyncio
import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Concatenate, ParamSpec, TypeVar

from peewee import Database

from gateway.errors import ConfigurationError, StoreError
from gateway.store.database import Target

PATIENCE_S = 2.0
"""Longest wait of a turn for what it asks the database: it goes on without."""
CLOSE_WAIT_S = 2.0
"""Longest wait at the end for jobs to finish; those that have not begun by then are given up."""

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")


class DatabaseWorker:
    """Runs jobs on the database one after the other, in the order they were given, on a thread of its own.

    At most `waiting_max` jobs wait or run; one more is refused and counted in `refused`. A job whose caller was
    cancelled is dropped if it had not begun, and else runs to its end.

    Counters: `refused` (one more job than may wait), `failed` (the database refused, was out of reach or too slow).
    """

    def __init__(self, target: Target, waiting_max: int) -> None:
        self._target = target
        self._places = threading.BoundedSemaphore(waiting_max)
        self._waiting_max = waiting_max
        self._executor: ThreadPoolExecutor | None = None
        self._db: Database | None = None
        self._giving_up = False
        self.refused = 0
        self.failed = 0

    async def start(self, prepare: Callable[[Database], None]) -> None:
        """Open the database and run `prepare` on it.

        Raises:
            ConfigurationError: one of the two did not work; the message says what to do.
        """
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="database")
        self._giving_up = False
        try:
            await asyncio.get_running_loop().run_in_executor(self._executor, self._open, prepare)
        except BaseException:
            self._executor.shutdown(wait=False)
            self._executor = None
            raise

    async def run(self, job: Callable[Concatenate[Database, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The result of `job`, which is given the open database and the other arguments.

        Raises:
            StoreError: the database refused or is out of reach, too many jobs wait, or the store is not open.
        """
        if self._executor is None:
            raise StoreError(f"{self._target.description} is not open")
        if not self._places.acquire(blocking=False):
            self.refused += 1
            raise StoreError(f"{self._target.description} is too slow: {self._waiting_max} jobs wait for it")
        future: Future[T] = self._executor.submit(self._work, lambda db: job(db, *args, **kwargs))
        future.add_done_callback(self._leave)
        try:
            return await asyncio.wrap_future(future)
        except StoreError:
            self.failed += 1
            raise

    async def run_soon(self, job: Callable[Concatenate[Database, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Like `run`, for what a device waits for.

        Raises:
            StoreError: also when there is no result within `PATIENCE_S`.
        """
        try:
            async with asyncio.timeout(PATIENCE_S):
                return await self.run(job, *args, **kwargs)
        except TimeoutError as exc:
            self.failed += 1
            raise StoreError(f"{self._target.description} did not answer within {PATIENCE_S:g} s") from exc

    async def close(self) -> None:
        """Finish what waits, for at most `CLOSE_WAIT_S`, then close the database. Closing twice is harmless."""
        executor, self._executor = self._executor, None
        if executor is None:
            return
        closing = asyncio.get_running_loop().run_in_executor(executor, self._close)
        executor.shutdown(wait=False)
        try:
            async with asyncio.timeout(CLOSE_WAIT_S):
                await asyncio.shield(closing)
        except TimeoutError:
            self._giving_up = True
            log.warning("%s is too slow: not everything was written before the end", self._target.description)

    def _open(self, prepare: Callable[[Database], None]) -> None:
        db = self._target.open()
        try:
            prepare(db)
        except self._target.errors() as exc:
            db.close()
            raise ConfigurationError(
                f"{self._target.description} cannot be brought up to date ({_reason(exc)}): check that it may be"
                " written, and that no other program holds it"
            ) from exc
        except BaseException:
            db.close()
            raise
        self._db = db

    def _work(self, job: Callable[[Database], T]) -> T:
        db = self._db
        if db is None or self._giving_up:
            raise StoreError(f"{self._target.description} is not open")
        try:
            self._target.revive(db)
            return job(db)
        except self._target.errors() as exc:
            raise StoreError(f"{self._target.description}: {_reason(exc)}") from exc

    def _close(self) -> None:
        db, self._db = self._db, None
        if db is not None:
            db.close()

    def _leave(self, _: "Future[Any]") -> None:
        self._places.release()


def _reason(exc: Exception) -> str:
    """The first line: those that follow may quote what was said."""
    return (str(exc).splitlines() or [type(exc).__name__])[0]
