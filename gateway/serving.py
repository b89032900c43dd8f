"""The gateway as a process: what it prints, which signals end it, and what the garbage collector leaves alone."""

import asyncio
import gc
import logging
import os
import signal
from contextlib import AsyncExitStack

from gateway.app import Gateway
from gateway.config import Settings

log = logging.getLogger(__name__)


def keep_what_was_started() -> None:
    """Let the garbage collector pass over what there is now. The modules and models of a started gateway are some
    190,000 objects that stay; to look through them took 60 to 140 ms each time, with every device waiting."""
    gc.collect()
    gc.freeze()


def stop_signal() -> asyncio.Event:
    """Return what is set by SIGTERM or SIGINT from now on. A second signal ends the process."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def told_to_stop() -> None:
        stop.set()
        for signal_number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(signal_number)
            # Whoever asks twice does not want to wait any longer, not even for a busy event loop.
            signal.signal(signal_number, lambda number, _frame: os._exit(128 + number))

    for signal_number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signal_number, told_to_stop)
    return stop


async def serve(settings: Settings) -> None:
    """Run the gateway until SIGTERM or SIGINT, then end running turns and return. A second signal ends the process.

    Raises:
        ConfigurationError: something cannot work as configured.
    """
    stopped = asyncio.create_task(stop_signal().wait(), name="wait for a signal")
    async with AsyncExitStack() as stack:
        starting = asyncio.create_task(stack.enter_async_context(Gateway(settings)), name="start")
        # A signal while models load ends the start as well.
        await asyncio.wait({starting, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            starting.cancel()
            await asyncio.wait({starting})
            return
        keep_what_was_started()
        print(starting.result().banner(), flush=True)  # noqa: T201 - the command's output
        await stopped
        log.info("stopping")
