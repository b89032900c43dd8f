"""What the sessions and turns of devices ask of the store, each call timed."""

import itertools
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeVar

from peewee import Database

from benchmarks.million import NOW
from gateway.config import Settings
from gateway.store import CachedAnswer, CacheLimits, Store
from gateway.values import DeviceAddress, Outcome, ReplyForm, Timings, TurnKind, TurnRecord, parse_device_id
from gateway.wire.frame import FIRST_GATEWAY_TURN, LAST_DEVICE_TURN

T = TypeVar("T")
Undo = Callable[[Database], None]

SETTINGS = Settings()
LIMITS = CacheLimits(SETTINGS.cache_ttl_s, SETTINGS.cache_session_entries, SETTINGS.cache_max_mb * 1024 * 1024)
ANSWER = CachedAnswer("It is twenty to four in the afternoon, and it rains.", bytes(12_000), 24_000, 48)
"""Two seconds of speech."""
HELLO = {"v": 1, "name": "Kitchen", "max_packet": 4096, "buffer_ms": 2000, "rate": 16000, "language": "en"}

IN_A_TURN = ("begin_turn", "record_turn", "cache_answer")
"""In their order; the device waits for the first one only."""
BESIDE = ("session, recollect", "save_device_info", "statistics")
"""At a device's first message, at each `hello`, and every few seconds."""


class RewoundStore(Store):
    """A store that takes things back on its own connection. As soon as another one has written, SQLite forgets all that
    it had at hand of the file; while a gateway serves, others seldom do."""

    async def rewind(self, undo: Undo) -> None:
        await self._worker.run(undo)


@dataclass
class Side:
    """One database, and the devices that have turns in it, one after the other."""

    store: RewoundStore
    devices: Iterator[str]
    undo: Undo | None = None
    """What takes back what a turn left; not timed."""
    numbers: Iterator[int] = field(default_factory=itertools.count)
    ms: dict[str, list[float]] = field(default_factory=dict)
    """What each call took, in milliseconds."""

    async def turn(self) -> None:
        """What the session and the turn ask, in their order."""
        store, device, number = self.store, address(next(self.devices)), next(self.numbers)
        now, asked = NOW + timedelta(milliseconds=number), f"What is {number} and {number}?"
        messages, answers = SETTINGS.history_messages, SETTINGS.cache_session_entries
        conversation = await self._timed(
            "begin_turn",
            store.begin_turn(device, SETTINGS.sessions_max, now, messages=messages, answers=answers),
        )
        record = a_turn(device, 1 + number % LAST_DEVICE_TURN, asked, now)
        await self._timed("record_turn", store.record_turn(record, conversation.epoch))
        keeping = store.cache_answer(device.id, conversation.epoch, asked, "en", ANSWER, LIMITS, now)
        await self._timed("cache_answer", keeping)
        if self.undo is not None:
            await store.rewind(self.undo)

    async def beside(self) -> None:
        """What is asked beside the turns."""
        device, now = address(next(self.devices)), NOW + timedelta(milliseconds=next(self.numbers))
        await self._timed("session, recollect", self._recall(device))
        await self._timed("save_device_info", self.store.save_device_info(device, HELLO, SETTINGS.sessions_max, now))
        await self._timed("statistics", self.store.statistics(now))

    async def _recall(self, device: DeviceAddress) -> None:
        await self.store.session(device.id)
        await self.store.recollect(device.id, FIRST_GATEWAY_TURN)

    async def _timed(self, call: str, asked: Awaitable[T]) -> T:
        began = time.perf_counter()
        answer = await asked
        self.ms.setdefault(call, []).append((time.perf_counter() - began) * 1000)
        return answer


def address(name: str) -> DeviceAddress:
    return DeviceAddress(parse_device_id(name), name)


def a_turn(device: DeviceAddress, number: int, asked: str, now: datetime) -> TurnRecord:
    """A spoken turn as it is recorded."""
    return TurnRecord(
        device,
        number,
        TurnKind.SPEECH,
        Outcome.COMPLETED,
        now,
        heard=asked,
        said=ANSWER.text,
        language="en",
        chunks=9,
        bytes=len(ANSWER.audio),
        timings=Timings(received=1, stt=90, first_audio_out=400, total=5000),
        reply_form=ReplyForm.FRAMES,
        largest_message=1932,
    )
