"""What stands before every request: who is let in, how much of a body is read, and the headers that a browser needs."""

import asyncio
import time

from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from gateway.web.access import Access
from gateway.web.errors import WebError

JSON_MAX_BYTES = 64 * 1024
BODY_WITHIN_S = 30.0
"""Longest time for a body to arrive."""

HEADERS = {
    # Nothing of another site, and no script or style but our own files.
    "Content-Security-Policy": (
        "default-src 'self'; connect-src 'self'; img-src 'self' data:; media-src 'self' blob:; worker-src 'self';"
        " style-src 'self'; script-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none';"
        " object-src 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "microphone=(self)",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Guard:
    """An ASGI application before another. `audio_max_bytes` bounds the bodies that are questions."""

    def __init__(self, app: ASGIApp, access: Access, audio_max_bytes: int) -> None:
        self._app = app
        self._access = access
        self._audio_max_bytes = audio_max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        connection = HTTPConnection(scope)
        try:
            self._access.judge(connection, time.monotonic())
        except WebError as refusal:
            if scope["type"] == "websocket":
                await WebSocket(scope, receive, send).send_denial_response(refusal.response())
            else:
                await refusal.response()(scope, receive, _with_headers(send, scope))
            return
        if scope["type"] == "websocket":
            await self._app(scope, receive, send)
            return
        limit = self._audio_max_bytes if scope["path"].startswith("/process") else JSON_MAX_BYTES
        await self._app(scope, _bounded(receive, limit), _with_headers(send, scope))


def _bounded(receive: Receive, limit: int) -> Receive:
    """`receive`, of a body of at most `limit` bytes that comes within `BODY_WITHIN_S`."""
    came = 0
    whole = False
    ends_at = time.monotonic() + BODY_WITHIN_S

    async def bounded() -> Message:
        nonlocal came, whole
        if whole:
            return await receive()
        try:
            async with asyncio.timeout(ends_at - time.monotonic()):
                message = await receive()
        except TimeoutError:
            raise HTTPException(408, f"the body did not arrive within {BODY_WITHIN_S:g} s") from None
        came += len(message.get("body", b""))
        if came > limit:
            raise HTTPException(413, f"the body is larger than {limit} bytes")
        whole = not message.get("more_body", False)
        return message

    return bounded


def _with_headers(send: Send, scope: Scope) -> Send:
    async def with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
            # What is asked for is news, or private; the page's own files are asked for anew and mostly unchanged.
            headers.setdefault("Cache-Control", "no-cache" if scope["path"].startswith("/static/") else "no-store")
        await send(message)

    return with_headers
