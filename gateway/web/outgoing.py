"""What a browser that talks is to be sent: in order, bounded, and without the sound that nobody wants any more."""

import asyncio
import json
from collections import deque
from typing import Any

WAITING_MAX = 256
"""Messages; whoever has more to send waits."""


class Outgoing:
    """Text messages are JSON objects, binary ones sound."""

    def __init__(self) -> None:
        self._waiting: deque[str | bytes] = deque()
        self._came = asyncio.Event()
        self._room = asyncio.Event()

    async def tell(self, message: dict[str, Any]) -> None:
        """Send an object, when there is room."""
        await self._put(json.dumps(message, ensure_ascii=False))

    async def play(self, pcm: bytes) -> None:
        """Send sound, when there is room."""
        await self._put(pcm)

    def cut_off(self, message: dict[str, Any]) -> None:
        """Drop the sound that waits, and send `message` after everything else."""
        texts = [each for each in self._waiting if isinstance(each, str)]
        self._waiting.clear()
        self._waiting.extend([*texts, json.dumps(message, ensure_ascii=False)])
        self._came.set()
        self._room.set()

    async def next(self) -> str | bytes:
        """Wait for the next message and take it."""
        while not self._waiting:
            self._came.clear()
            await self._came.wait()
        self._room.set()
        return self._waiting.popleft()

    async def _put(self, message: str | bytes) -> None:
        while len(self._waiting) >= WAITING_MAX:
            self._room.clear()
            await self._room.wait()
        self._waiting.append(message)
        self._came.set()
