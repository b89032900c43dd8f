"""Follows everything that the virtual board prints, and hears what it plays."""

import asyncio
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import soundfile

from benchmarks.soak.sounds import Stretch, stretches
from gateway.device.exchange import Signal
from gateway.errors import NothingCame
from tests.e2e.board import Board

POLL_S = 0.1
ANSWER_S = 20.0
"""In which the firmware's loop answers its console, whatever it does: nothing in it blocks for longer."""
SILENCE_S = 60.0
"""In which the board prints something, since it is asked all the time."""


@dataclass(frozen=True, slots=True)
class Sound:
    """What was played from one silence to the next; times in seconds of the monotonic clock."""

    began: float
    ended: float
    heard: tuple[Stretch, ...]


class Wedged(Exception):
    """The board does not come back; says from what."""


class WatchedBoard:
    """A running board that is asked for its state all the time: `await board.watch()` does that, for ever.

    `sounds` is everything that it has played, `counters` the firmware's and the hardware's, as of its last answer;
    `losses` and `connects` count what it said of its MQTT connection.
    """

    def __init__(self, board: Board, file: Path) -> None:
        self._board = board
        self._file = file
        self._signal = Signal()
        self._position = 0
        self._answers = 0
        self._playing_since: float | None = None
        self.state = "offline"
        self.connected = False
        self.losses = 0
        self.connects = 0
        self.sounds: list[Sound] = []
        self.counters: dict[str, int] = {}
        self.said: list[int] = []
        """Of each recording that was played to it to its end: percent of it that the microphone heard."""

    @property
    def playing(self) -> bool:
        return self._playing_since is not None

    @property
    def playing_for(self) -> float:
        """Seconds; 0 while it is silent."""
        return 0.0 if self._playing_since is None else time.monotonic() - self._playing_since

    @property
    def last_lines(self) -> list[str]:
        """What it said of itself lately, without the answers to being asked."""
        told = [each for each in self._board.lines if re.match(r"mqtt|wifi|!(?!counters)", each)]
        return told[-12:]

    def type(self, line: str) -> None:
        self._board.type(line)

    async def watch(self) -> None:
        """Follow what it prints, and ask it for its state, until this is cancelled or it hangs."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow())
            group.create_task(self._poll())

    async def until(self, true: Callable[[], bool], timeout_s: float, what: str) -> None:
        """Wait for something about this board.

        Raises:
            Wedged: it took longer.
        """
        try:
            await self._signal.until(lambda: True if true() else None, timeout_s, lambda: what)
        except NothingCame as error:
            raise Wedged(str(error)) from None

    async def changed(self) -> None:
        """Wait until it has told its state anew, as of after this call."""
        answers = self._answers
        await self.until(lambda: self._answers > answers + 1, 2 * ANSWER_S, "the board's console answered nothing")

    async def steady(self, seconds: float, timeout_s: float) -> None:
        """Wait until its connection has held for so long.

        Raises:
            Wedged: it did not within `timeout_s`.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            left = max(0.0, deadline - time.monotonic())
            await self.until(lambda: self.connected, left, f"no connection to the broker; it is {self.state}")
            losses = self.losses
            await asyncio.sleep(seconds)
            if self.connected and self.losses == losses:
                return

    def resident_bytes(self) -> int:
        pages = int(Path(f"/proc/{self._board.pid}/statm").read_text().split()[1])
        return pages * 4096

    async def _poll(self) -> None:
        while True:
            answers = self._answers
            self.type("status")
            self.type("!counters")
            await self.until(
                lambda answers=answers: self._answers > answers,  # type: ignore[misc]
                ANSWER_S,
                "the board's console answered nothing",
            )
            await asyncio.sleep(POLL_S)

    async def _follow(self) -> None:
        while True:
            self._take((await self._board.line("", SILENCE_S)).string)
            self._signal.notify()

    def _take(self, line: str) -> None:
        if found := re.match(r"state (\w+),", line):
            self.state = found[1]
        elif line.startswith("!counters"):
            self.counters |= {name: int(value) for name, value in re.findall(r"(\w+)=(\d+)", line)}
            self._answers += 1
        elif found := re.fullmatch(r"(\w+) +(\d+)", line):
            self.counters[found[1]] = int(found[2])
        elif line.startswith("mqtt: connected"):
            self.connected = True
            self.connects += 1
        elif line == "mqtt: connection lost":
            self.connected = False
            self.losses += 1
        elif found := re.match(r"!said .* heard=(\d+)%", line):
            self.said.append(int(found[1]))
        elif line.startswith("!speaker start"):
            self._playing_since = time.monotonic()
        elif found := re.match(r"!speaker stop samples=(\d+) .*underrun_samples=(\d+)", line):
            self._keep_sound(int(found[1]) + int(found[2]))

    def _keep_sound(self, samples: int) -> None:
        heard, rate = soundfile.read(self._file, samples, self._position, dtype="int16")
        self._position += samples
        assert self._playing_since is not None
        self.sounds.append(Sound(self._playing_since, time.monotonic(), tuple(stretches(heard, rate))))
        self._playing_since = None
