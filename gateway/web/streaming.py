"""Answers that are sent while they are made, to clients that may stop taking them."""

import asyncio
import contextlib
from collections.abc import AsyncIterable, Callable, Mapping

from starlette.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send

SENT_WITHIN_S = 30.0
"""Longest wait for a client to take what is sent; then it is hung up."""


class Stream(StreamingResponse):
    """A streamed answer; `on_end` is called when it has ended in whatever way, also before it began."""

    def __init__(
        self,
        content: AsyncIterable[str | bytes],
        status: int,
        headers: Mapping[str, str],
        media_type: str,
        on_end: Callable[[], None],
    ) -> None:
        super().__init__(content, status, headers, media_type)
        self._on_end = on_end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_in_time(message: Message) -> None:
            async with asyncio.timeout(SENT_WITHIN_S):
                await send(message)

        try:
            with contextlib.suppress(TimeoutError):
                await super().__call__(scope, receive, send_in_time)
        finally:
            self._on_end()
