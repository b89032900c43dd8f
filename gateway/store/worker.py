"""The one thread on which a store's database is used: blocking database code meets asyncio here and nowhere else."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Concatenate, ParamSpec, TypeVar

from peewee import Database

from gateway.errors import ConfigurationError, StoreError
from gateway.store.database import Target

P = ParamSpec("P")
T = TypeVar("T")


class DatabaseWorker:
    """Runs jobs on the database one after the other, in the order they were given, on a thread of its own.

    At most `waiting_max` jobs wait or run; one more is refused and counted in `refused`. A job whose caller was
    cancelled is dropped if it had not begun, and else runs to its end.
    """

    def __init__(self, target: Target, waiting_max: int) -> None:
        self._target = target
        self._places = threading.BoundedSemaphore(waiting_max)
        self._waiting_max = waiting_max
        self._executor: ThreadPoolExecutor | None = None
        self._db: Database | None = None
        self.refused = 0

    async def start(self, prepare: Callable[[Database], None]) -> None:
        """Open the database and run `prepare` on it.

        Raises:
            ConfigurationError: one of the two did not work; the message says what to do.
        """
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="database")
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
        return await asyncio.wrap_future(future)

    async def close(self) -> None:
        """Finish what waits, then close the database. Closing twice is harmless."""
        executor, self._executor = self._executor, None
        if executor is not None:
            await asyncio.get_running_loop().run_in_executor(executor, self._close)
            executor.shutdown(wait=False)

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
        if db is None:
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
