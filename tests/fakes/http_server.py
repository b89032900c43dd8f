"""A small real HTTP/1.1 server for tests: it answers as told, and can be told to misbehave.

A connection takes one request after the other. Whether a client waited for the whole answer is seen on the
connection itself.
"""

import asyncio
import contextlib
import json
import ssl
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.message import Message
from email.parser import BytesParser
from email.policy import HTTP
from enum import Enum
from types import TracebackType
from typing import Any, Self

_HEAD_LIMIT = 64 * 1024


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it came; header names are in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def fields(self) -> dict[str, str]:
        """The text fields of a multipart form."""
        return {name: _content(part).decode() for name, part in self._parts() if part.get_filename() is None}

    @property
    def files(self) -> dict[str, bytes]:
        """The files of a multipart form, by field name."""
        return {name: _content(part) for name, part in self._parts() if part.get_filename() is not None}

    def _parts(self) -> list[tuple[str, Message]]:
        head = f"Content-Type: {self.headers['content-type']}\r\n\r\n".encode()
        message = BytesParser(policy=HTTP).parsebytes(head + self.body)
        return [(str(part.get_param("name", header="content-disposition")), part) for part in message.iter_parts()]


def _content(part: Message) -> bytes:
    payload = part.get_payload(decode=True)
    assert isinstance(payload, bytes)
    return payload


class Ending(Enum):
    """What happens after the last piece of a body."""

    COMPLETE = "complete"
    CLOSE = "close"
    """The connection is torn down where the body stands."""
    HANG = "hang"
    """Nothing more comes until the client goes away."""


@dataclass(frozen=True, slots=True)
class Response:
    """What to send: the body in `pieces`, each after `piece_delay_s`; no status line at all without `head`. Nothing
    before `delay_s` is over, and `wait_for`, if given, has happened."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    pieces: tuple[bytes, ...] = ()
    ending: Ending = Ending.COMPLETE
    head: bool = True
    delay_s: float = 0.0
    wait_for: asyncio.Event | None = None
    piece_delay_s: float = 0.0


class Route(ABC):
    """One path: what it was asked, in order. What it answers is for a subclass to say."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.arrived: asyncio.Queue[Request] = asyncio.Queue()
        """Each request as soon as it is here: `await route.arrived.get()`."""
        self.abandoned: asyncio.Queue[Request] = asyncio.Queue()
        """Each request whose client went away before the answer was whole."""

    @abstractmethod
    def respond(self, request: Request) -> Response:
        """What this path answers."""


class HttpServer:
    """Serves `routes`, by path, on a free port of the loopback interface."""

    def __init__(self, routes: Mapping[str, Route]) -> None:
        self._routes = routes
        self.port = 0
        self.tls: ssl.SSLContext | None = None
        """Set before `start()`, it makes this a server of HTTPS."""
        self.accepted = 0
        """Connections that clients have opened."""
        self.strays: asyncio.Queue[Request] = asyncio.Queue()
        """Each request for a path that is not served."""
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen; after `stop()`, on the same port again."""
        self._server = await asyncio.start_server(
            self._on_connection, "127.0.0.1", self.port, limit=_HEAD_LIMIT, ssl=self.tls
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop listening (from now on connections are refused) and end what runs."""
        if self._server is None:
            return
        self._server.close()
        for task in tuple(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        await self._server.wait_closed()
        self._server = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def _on_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        self.accepted += 1
        early = b""
        try:
            while (rest := await self._serve(reader, writer, early)) is not None:
                early = rest
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client went away; what it did not wait for has been noted
        except asyncio.CancelledError:
            pass  # by stop(); passed on, asyncio would log it as an error
        finally:
            self._connections.discard(task)
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, early: bytes) -> bytes | None:
        """Take one request, of which `early` is here already, and answer it; return what has come of the next one, or
        None when there will be none."""
        request = await _read_request(reader, early)
        route = self._routes.get(request.path)
        if route is None:
            self.strays.put_nowait(request)
            await _send(writer, request, Response(404, {"Content-Type": "text/plain"}, (b"no such path",)))
            return b""
        route.requests.append(request)
        route.arrived.put_nowait(request)
        response = route.respond(request)
        sending = asyncio.create_task(_send(writer, request, response))
        leaving = asyncio.create_task(reader.read(1))
        try:
            await asyncio.wait((sending, leaving), return_when=asyncio.FIRST_COMPLETED)
            if not sending.done() and (leaving.exception() is not None or leaving.result() == b""):
                route.abandoned.put_nowait(request)
                return None
            await asyncio.wait((sending,))
        finally:
            for task in (sending, leaving):
                task.cancel()
            _, read = await asyncio.gather(sending, leaving, return_exceptions=True)
        if not response.head or response.ending is not Ending.COMPLETE or read == b"" or isinstance(read, Exception):
            return None
        return read if isinstance(read, bytes) else b""


async def _read_request(reader: asyncio.StreamReader, early: bytes) -> Request:
    head = (early + await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, path, _version = head[0].split(" ")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in head[1:] if line)}
    if headers.get("transfer-encoding") == "chunked":
        body = await _read_chunks(reader)
    else:
        body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Request(method, path.split("?")[0], headers, body)


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while size := int(await reader.readline(), 16):
        body += await reader.readexactly(size)
        await reader.readexactly(2)
    await reader.readexactly(2)
    return body


async def _send(writer: asyncio.StreamWriter, request: Request, response: Response) -> None:
    await asyncio.sleep(response.delay_s)
    if response.wait_for is not None:
        await response.wait_for.wait()
    if response.head:
        headers = {"Transfer-Encoding": "chunked"} | dict(response.headers)
        lines = [f"HTTP/1.1 {response.status} Told", *(f"{name}: {value}" for name, value in headers.items())]
        writer.write("\r\n".join([*lines, "", ""]).encode("latin-1"))
        await writer.drain()
        if request.method == "HEAD":
            return
        for piece in filter(None, response.pieces):
            if response.piece_delay_s:
                await asyncio.sleep(response.piece_delay_s)
            writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            await writer.drain()
    if response.ending is Ending.HANG:
        await asyncio.Event().wait()
    if response.ending is Ending.COMPLETE:
        writer.write(b"0\r\n\r\n")
        await writer.drain()
