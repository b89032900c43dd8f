"""One place where the openai library is set up and where its errors become ours.

The library's own variables say where to go: OPENAI_API_KEY, OPENAI_BASE_URL.
"""

import asyncio
import functools
import importlib
import logging
import os
import ssl
import threading
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import httpx2
import openai

from gateway.engines.retry_after import retry_after_s
from gateway.errors import ConfigurationError, EngineFailed

DEFAULT_BASE_URL = "https://api.openai.com/v1"

_PLACEHOLDER_KEY = "none"
"""Local servers want no key, and the library wants one."""
_KEPT_OPEN_S: Final = 60.0
"""How long an idle connection is kept, unless its server ends it sooner: longer than a question and its recognition
take, so that what was opened when a device began to speak is there when it is answered."""
_AHEAD_S: Final = 5.0
"""Longest wait for a connection that nobody needs yet."""
_log = logging.getLogger(__name__)
_one_at_a_time = threading.Lock()
_LONGEST_QUOTE = 200
_ONLY_THIS_WORK: Final = frozenset({400, 413, 422})
"""Too long a conversation, a content filter, audio that it does not take: the server is well for everyone else."""

_NOT_FOUND: Final = 404


class _Http(httpx2.AsyncClient):
    """HTTP that survives what no client can see: a server that closes an idle connection while a request is on its
    way to it."""

    async def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        """Send `request`; if the connection was an old one and ends before anything is answered, once more, at once.

        No answer was lost with it: to ask this API twice does nothing that to ask it once does not.
        """
        opened = answered = False

        async def note(event: str, _: Mapping[str, object]) -> None:
            nonlocal opened, answered
            opened = opened or event == "connection.connect_tcp.started"
            answered = answered or event.endswith(".receive_response_headers.complete")

        request.extensions = {**request.extensions, "trace": note}
        try:
            return await super().send(request, **options)
        except (httpx2.ReadError, httpx2.WriteError, httpx2.RemoteProtocolError, ssl.SSLError) as error:
            if opened or answered:
                raise
            _log.debug("an old connection to %s was closed: %r; asking again", request.url.host, error)
            return await super().send(request, **options)


class Client(openai.AsyncOpenAI):
    """The library's client, which can also open its connection before there is anything to ask."""

    def __init__(self, *, http: httpx2.AsyncClient, key: str, base_url: str, timeout_s: float) -> None:
        super().__init__(api_key=key, base_url=base_url, timeout=timeout_s, max_retries=0, http_client=http)
        self._http = http

    async def connect_ahead(self) -> None:
        """Open a connection to the server, to be used by the next request; one that is open is used and so kept.

        It takes a request, for the library opens connections for nothing else: HEAD of the base URL, without the key
        and without any work for the server, whatever it answers. That it fails is told nobody: what is asked later
        will fail too, and be told.
        """
        try:
            await self._http.head(self.base_url, timeout=_AHEAD_S, follow_redirects=False)
        except (httpx2.HTTPError, OSError) as error:
            _log.debug("no connection to %s ahead of time: %r", server_name(self), error)


async def open_client(*, timeout_s: float) -> Client:
    """Make a client that waits `timeout_s` at most for a connection and for each part of an answer.

    It never tries again by itself what a server has refused or failed: while a person waits, the next engine of the
    list is the better second try.

    Raises:
        ConfigurationError: neither variable is set, the base URL is none, or a proxy is set that cannot be used.
    """
    key = os.environ.get("OPENAI_API_KEY", "").strip()
    base_url = os.environ.get("OPENAI_BASE_URL", "").strip()
    if not key and not base_url:
        raise ConfigurationError(
            "the openai engine needs OPENAI_API_KEY, or OPENAI_BASE_URL for a compatible server (Ollama, vLLM, …)"
        )
    if base_url and not base_url.startswith(("http://", "https://")):
        raise ConfigurationError("OPENAI_BASE_URL must begin with http:// or https://, and usually ends in /v1")
    try:
        return await asyncio.to_thread(_make, key or _PLACEHOLDER_KEY, base_url or DEFAULT_BASE_URL, timeout_s)
    except (httpx2.InvalidURL, ValueError, ImportError) as error:
        raise ConfigurationError(
            "OPENAI_BASE_URL, or the proxy that HTTP_PROXY, HTTPS_PROXY or ALL_PROXY names (the server can be excepted"
            f" with NO_PROXY), cannot be used: {error}"
        ) from error


def _make(key: str, base_url: str, timeout_s: float) -> Client:
    """Make a client and load what else the library needs. The first takes some 300 ms, and would otherwise keep the
    event loop, part of it while the first question waits."""
    with _one_at_a_time:
        try:
            client = _new(key, base_url, timeout_s)
        except AttributeError:
            # The library looks into httpx where that is loaded, and another engine's thread may be in the middle of
            # loading it. To import it is to wait for that.
            importlib.import_module("httpx")
            client = _new(key, base_url, timeout_s)
        # Each is imported when it is first looked at.
        _ = client.chat.completions, client.audio.transcriptions, client.audio.speech
        return client


def _new(key: str, base_url: str, timeout_s: float) -> Client:
    http = _Http(
        verify=_tls_context(),
        follow_redirects=True,
        timeout=timeout_s,
        limits=httpx2.Limits(
            max_connections=openai.DEFAULT_CONNECTION_LIMITS.max_connections,
            max_keepalive_connections=openai.DEFAULT_CONNECTION_LIMITS.max_keepalive_connections,
            keepalive_expiry=_KEPT_OPEN_S,
        ),
    )
    return Client(http=http, key=key, base_url=base_url, timeout_s=timeout_s)


@functools.cache
def _tls_context() -> ssl.SSLContext:
    # To read all certificates takes some 100 ms, so the engines share one context.
    return httpx2.create_ssl_context()


def server_name(client: openai.AsyncOpenAI | None) -> str:
    """The host that `client` talks to, for descriptions; empty before there is a client."""
    return "" if client is None else client.base_url.netloc.decode().rpartition("@")[2]


@contextmanager
def errors_mapped(client: openai.AsyncOpenAI, *, chosen: bool = False) -> Generator[None]:
    """Turn every error of the library and of HTTP into EngineFailed. `chosen`: the model or voice is not the engine's
    own, so that one which is not there (404) says nothing about the server."""
    host = server_name(client)
    try:
        yield
    except (openai.APITimeoutError, httpx2.TimeoutException) as error:
        raise EngineFailed(f"{host} did not answer in time", timed_out=True) from error
    except (openai.APIConnectionError, httpx2.RequestError) as error:
        raise EngineFailed(f"{host} cannot be reached, or closed the connection midway") from error
    except (openai.AuthenticationError, openai.PermissionDeniedError) as error:
        # What the server says here may repeat part of the key.
        raise EngineFailed(
            f"{host} refuses the key ({error.status_code}): check OPENAI_API_KEY", retryable=False
        ) from error
    except openai.RateLimitError as error:
        raise EngineFailed(
            f"{host} is asked too often (429): {quoted(error, client)}",
            rest_s=retry_after_s(error.response.headers.get("retry-after")),
        ) from error
    except openai.APIStatusError as error:
        raise EngineFailed(
            f"{host} answered {error.status_code}: {quoted(error, client)}",
            retryable=error.status_code >= 500,
            rest_s=0.0
            if error.status_code in _ONLY_THIS_WORK or (chosen and error.status_code == _NOT_FOUND)
            else retry_after_s(error.response.headers.get("retry-after")),
        ) from error
    except (openai.OpenAIError, ValueError) as error:
        # ValueError: a body that is not the JSON that it promised to be.
        raise EngineFailed(f"{host} answered something that is not this API") from error


def quoted(error: openai.APIError, client: openai.AsyncOpenAI) -> str:
    """What the server said, short, on one line and without the key."""
    said = error.body.get("message") if isinstance(error.body, dict) else None
    text = " ".join(str(said or "no reason given").split())
    return text.replace(client.api_key, "…")[:_LONGEST_QUOTE]
