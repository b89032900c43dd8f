"""A probe says whether a server answers, whatever goes wrong."""

import asyncio

import pytest

from gateway.engines.reachable import reachable
from tests.fakes.http_server import Ending, HttpServer, Request, Response, Route


class Answer(Route):
    def __init__(self, response: Response) -> None:
        super().__init__()
        self._response = response

    def respond(self, request: Request) -> Response:
        return self._response


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.mark.parametrize(
    ("status", "answers"),
    [(200, True), (307, True), (403, True), (404, True), (407, False), (500, False), (503, False)],
)
async def test_a_server_that_serves_is_reachable(status: int, answers: bool) -> None:
    async with HttpServer({"/": Answer(Response(status))}) as server:
        assert await reachable(f"http://127.0.0.1:{server.port}/") is answers


async def test_a_server_that_hangs_is_not() -> None:
    route = Answer(Response(ending=Ending.HANG, head=False))
    async with HttpServer({"/": route}) as server:
        assert not await reachable(f"http://127.0.0.1:{server.port}/", timeout_s=0.2)
        await asyncio.wait_for(route.abandoned.get(), 5)


async def test_a_server_that_hangs_up_is_not() -> None:
    async with HttpServer({"/": Answer(Response(ending=Ending.CLOSE, head=False))}) as server:
        assert not await reachable(f"http://127.0.0.1:{server.port}/")


async def test_a_closed_port_is_not() -> None:
    async with HttpServer({}) as server:
        pass
    assert not await reachable(f"http://127.0.0.1:{server.port}/")


@pytest.mark.parametrize("url", ["not an address", "ftp://127.0.0.1/", "http://[::1", ""])
async def test_nonsense_is_not(url: str) -> None:
    assert not await reachable(url)


async def test_it_goes_through_the_proxy_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = Answer(Response(200))
    async with HttpServer({"http://hub.invalid/": proxy}) as server:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{server.port}")
        assert await reachable("http://hub.invalid/")
    assert len(proxy.requests) == 1


@pytest.mark.parametrize("proxy", ["nonsense://127.0.0.1", "socks5://127.0.0.1:9"])
async def test_a_proxy_that_cannot_be_used_makes_nothing_reachable(monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    monkeypatch.setenv("http_proxy", proxy)
    assert not await reachable("http://hub.invalid/")


async def test_cancelling_a_probe_ends_it() -> None:
    route = Answer(Response(ending=Ending.HANG, head=False))
    async with HttpServer({"/": route}) as server:
        probe = asyncio.create_task(reachable(f"http://127.0.0.1:{server.port}/", timeout_s=50))
        await route.arrived.get()
        probe.cancel()
        with pytest.raises(asyncio.CancelledError):
            await probe
        await asyncio.wait_for(route.abandoned.get(), 5)
