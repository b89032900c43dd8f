"""What a device has sent and is not handled yet: in order, and bounded."""

import asyncio
from collections import deque
from dataclasses import dataclass

from gateway.wire.topics import Leaf

MAX_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Arrived:
    """A message of the device, on the topic spelled `spelling`, `at` that moment of the monotonic clock."""

    leaf: Leaf
    payload: bytes
    spelling: str
    at: float


@dataclass(frozen=True, slots=True)
class ForgetAsked:
    """An operator wants the conversation erased; `done` is told how many messages it had, None if there was none."""

    done: "asyncio.Future[int | None]"


class Inbox:
    """Takes up to `max_messages` messages and `MAX_BYTES` of payload."""

    def __init__(self, max_messages: int) -> None:
        self._max_messages = max_messages
        self._items: deque[Arrived | ForgetAsked] = deque()
        self._bytes = 0
        self._overflowing = False

    def __len__(self) -> int:
        return len(self._items)

    def put(self, arrived: Arrived) -> bool:
        """Take a message; False if it is one too many, and dropped."""
        # One alone is taken whatever its size, so that the device hears that it is too large.
        too_many_bytes = bool(self._items) and self._bytes + len(arrived.payload) > MAX_BYTES
        if len(self._items) >= self._max_messages or too_many_bytes:
            return False
        self._bytes += len(arrived.payload)
        self._items.append(arrived)
        return True

    def put_request(self, asked: ForgetAsked) -> None:
        """Take an operator's request, for which there is always room: there are few of them."""
        self._items.append(asked)

    def first_overflow(self) -> bool:
        """Note that a message was dropped; True if it is the first since the inbox was empty: that one is told."""
        first, self._overflowing = not self._overflowing, True
        return first

    def take(self) -> Arrived | ForgetAsked:
        """Return the oldest; there must be one."""
        item = self._items.popleft()
        if isinstance(item, Arrived):
            self._bytes -= len(item.payload)
        self._overflowing = self._overflowing and bool(self._items)
        return item
