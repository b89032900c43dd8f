"""`voice-gateway run`: the gateway itself."""

import asyncio
import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from typing import Final

import typer

from gateway.cli.options import examples, takes_settings
from gateway.settings_sources import Loaded

THREADS_END_S: Final = 1.0
"""Longest wait for threads after everything else has ended."""


class _LoopThreads(ThreadPoolExecutor):
    """The event loop's own threads. The loop waits for them at its end, without a limit (before Python 3.12); a model
    that still loads is no reason to stay."""

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        super().shutdown(wait=False, cancel_futures=cancel_futures)


def register(app: typer.Typer) -> None:
    app.command(
        epilog=examples(
            "voice-gateway run",
            "voice-gateway run --mqtt-url mqtt://user:password@broker.local:1883 --language en",
            "voice-gateway run --config gateway.toml --log-format json",
            "OPENAI_BASE_URL=http://localhost:11434/v1 voice-gateway run --llm openai --llm-model llama3.2:3b",
        )
    )(run)


@takes_settings()
def run(loaded: Loaded) -> None:
    """Serve devices until Ctrl-C or SIGTERM. Each option is a setting; docs/configuration.md explains them."""
    from gateway.app import serve
    from gateway.reports.logs import configure

    settings = loaded.settings
    configure(settings.log_format, settings.log_level)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.get_loop().set_default_executor(_LoopThreads())
        runner.run(serve(settings))
    if _threads_run_on():
        # The interpreter would wait for them, and nobody needs what they do: a synthesis that trickles, a model that
        # loads. All that is to be kept has been closed.
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


def _threads_run_on() -> bool:
    """Whether threads that the interpreter would wait for do not end within `THREADS_END_S`."""
    ends_at = time.monotonic() + THREADS_END_S
    threads = [each for each in threading.enumerate() if each is not threading.current_thread() and not each.daemon]
    for thread in threads:
        thread.join(max(0.0, ends_at - time.monotonic()))
    return any(thread.is_alive() for thread in threads)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """The quicker event loop of the extra `fast` where it is installed; else asyncio's own."""
    if find_spec("uvloop") is None:
        return None
    import uvloop

    return uvloop.new_event_loop
