"""Tells the gateway what has been heard, when it would have been heard."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable

from gateway.device.exchange import Ended, Exchange
from gateway.errors import BrokerUnavailable
from gateway.values import ReplyForm

Report = Callable[[int, int, bool], Awaitable[None]]
"""Publishes `played` for a turn: up to the chunk of this number, and whether that was all."""


class PlayedReporter:
    """Reports each chunk of a framed reply at the moment at which a board would have played it out."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._timers: dict[tuple[int, int], asyncio.TimerHandle] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def chunk_arrived(self, exchange: Exchange) -> None:
        """Plan the report of the newest chunk; the frame that ends a reply plans that of its last chunk anew."""
        seq, ends_at = exchange.last_seq, exchange.playback.ends_at
        if exchange.form is not ReplyForm.FRAMES or exchange.turn is None or seq is None or ends_at is None:
            return
        key = (exchange.turn, seq)
        if (planned := self._timers.pop(key, None)) is not None:
            planned.cancel()
        delay_s = max(0.0, ends_at - time.monotonic())
        self._timers[key] = asyncio.get_running_loop().call_later(delay_s, self._heard, exchange, exchange.turn, seq)

    async def stop(self) -> None:
        """Report nothing more."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _heard(self, exchange: Exchange, turn: int, seq: int) -> None:
        del self._timers[turn, seq]
        if exchange.superseded or exchange.ended is Ended.CANCELLED:
            return
        whole = exchange.ended is Ended.END and exchange.last_seq == seq
        task = asyncio.create_task(self._tell(turn, seq, whole), name=f"report chunk {seq} of turn {turn:#06x}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _tell(self, turn: int, seq: int, whole: bool) -> None:
        # A report is news; after a reconnect it no longer is.
        with contextlib.suppress(BrokerUnavailable):
            await self._report(turn, seq, whole)
