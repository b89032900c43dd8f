"""A question that does not come over MQTT: its reply goes to whoever asked it in this process."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable

from gateway.errors import BrokerUnavailable

REPLY_CHUNKS = 16
"""Of a reply that wait to be taken, of 4 KiB each; the turn waits beyond it."""
TAKEN_WITHIN_S = 30.0
"""Longest wait for that; then the turn fails. A device speaks one turn at a time, and others may be waiting for it."""


class DirectQuestion:
    """A sound file (`audio`, whatever libsndfile reads) and the MP3 that answers it, as it is made.

    `turn` is the turn's number as soon as it has begun; events of `device` tell of it.
    """

    def __init__(self, audio: bytes) -> None:
        self.audio = audio
        self.turn: int | None = None
        self.left = False
        """Whoever asked has gone; nobody wants a reply."""
        self._chunks: deque[bytes] = deque()
        self._ended = False
        self._came = asyncio.Event()
        self._room = asyncio.Event()
        self._on_left: Callable[[], None] = lambda: None

    # For whoever asks

    async def reply(self) -> AsyncGenerator[bytes, None]:
        """Yield the MP3 bytes of the reply until it ends; there are none if it was interrupted before it began."""
        while True:
            while self._chunks:
                self._room.set()
                yield self._chunks.popleft()
            if self._ended:
                return
            self._came.clear()
            await self._came.wait()

    def leave(self) -> None:
        """Want no more of the reply: its turn ends, if it has not ended."""
        if not (self.left or self._ended):
            self.left = True
            self._on_left()
        self.end()

    # For the session

    def handed_to(self, on_left: Callable[[], None]) -> None:
        """Note what is to be called when whoever asked goes."""
        self._on_left = on_left

    async def send(self, mp3: bytes) -> None:
        """Hand over the next part of the reply; the empty one ends it.

        Raises:
            BrokerUnavailable: what came before it is not taken.
        """
        if not mp3:
            self.end()
        if self._ended:
            return
        try:
            async with asyncio.timeout(TAKEN_WITHIN_S):
                while len(self._chunks) >= REPLY_CHUNKS and not self._ended:
                    self._room.clear()
                    await self._room.wait()
        except TimeoutError:
            raise BrokerUnavailable(f"whoever asked took nothing of the reply for {TAKEN_WITHIN_S:g} s") from None
        self._chunks.append(mp3)
        self._came.set()

    def end(self) -> None:
        """Nothing more comes."""
        self._ended = True
        self._came.set()
        self._room.set()
