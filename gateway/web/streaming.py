"""Answers that are sent while they are made, to clients that may go before their end."""

from collections.abc import AsyncIterable, Callable, Mapping

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send


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
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._on_end()
