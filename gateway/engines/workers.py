"""Where blocking code meets asyncio: a few threads with a bounded queue before them."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any, Final, TypeVar

from gateway.errors import EngineBusy

T = TypeVar("T")

CLOSE_S: Final = 2.0
"""Longest wait for what still runs at the end: a request that trickles or a model at work cannot be stopped."""


class Workers:
    """Runs blocking functions in `threads` threads; at most `queue` more wait for one.

    A function gets an event that is set once nobody waits for its result: it should look at it between steps and
    return early. A function that still waits when its caller is cancelled never starts.
    """

    def __init__(self, name: str, *, threads: int, queue: int) -> None:
        self._name = name
        self._limit = threads + queue
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._lock = threading.Lock()
        self._abandoned: dict[Future[Any], threading.Event] = {}

    @property
    def pending(self) -> int:
        """How many functions run or wait."""
        return len(self._abandoned)

    async def run(self, function: Callable[[threading.Event], T]) -> T:
        """Run `function` in a thread and return its result.

        Raises:
            EngineBusy: the queue is full.
        """
        abandoned = threading.Event()
        with self._lock:
            if len(self._abandoned) >= self._limit:
                raise EngineBusy(f"{self._limit} pieces of work already wait for {self._name}")
            future = self._executor.submit(function, abandoned)
            self._abandoned[future] = abandoned
        future.add_done_callback(self._forget)
        try:
            return await asyncio.wrap_future(future)
        finally:
            abandoned.set()
            future.cancel()

    async def close(self) -> None:
        """Drop what waits, tell what runs to stop, and wait until it has, at most `CLOSE_S`: then it runs on alone."""
        with self._lock:
            running = list(self._abandoned)
            for abandoned in self._abandoned.values():
                abandoned.set()
        self._executor.shutdown(wait=False, cancel_futures=True)
        await asyncio.to_thread(wait, running, CLOSE_S)

    def _forget(self, future: Future[Any]) -> None:
        with self._lock:
            del self._abandoned[future]
