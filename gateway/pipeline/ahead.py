"""Synthesis that runs ahead: while one piece of a reply is encoded and sent, the next is already asked for.

A voice behind a network takes some 100 ms before its first sound, and some make a piece whole before they send it.
Asked for one after the other, each piece would begin with that wait, audibly after a short one.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from gateway.audio import Pcm

AT_ONCE = 2
"""Pieces of one reply in synthesis: the one that is sent, and the next."""

HELD_MAX_BYTES = 1024 * 1024
"""Samples of one piece that wait to be taken: over 20 s at 24 kHz. The voice waits beyond it."""


class Synthesis:
    """One piece of text on its way to being audio, in a task of its own, which begins at once. Close it at the end."""

    def __init__(self, text: str, audio: AsyncGenerator[Pcm, None], name: str) -> None:
        self.text = text
        self._audio = audio
        self._held: deque[Pcm] = deque()
        self._held_bytes = 0
        self._arrived = asyncio.Event()
        self._taken = asyncio.Event()
        self._task = asyncio.create_task(self._run(), name=name)
        self._task.add_done_callback(lambda _: self._arrived.set())

    async def blocks(self) -> AsyncGenerator[Pcm, None]:
        """Give the audio as it comes, once; then raise what the synthesis raised."""
        while self._held or not self._task.done():
            if not self._held:
                self._arrived.clear()
                await self._arrived.wait()
                continue
            block = self._held.popleft()
            self._held_bytes -= block.samples.nbytes
            self._taken.set()
            yield block
        await self._task

    async def close(self) -> None:
        """End the synthesis, if it still runs, and let go of its audio."""
        self._task.cancel()
        await asyncio.wait({self._task})
        self._held.clear()
        if not self._task.cancelled():
            # Looked at, so that an error that nobody waited for is not reported as forgotten.
            self._task.exception()

    async def _run(self) -> None:
        async with aclosing(self._audio):
            async for block in self._audio:
                self._held.append(block)
                self._held_bytes += block.samples.nbytes
                self._arrived.set()
                while self._held_bytes >= HELD_MAX_BYTES:
                    self._taken.clear()
                    await self._taken.wait()


async def one_ahead(
    texts: AsyncGenerator[str, None], begin: Callable[[str], Synthesis], name: str
) -> AsyncGenerator[Synthesis, None]:
    """Give the synthesis of each of `texts` in order, begun by `begin` as soon as its text is there and fewer than
    `AT_ONCE` run. The one given is closed when the next is asked for; close the generator to end them all.

    Raises, after the last synthesis that was begun: what `texts` raised.
    """
    begun: asyncio.Queue[Synthesis | None] = asyncio.Queue()
    room = asyncio.Semaphore(AT_ONCE)

    async def begin_each() -> None:
        async with aclosing(texts):
            async for text in texts:
                await room.acquire()
                begun.put_nowait(begin(text))

    beginning = asyncio.create_task(begin_each(), name=name)
    beginning.add_done_callback(lambda _: begun.put_nowait(None))
    try:
        while (synthesis := await begun.get()) is not None:
            try:
                yield synthesis
            finally:
                await synthesis.close()
                room.release()
        await beginning
    finally:
        beginning.cancel()
        await asyncio.wait({beginning})
        while not begun.empty():
            if (left := begun.get_nowait()) is not None:
                await left.close()
