"""Work of many devices in two steps, the second of which is cheaper a piece when pieces are done together.

Work-conserving: a free thread takes what there is; no timer runs, and work that is alone is done at once. What came
while the threads were busy is then done together. Which work a free thread takes:

1. The first step of what came first. What has it behind it gathers meanwhile for the second.
2. When nothing waits for the first step, the second: of the work that came first and of whatever fits it.

Work that gathers waits only for the first step of such work as came before its own was done, never for what came
later. And since the batch is made around the work that came first, work that fits no other is reached as soon as what
came before it has been, however much of another kind there is.
"""

import asyncio
import bisect
import threading
import time
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from operator import attrgetter
from typing import Final, Generic, TypeVar

from gateway.engines.workers import CLOSE_S
from gateway.errors import EngineBusy, EngineFailed

_ARRIVAL: Final = attrgetter("arrival")


class Job:
    """One piece of work.

    The first step sets `key`: jobs with equal keys can go through the second step together. A step sets `done` when
    the job needs no more; a job that is not done after the second goes to the first again, in its old place.
    """

    def __init__(self) -> None:
        self.key: Hashable = None
        self.done = False
        self.arrival = 0
        self.gathered_at = 0
        """How many jobs had arrived when the first step was done."""
        self.future: Future[None] = Future()


JobT = TypeVar("JobT", bound=Job)
Step = Callable[[Sequence[JobT]], None]
"""Blocks; runs in several threads at once, on different jobs. One that raises leaves its jobs so that it can be done
again for each alone."""


@dataclass(slots=True)
class BatchCounters:
    """What became of the work: `cancelled` is what nobody waited for any more, `busy` what was not taken on. `batches`
    and `largest_batch` are of the second step."""

    done: int = 0
    failed: int = 0
    cancelled: int = 0
    busy: int = 0
    batches: int = 0
    largest_batch: int = 0


class Batcher(Generic[JobT]):
    """Takes jobs through both steps in `threads` threads. It is the one place where those meet asyncio."""

    def __init__(
        self,
        name: str,
        first: Step[JobT],
        second: Step[JobT],
        *,
        threads: int,
        queue: int,
        first_together: int,
        second_together: int,
        shares: bool,
    ) -> None:
        """At most `threads` and `queue` jobs are taken on; a step gets at most as many at once as `…_together` says.

        `shares`: threads that would otherwise be idle share what goes through the second step. Not for threads that
        would only wait for the same device.
        """
        self.counters = BatchCounters()
        self._name = name
        self._first, self._second = first, second
        self._first_together, self._second_together = first_together, second_together
        self._shares = shares
        self._limit = threads + queue
        self._threads = [threading.Thread(target=self._serve, name=f"{name}_{number}") for number in range(threads)]
        self._changed = threading.Condition()
        self._closing = False
        self._arrived = 0
        # Each in the order of arrival.
        self._waiting: list[JobT] = []
        self._gathered: list[JobT] = []
        self._running: set[JobT] = set()
        self._in_first = 0
        self._threads_in_second = 0

    @property
    def pending(self) -> int:
        """How many jobs are on their way."""
        return len(self._waiting) + len(self._gathered) + len(self._running)

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    async def run(self, job: JobT) -> None:
        """Take `job` through the steps until it is done. One that is cancelled is taken out at once; a step that it is
        in goes on without anybody waiting for it.

        Raises:
            EngineBusy: too many jobs are on their way.
            EngineFailed: this is being closed.
        """
        with self._changed:
            if self._closing:
                raise EngineFailed(f"{self._name} is being closed")
            if self.pending >= self._limit:
                self.counters.busy += 1
                raise EngineBusy(f"{self._limit} pieces of work already wait for {self._name}")
            self._arrived += 1
            job.arrival = self._arrived
            self._waiting.append(job)
            self._changed.notify()
        try:
            await asyncio.wrap_future(job.future)
        except asyncio.CancelledError:
            self._take_out(job)
            raise

    async def close(self) -> None:
        """Fail what is on its way, and wait until the threads are done with their step, at most `CLOSE_S`: then they
        end alone."""
        with self._changed:
            self._closing = True
            left = [*self._waiting, *self._gathered, *self._running]
            self._waiting.clear()
            self._gathered.clear()
            self._running.clear()
            self._changed.notify_all()
        for job in left:
            self._settle(job, EngineFailed(f"{self._name} is being closed"))
        if self._threads[0].ident is not None:
            await asyncio.to_thread(self._join)

    def _join(self) -> None:
        ends_at = time.monotonic() + CLOSE_S
        for thread in self._threads:
            thread.join(max(0.0, ends_at - time.monotonic()))

    def _take_out(self, job: JobT) -> None:
        with self._changed:
            for jobs in (self._waiting, self._gathered):
                if job in jobs:
                    jobs.remove(job)
            self._running.discard(job)
            self.counters.cancelled += 1

    def _serve(self) -> None:
        while True:
            with self._changed:
                while not self._closing and (taken := self._take()) is None:
                    self._changed.wait()
                if self._closing:
                    return
            assert taken is not None
            step, jobs = taken
            self._put_back(jobs, gathers=step is self._first, errors=self._do(step, jobs))

    def _do(self, step: Step[JobT], jobs: Sequence[JobT]) -> dict[JobT, Exception]:
        """Do `step`; return what went wrong with which job. What fails together is done again one by one: who was in it
        with a bad one gets what he asked for."""
        try:
            step(jobs)
        except Exception as error:
            if len(jobs) == 1:
                return {jobs[0]: error}
        else:
            return {}
        errors: dict[JobT, Exception] = {}
        for job in jobs:
            if job in self._running:
                errors |= self._do(step, [job])
        return errors

    def _take(self) -> tuple[Step[JobT], list[JobT]] | None:
        """Choose what to do next, as the top of this file says."""
        oldest = self._gathered[0] if self._gathered else None
        fitting = [job for job in self._gathered if oldest is not None and job.key == oldest.key]
        first = [job for job in self._waiting if oldest is None or job.arrival <= oldest.gathered_at]
        if first and len(fitting) < self._second_together:
            jobs, step = first[: self._first_together], self._first
            self._waiting = [job for job in self._waiting if job not in jobs]
            self._in_first += len(jobs)
        elif fitting:
            jobs, step = fitting[: self._share(len(fitting))], self._second
            self._gathered = [job for job in self._gathered if job not in jobs]
            self._threads_in_second += 1
            self.counters.batches += 1
            self.counters.largest_batch = max(self.counters.largest_batch, len(jobs))
        else:
            return None
        self._running.update(jobs)
        return step, jobs

    def _share(self, fitting: int) -> int:
        """How many of `fitting` jobs one thread takes through the second step."""
        if not self._shares or self._waiting:
            return self._second_together
        # Those that other threads still have in the first step will be there for them.
        free = len(self._threads) - self._threads_in_second
        return min(self._second_together, -(-(fitting + self._in_first) // free))

    def _put_back(self, jobs: list[JobT], *, gathers: bool, errors: dict[JobT, Exception]) -> None:
        """Send each of `jobs`, after a step, where it goes next; those with one of `errors` to who asked for them."""
        finished = []
        with self._changed:
            if gathers:
                self._in_first -= len(jobs)
            else:
                self._threads_in_second -= 1
            for job in jobs:
                if job not in self._running:
                    continue
                self._running.discard(job)
                if job in errors or job.done:
                    finished.append(job)
                    if job in errors:
                        self.counters.failed += 1
                    else:
                        self.counters.done += 1
                elif gathers:
                    job.gathered_at = self._arrived
                    bisect.insort(self._gathered, job, key=_ARRIVAL)
                else:
                    bisect.insort(self._waiting, job, key=_ARRIVAL)
            self._changed.notify_all()
        for job in finished:
            self._settle(job, errors.get(job))

    @staticmethod
    def _settle(job: JobT, error: Exception | None) -> None:
        # False if its caller was cancelled at this very moment.
        if job.future.set_running_or_notify_cancel():
            if error is None:
                job.future.set_result(None)
            else:
                job.future.set_exception(error)
