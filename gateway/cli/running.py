"""How commands run what is asynchronous, and how the process ends: never held up by a thread that hangs."""

import asyncio
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from typing import Any, Final, NoReturn, TypeVar

T = TypeVar("T")

THREADS_END_S: Final = 1.0
"""Longest wait for threads after everything else has ended."""


class _LoopThreads(ThreadPoolExecutor):
    """The event loop's own threads. The loop waits for them at its end, without a limit (before Python 3.12); a model
    that still loads is no reason to stay."""

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        super().shutdown(wait=False, cancel_futures=cancel_futures)


def run_async(work: Coroutine[Any, Any, T], loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None) -> T:
    """`asyncio.run`, which does not wait for threads of the loop that still work when `work` has ended."""
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.get_loop().set_default_executor(_LoopThreads())
        return runner.run(work)


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """The quicker event loop of the extra `fast` where it is installed; else asyncio's own."""
    if find_spec("uvloop") is None:
        return None
    import uvloop

    return uvloop.new_event_loop


def end_process(code: int) -> NoReturn:
    """End with `code`, after `THREADS_END_S` also when threads run on.

    The interpreter would wait for them, and nobody needs what they do: a synthesis that trickles, a model that loads.
    All that is to be kept has been closed.
    """
    # Elsewhere (a test that runs a command in a thread) the process is somebody else's.
    if threading.current_thread() is threading.main_thread() and _threads_run_on():
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def _threads_run_on() -> bool:
    """Whether threads that the interpreter would wait for do not end within `THREADS_END_S`."""
    ends_at = time.monotonic() + THREADS_END_S
    threads = [each for each in threading.enumerate() if each is not threading.current_thread() and not each.daemon]
    for thread in threads:
        thread.join(max(0.0, ends_at - time.monotonic()))
    return any(thread.is_alive() for thread in threads)
