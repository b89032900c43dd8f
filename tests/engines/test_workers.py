import asyncio
import threading
from collections.abc import AsyncIterator

import pytest

from gateway.engines.workers import CLOSE_S, Workers
from gateway.errors import EngineBusy


@pytest.fixture
async def workers() -> AsyncIterator[Workers]:
    workers = Workers("test", threads=1, queue=1)
    yield workers
    await workers.close()


class Job:
    """Holds a worker until it is released or abandoned."""

    def __init__(self) -> None:
        self.began = threading.Event()
        self.release = threading.Event()
        self.saw_abandoned = threading.Event()

    def __call__(self, abandoned: threading.Event) -> str:
        self.began.set()
        while not self.release.wait(0.01):
            if abandoned.is_set():
                self.saw_abandoned.set()
                return "abandoned"
        return "done"


async def test_a_full_queue_is_busy_and_a_freed_one_is_not(workers: Workers) -> None:
    running, waiting = Job(), Job()
    first, second = asyncio.create_task(workers.run(running)), asyncio.create_task(workers.run(waiting))
    await asyncio.to_thread(running.began.wait, 5)
    with pytest.raises(EngineBusy, match="2 pieces of work"):
        await workers.run(Job())
    running.release.set()
    waiting.release.set()
    assert await asyncio.gather(first, second) == ["done", "done"]
    assert await workers.run(lambda _: "free") == "free"


async def test_work_that_nobody_waits_for_stops_or_never_starts(workers: Workers) -> None:
    running, waiting = Job(), Job()
    first, second = asyncio.create_task(workers.run(running)), asyncio.create_task(workers.run(waiting))
    await asyncio.to_thread(running.began.wait, 5)
    second.cancel()
    first.cancel()
    await asyncio.gather(first, second, return_exceptions=True)
    assert await asyncio.to_thread(running.saw_abandoned.wait, 5)
    assert await workers.run(lambda _: "next") == "next"
    assert not waiting.began.is_set()


async def test_an_error_reaches_the_caller(workers: Workers) -> None:
    def fail(_: threading.Event) -> None:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        await workers.run(fail)


async def test_closing_stops_what_runs() -> None:
    workers = Workers("test", threads=1, queue=0)
    job = Job()
    running = asyncio.create_task(workers.run(job))
    await asyncio.to_thread(job.began.wait, 5)
    await workers.close()
    assert await running == "abandoned"


async def test_closing_does_not_wait_for_ever() -> None:
    workers = Workers("test", threads=1, queue=1)
    began, release = threading.Event(), threading.Event()

    def deaf(_: threading.Event) -> None:
        began.set()
        release.wait()

    running = asyncio.create_task(workers.run(deaf))
    waiting = asyncio.create_task(workers.run(lambda _: None))
    await asyncio.to_thread(began.wait, 5)
    try:
        async with asyncio.timeout(CLOSE_S + 3):
            await workers.close()
        assert not running.done()
    finally:
        release.set()
    await running
    with pytest.raises(asyncio.CancelledError):
        await waiting
