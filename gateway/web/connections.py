"""The web server's connections: so many, and none for longer than somebody makes use of it. uvicorn waits for ever for
a request to come, and for a client to take what it is sent."""

import asyncio
from functools import partial
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

CONNECTIONS_MAX = 256
HEAD_WITHIN_S = 10.0
"""Longest wait for a request, its body left out; between two requests uvicorn waits 5 s for the next to begin."""
TAKEN_WITHIN_S = 30.0
"""Longest wait for a client to take what waits to be sent; then it is hung up."""

_NO_ROOM = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nRetry-After: 2\r\nConnection: close\r\n\r\n"


class Connections:
    """Those that are open. Those that wait for a request are in `waiting`, the longest first."""

    def __init__(self) -> None:
        self.waiting: dict[HttpConnection, None] = {}
        self.ended = 0
        """Hung up, or turned away, because there was no room for them or they did not take what they were sent."""

    @property
    def http(self) -> Any:
        """For uvicorn: what makes a protocol for each new connection."""
        return partial(HttpConnection, self)

    @property
    def websocket(self) -> Any:
        """The same for those that become WebSockets."""
        return partial(WebSocketConnection, self)


class _Writing:
    """Of a protocol: what is sent is taken in time, or the connection ends."""

    loop: asyncio.AbstractEventLoop
    transport: asyncio.Transport
    book: Connections
    _stalled: asyncio.TimerHandle | None = None

    def _stall(self) -> None:
        if self._stalled is None:
            self._stalled = self.loop.call_later(TAKEN_WITHIN_S, self._hang_up)

    def _go_on(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None

    def _hang_up(self) -> None:
        self.book.ended += 1
        self.transport.abort()


class HttpConnection(_Writing, H11Protocol):
    """A connection, until it has become a WebSocket."""

    def __init__(self, book: Connections, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.book = book
        self._head: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > CONNECTIONS_MAX and not self._makes_room():
            self.book.ended += 1
            transport.write(_NO_ROOM)
            transport.close()
            self._stall()
            return
        self._wait_for_head()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._wait_no_longer()

    def on_response_complete(self) -> None:
        self._wait_for_head()
        # The next request may be here already, and begin in it.
        super().on_response_complete()
        if not self.cycle.response_complete:
            self._wait_no_longer()

    def handle_websocket_upgrade(self, event: Any) -> None:
        self._wait_no_longer()
        self._go_on()
        super().handle_websocket_upgrade(event)

    def connection_lost(self, exc: Exception | None) -> None:
        self._wait_no_longer()
        self._go_on()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stall()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._go_on()

    def _makes_room(self) -> bool:
        """Hang up the one that has waited the longest for a request: whoever only holds connections keeps nobody out.
        False if all are answered."""
        longest = next(iter(self.book.waiting), None)
        if longest is None:
            return False
        longest.hang_up_at_once()
        return True

    def hang_up_at_once(self) -> None:
        """There is no room for it any more."""
        self._wait_no_longer()
        self.connections.discard(self)
        self._hang_up()

    def _wait_for_head(self) -> None:
        self._wait_no_longer()
        self.book.waiting[self] = None
        self._head = self.loop.call_later(HEAD_WITHIN_S, self._end_wait)

    def _end_wait(self) -> None:
        if self.transport.get_write_buffer_size():
            # The end of the last answer is still being taken.
            self._stall()
        else:
            self.transport.abort()

    def _wait_no_longer(self) -> None:
        self.book.waiting.pop(self, None)
        if self._head is not None:
            self._head.cancel()
            self._head = None


class WebSocketConnection(_Writing, WebSocketsSansIOProtocol):
    """A browser that talks."""

    def __init__(self, book: Connections, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.book = book

    def pause_writing(self) -> None:
        super().pause_writing()
        # Each ping that came would be answered, which nobody takes.
        self.transport.pause_reading()
        self._stall()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._go_on()
        if not self.read_paused:
            self.transport.resume_reading()

    def on_task_complete(self, task: asyncio.Task[None]) -> None:
        super().on_task_complete(task)
        if not self.disconnected:
            # What is left to send is the close.
            self._stall()

    def connection_lost(self, exc: Exception | None) -> None:
        self._go_on()
        super().connection_lost(exc)
