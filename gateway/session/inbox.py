"""What a device has sent and is not handled yet: in order, and bounded."""

import asyncio
from collections import deque
from dataclasses import dataclass

from gateway.session.direct import DirectQuestion
from gateway.values import Announcement
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


@dataclass(frozen=True, slots=True)
class Asked:
    """Somebody asks a question in this process, or wants its answer no more (`left`)."""

    question: DirectQuestion


@dataclass(frozen=True, slots=True)
class AnnounceAsked:
    """Somebody wants the device to speak; `done` is told why it cannot, None if it will."""

    announcement: Announcement
    done: "asyncio.Future[str | None]"


Request = ForgetAsked | AnnounceAsked | Asked
Item = Arrived | Request


class Inbox:
    """Takes up to `max_messages` messages and `MAX_BYTES` of payload."""

    def __init__(self, max_messages: int) -> None:
        self._max_messages = max_messages
        self._items: deque[Item] = deque()
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

    def put_request(self, asked: Request) -> None:
        """Take what is asked in this process, for which there is always room: whoever asks bounds it."""
        self._items.append(asked)

    def first_overflow(self) -> bool:
        """Note that a message was dropped; True if it is the first since the inbox was empty: that one is told."""
        first, self._overflowing = not self._overflowing, True
        return first

    def take(self) -> Item:
        """Return the oldest; there must be one."""
        item = self._items.popleft()
        if isinstance(item, Arrived):
            self._bytes -= len(item.payload)
        self._overflowing = self._overflowing and bool(self._items)
        return item
