"""The task of a device: it exists only while there is something to do or to wait for, so that a thousand idle devices
cost no task."""

import asyncio
from collections.abc import Awaitable, Callable

DEFECT_PAUSE_S = 0.1
"""After a step that failed."""


class Worker:
    """Repeats `step` until it returns False. A step may wait: for `stir` or `wake`, or for a moment.

    A device that streams is waited for dozens of times a second, each time until a little later, and what is waited
    for hardly ever comes late. So a timer stands until it fires, and only then looks whether it fired too early.
    """

    def __init__(self, name: str, step: Callable[[], Awaitable[bool]], on_defect: Callable[[Exception], None]) -> None:
        """`on_defect` is told what `step` raised; the next step is taken all the same."""
        self._name = name
        self._step = step
        self._on_defect = on_defect
        self._task: asyncio.Task[None] | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0

    @property
    def works(self) -> bool:
        """Whether the task exists."""
        return self._task is not None

    def stir(self) -> None:
        """There is something to do: begin, or stop waiting."""
        if self._task is None:
            self._task = asyncio.create_task(self._work(), name=self._name)
        else:
            self.wake()

    def wake(self) -> None:
        """Stop waiting, if there is somebody who waits."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def wait(self, until: float | None, now: float) -> None:
        """Wait within a step until somebody stirs or wakes it, at most until `until` (seconds of the clock of `now`;
        None: for however long it takes). May return early: look again at what there is to do."""
        loop = asyncio.get_running_loop()
        if until is not None and (self._timer is None or until < self._timer_at):
            self._stop_timer()
            self._timer = loop.call_later(until - now, self._fire)
            self._timer_at = until
        self._waiter = loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    async def close(self, within_s: float) -> None:
        """Cancel the task, and wait for its end for at most `within_s` seconds."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task}, timeout=within_s)

    async def _work(self) -> None:
        try:
            while await self._guarded_step():
                pass
        finally:
            self._task = None
            self._stop_timer()

    async def _guarded_step(self) -> bool:
        try:
            return await self._step()
        except Exception as defect:
            self._on_defect(defect)
            # If the next step fails as well, and does not wait either, nobody else would get to do anything.
            await asyncio.sleep(DEFECT_PAUSE_S)
            return True

    def _fire(self) -> None:
        self._timer = None
        self.wake()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
