"""What every engine on OpenAI's API makes of a server that fails."""

import asyncio
import email.utils
import time
from abc import ABC, abstractmethod
from typing import Any

import pytest

from gateway.errors import ConfigurationError, EngineFailed
from tests.fakes.http_server import Ending
from tests.fakes.openai_server import HANG, REFUSE, Broken, Endpoint, OpenAIServer, Status

KEY = "sk-very-secret"


@pytest.fixture
def openai_environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The library's variables, with the secret key and no server."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    return monkeypatch


class OpenAIFailures(ABC):
    """Inherit, and say how to make the engine, what its work is, and at which endpoint.

    The fixture `engine` is started on the fixture `server`, with KEY.
    """

    beginning: Any = None
    """The first part of an answer."""

    @abstractmethod
    def make(self, timeout_s: float = 10.0) -> Any:
        """The engine, not started yet."""

    @abstractmethod
    async def work(self, engine: Any) -> object:
        """One request of the engine."""

    @abstractmethod
    def endpoint(self, server: OpenAIServer) -> Endpoint:
        """The path of `server` that `work` asks."""

    async def fail(self, engine: Any) -> EngineFailed:
        with pytest.raises(EngineFailed) as failure:
            await self.work(engine)
        assert KEY not in str(failure.value)
        return failure.value

    @pytest.mark.parametrize(
        ("status", "retryable", "rest_s", "words"),
        [
            (400, False, 0.0, "answered 400: told to …"),
            (401, False, None, "refuses the key"),
            (403, False, None, "refuses the key"),
            (404, False, None, "answered 404: told to …"),
            (413, False, 0.0, "answered 413"),
            (422, False, 0.0, "answered 422"),
            (500, True, None, "answered 500"),
            (503, True, None, "answered 503"),
        ],
    )
    async def test_a_refusal_says_what_and_whether_to_try_again(
        self, engine: Any, server: OpenAIServer, status: int, retryable: bool, rest_s: float | None, words: str
    ) -> None:
        self.endpoint(server).answer = Status(status, message=f"told to {KEY}")
        failure = await self.fail(engine)
        assert words in failure.message
        assert failure.retryable is retryable
        assert failure.rest_s == rest_s
        assert not failure.timed_out
        assert len(self.endpoint(server).requests) == 1

    @pytest.mark.parametrize(
        ("retry_after", "rest_s"),
        [(None, None), ("7", 7.0), ("soon", None), ("1e9", 3600.0), ("nan", None)],
    )
    async def test_asked_too_often_rests_as_long_as_told(
        self, engine: Any, server: OpenAIServer, retry_after: str | None, rest_s: float | None
    ) -> None:
        self.endpoint(server).answer = Status(429, retry_after=retry_after)
        assert (await self.fail(engine)).rest_s == rest_s
        assert len(self.endpoint(server).requests) == 1

    async def test_a_date_to_try_again_counts_from_now(self, engine: Any, server: OpenAIServer) -> None:
        self.endpoint(server).answer = Status(429, retry_after=email.utils.formatdate(time.time() + 90, usegmt=True))
        assert (await self.fail(engine)).rest_s == pytest.approx(90, abs=5)

    async def test_a_server_that_hangs_is_too_slow(self, server: OpenAIServer) -> None:
        engine = self.make(timeout_s=0.2)
        await engine.start()
        for answer in (HANG, Broken(self.beginning, Ending.HANG)):
            self.endpoint(server).answer = answer
            failure = await self.fail(engine)
            assert failure.timed_out
            assert "in time" in failure.message
        await engine.close()

    async def test_a_server_that_closes_is_a_failure(self, engine: Any, server: OpenAIServer) -> None:
        for answer in (REFUSE, Broken(self.beginning, Ending.CLOSE)):
            self.endpoint(server).answer = answer
            failure = await self.fail(engine)
            assert failure.retryable
            assert "closed the connection" in failure.message

    async def test_a_server_that_is_away_is_a_failure_until_it_is_back(self, engine: Any, server: OpenAIServer) -> None:
        await server.stop()
        assert "cannot be reached" in (await self.fail(engine)).message
        await server.start()
        assert await self.work(engine)

    async def test_cancelled_work_ends_the_request(self, engine: Any, server: OpenAIServer) -> None:
        for answer in (HANG, Broken(self.beginning, Ending.HANG)):
            self.endpoint(server).answer = answer
            working = asyncio.create_task(self.work(engine))
            await self.endpoint(server).arrived.get()
            working.cancel()
            with pytest.raises(asyncio.CancelledError):
                await working
            async with asyncio.timeout(1):
                await self.endpoint(server).abandoned.get()

    async def test_the_key_is_sent_and_never_shown(self, engine: Any, server: OpenAIServer) -> None:
        await self.work(engine)
        assert self.endpoint(server).requests[-1].headers["authorization"] == f"Bearer {KEY}"
        assert KEY not in engine.description

    async def test_its_connection_is_open_before_it_is_needed(self, engine: Any, server: OpenAIServer) -> None:
        await engine.prepare()
        assert server.accepted == 1
        # It costs nobody anything: no endpoint is asked, and no key shown.
        request = server.strays.get_nowait()
        assert (request.method, request.path) == ("HEAD", "/v1/")
        assert "authorization" not in request.headers
        await self.work(engine)
        await self.work(engine)
        assert len(self.endpoint(server).requests) == 2
        assert server.accepted == 1

    async def test_a_kept_connection_that_is_closed_under_a_request_costs_nothing(
        self, engine: Any, server: OpenAIServer
    ) -> None:
        """Servers end connections that were idle for some seconds, perhaps while a request is on its way."""
        await self.work(engine)
        endpoint = self.endpoint(server)
        usual = endpoint.answer
        answers = iter([REFUSE])
        endpoint.answer = lambda request: next(answers, usual(request) if callable(usual) else usual)
        assert await self.work(engine)
        _, refused, again = endpoint.requests
        assert again == refused
        assert server.accepted == 2

    async def test_a_request_is_repeated_only_once_and_never_when_something_came_back(
        self, engine: Any, server: OpenAIServer
    ) -> None:
        endpoint = self.endpoint(server)
        usual = endpoint.answer
        for answer, asked in ((REFUSE, 2), (Broken(self.beginning, Ending.CLOSE), 1)):
            endpoint.answer = usual
            await self.work(engine)
            endpoint.requests.clear()
            endpoint.answer = answer
            assert "closed the connection" in (await self.fail(engine)).message
            assert len(endpoint.requests) == asked

    async def test_a_new_connection_that_is_closed_is_a_failure_at_once(
        self, engine: Any, server: OpenAIServer
    ) -> None:
        self.endpoint(server).answer = REFUSE
        await self.fail(engine)
        assert len(self.endpoint(server).requests) == 1

    async def test_a_server_that_is_away_is_not_told_of_before_it_is_needed(
        self, engine: Any, server: OpenAIServer
    ) -> None:
        await server.stop()
        await engine.prepare()
        await self.fail(engine)
        await server.start()
        await engine.prepare()
        assert await self.work(engine)

    async def test_a_server_that_wants_no_key_needs_none(
        self, server: OpenAIServer, openai_environment: pytest.MonkeyPatch
    ) -> None:
        openai_environment.delenv("OPENAI_API_KEY")
        openai_environment.setenv("OPENAI_BASE_URL", server.base_url)
        engine = self.make()
        await engine.start()
        assert await self.work(engine)
        await engine.close()

    async def test_without_key_and_server_it_does_not_start(self, openai_environment: pytest.MonkeyPatch) -> None:
        openai_environment.delenv("OPENAI_API_KEY")
        openai_environment.delenv("OPENAI_BASE_URL", raising=False)
        with pytest.raises(ConfigurationError, match="needs OPENAI_API_KEY"):
            await self.make().start()

    async def test_without_a_scheme_it_does_not_start(self, openai_environment: pytest.MonkeyPatch) -> None:
        openai_environment.setenv("OPENAI_BASE_URL", "localhost:11434/v1")
        with pytest.raises(ConfigurationError, match="must begin with http"):
            await self.make().start()

    @pytest.mark.parametrize(
        ("name", "value"),
        [("OPENAI_BASE_URL", "http://[::1/v1"), ("ALL_PROXY", "gopher://localhost"), ("HTTP_PROXY", "::::")],
    )
    async def test_an_address_that_is_none_is_a_setting_to_mend(
        self, openai_environment: pytest.MonkeyPatch, name: str, value: str
    ) -> None:
        openai_environment.setenv(name, value)
        with pytest.raises(ConfigurationError, match="OPENAI_BASE_URL, or the proxy"):
            await self.make().start()
