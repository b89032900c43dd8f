"""The link goes, in one way after the other, whatever the board is doing."""

import asyncio
import itertools
import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.soak.board import WatchedBoard
from tests.e2e.onlooker import Onlooker
from tests.fakes.mosquitto import Mosquitto

SHORTEST_S, LONGEST_S = 0.3, 6.0
BACK_S = 30.0
"""After which a board that is not back will not be."""
STEADY_S = 1.0
"""A link that has held for so long after a drop is back."""
GATEWAY_STATUS = "voice/gateway/status"


@dataclass(slots=True)
class Drop:
    """`seconds` without a link, from `began` (of the monotonic clock), while the board was `during`.

    `ended` is None until board and gateway are back; `back_s` is how long that took them then. `noticed`: the board
    lost its connection.
    """

    kind: str
    began: float
    during: str
    seconds: float = 0.0
    back_s: float = 0.0
    noticed: bool = False
    ended: float | None = None


class Drops:
    """`await drops.run(every_s, tell)` drops the link for ever; `happened` tells when."""

    def __init__(self, board: WatchedBoard, broker: Mosquitto, onlooker: Onlooker, seed: int) -> None:
        self._board = board
        self._broker = broker
        self._onlooker = onlooker
        self._random = random.Random(seed)
        self.happened: list[Drop] = []

    async def run(self, every_s: float, tell: Callable[[str], None]) -> None:
        """The first drop comes after `every_s`.

        Raises:
            Wedged: the board was not back in time.
        """
        began = time.monotonic()
        kinds = itertools.cycle(("wifi down", "broker killed", "wifi silent", "connection reset"))
        for number, kind in enumerate(kinds, 1):
            await asyncio.sleep(began + number * every_s - time.monotonic())
            drop = Drop(kind, time.monotonic(), self._board.state)
            self.happened.append(drop)
            losses = self._board.losses
            await self._drop(drop)
            restored = time.monotonic()
            await self._board.steady(STEADY_S, BACK_S)
            drop.ended = time.monotonic()
            drop.noticed = self._board.losses > losses
            drop.back_s = drop.ended - restored - STEADY_S
            after = f"back after {drop.back_s:.1f} s more" if drop.noticed else "the board did not notice"
            tell(f"{kind} for {drop.seconds:.1f} s while {drop.during}; {after}")

    async def _drop(self, drop: Drop) -> None:
        if drop.kind == "connection reset":
            self._board.type("!cut")
            return
        drop.seconds = self._random.uniform(SHORTEST_S, LONGEST_S)
        if drop.kind == "broker killed":
            seen = len(self._onlooker.on(GATEWAY_STATUS))
            await self._broker.stop(kill=True)
            await asyncio.sleep(drop.seconds)
            await self._broker.start()
            await self._onlooker.nth(GATEWAY_STATUS, seen)
        else:
            self._board.type(f"!{drop.kind}")
            await asyncio.sleep(drop.seconds)
            self._board.type("!wifi up")
