"""Clients that hold connections without making use of them."""

import asyncio
import contextlib
from contextlib import AsyncExitStack

import httpx2
import pytest
from websockets.asyncio.client import connect

from gateway.web.connections import CONNECTIONS_MAX
from tests.web.conftest import PATIENCE_S, Site


class Raw:
    """A connection that sends and reads bytes."""

    def __init__(self, site: Site) -> None:
        url = httpx2.URL(site.url)
        self._where = (url.host, url.port)
        self.reader: asyncio.StreamReader
        self.writer: asyncio.StreamWriter

    async def __aenter__(self) -> "Raw":
        self.reader, self.writer = await asyncio.open_connection(*self._where)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.close()

    async def ended(self) -> bool:
        """Wait until the server has hung up."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                while await self.reader.read(65536):
                    pass
        except ConnectionError:
            return True
        return True


async def ended_connections(site: Site) -> int:
    page = (await site.http.get("/metrics")).text
    return int(float(page.split("\nvoice_http_connections_ended ")[1].split("\n")[0]))


async def test_who_only_holds_connections_keeps_nobody_out(site: Site) -> None:
    async with AsyncExitStack() as stack:
        idle = [await stack.enter_async_context(Raw(site)) for _ in range(CONNECTIONS_MAX + 10)]
        async with httpx2.AsyncClient(base_url=site.url, timeout=PATIENCE_S, trust_env=False) as other:
            assert (await other.get("/healthz")).status_code == 200
        assert await idle[0].ended()
        assert await ended_connections(site) >= 10


@pytest.mark.parametrize("sent", [b"", b"GET /healthz HT", b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\nGET /he"])
async def test_a_request_that_does_not_come_is_not_waited_for(
    site: Site, sent: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.web.connections.HEAD_WITHIN_S", 0.2)
    async with Raw(site) as client:
        client.writer.write(sent)
        assert await client.ended()
    assert (await site.http.get("/healthz")).status_code == 200


async def test_who_takes_nothing_of_an_answer_is_hung_up(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.web.connections.TAKEN_WITHIN_S", 0.2)
    async with Raw(site) as client:
        # More answers than all buffers between the two hold.
        request = b"GET /openapi.json HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
        await _send_until_hung_up(client, request)
    assert await ended_connections(site) == 1


async def test_pings_that_nobody_takes_the_answers_of_are_bounded(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.web.connections.TAKEN_WITHIN_S", 0.2)
    url = f"{site.url.replace('http', 'ws', 1)}/api/talk?device=web-0123456789"
    async with Raw(site) as client:
        head = (
            b"GET /api/talk?device=web-0123456789 HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        client.writer.write(head)
        assert b"101" in await client.reader.readline()
        await _send_until_hung_up(client, b"\x89\xfd\0\0\0\0" + b"x" * 125)
    async with connect(url, proxy=None) as again:
        assert "ready" in str(await again.recv())


async def _send_until_hung_up(client: Raw, request: bytes) -> None:
    """Send on and on, and read nothing."""
    async with asyncio.timeout(PATIENCE_S):
        with contextlib.suppress(ConnectionError):
            while True:
                client.writer.write(request * 100)
                await client.writer.drain()
