"""The web server: in the gateway's own event loop, started last and stopped first."""

import asyncio
import contextlib
import errno
import logging
import socket
from collections.abc import Iterator

import uvicorn

from gateway.errors import ConfigurationError
from gateway.web.access import Access
from gateway.web.address import WebAddress
from gateway.web.application import application
from gateway.web.connections import Connections
from gateway.web.feed import Feed
from gateway.web.front_door import FrontDoor
from gateway.web.guard import Guard
from gateway.web.metrics import Metrics
from gateway.web.services import WebServices
from gateway.web.talk import Talk
from gateway.web.token import cookie_key

log = logging.getLogger(__name__)

BACKLOG = 128
HEAD_MAX_BYTES = 64 * 1024
WEBSOCKET_MAX_BYTES = 64 * 1024
STOP_WITHIN_S = 2
"""Longest wait for clients to take what they are being sent; then they are hung up."""


class PortTaken(ConfigurationError):
    """Another program listens there."""


class _Server(uvicorn.Server):
    """Signals are the gateway's to handle."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class WebServer:
    """Serves the page at `address`, to whoever knows `token` (None: whoever is on this machine)."""

    def __init__(self, services: WebServices, address: WebAddress, token: str | None) -> None:
        self._address = address
        settings = services.settings
        self._feed = Feed(
            services.live,
            services.operations.statistics,
            lambda: services.broker.connected,
            services.now,
            with_text=settings.web_text,
        )
        self._door = FrontDoor(services.operations)
        self._talk = Talk(settings, services.broker_url)
        metrics = Metrics(services.live)
        for listener in (metrics, self._feed, self._door):
            services.events.listen(listener)
        access = Access(token, "" if token is None else cookie_key(settings.data_dir))
        connections = Connections()
        app = application(services, access, self._feed, self._door, self._talk, metrics, connections)
        self._server = _Server(
            uvicorn.Config(
                Guard(app, access, settings.message_max_bytes),
                log_config=None,
                access_log=False,
                lifespan="off",
                http=connections.http,
                ws=connections.websocket,
                ws_max_size=WEBSOCKET_MAX_BYTES,
                # Sound does not get smaller by it.
                ws_per_message_deflate=False,
                h11_max_incomplete_event_size=HEAD_MAX_BYTES,
                timeout_graceful_shutdown=STOP_WITHIN_S,
                server_header=False,
                ssl_certfile=settings.web_tls_certificate,
                ssl_keyfile=settings.web_tls_key,
            )
        )
        self._task: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """Where a browser on this machine finds it; valid once started."""
        return self._address.url

    async def start(self) -> None:
        """Listen.

        Raises:
            PortTaken: another program listens there.
            ConfigurationError: it cannot be listened there, or the certificate is of no use.
        """
        try:
            self._server.config.load()
        except OSError as error:  # ssl's own errors are OSErrors
            raise ConfigurationError(f"https cannot be served with web_tls_certificate and its key: {error}") from error
        listener = _listener(self._address)
        port = listener.getsockname()[1]
        self._address = WebAddress(self._address.host, port, self._address.tls, self._address.wanted)
        await self._feed.start()
        self._task = asyncio.create_task(self._server.serve(sockets=[listener]), name="web server")
        log.info("the page is at %s", self.url)

    async def stop(self) -> None:
        """Let every page go, hang up on every browser that talks, and stop listening."""
        self._door.close()
        await self._feed.stop()
        # Before the server closes: each browser is told why.
        await self._talk.close()
        self._server.should_exit = True
        if self._task is not None:
            await asyncio.wait({self._task})


def _listener(address: WebAddress) -> socket.socket:
    """A socket that listens at `address`.

    Raises:
        PortTaken, ConfigurationError: as `WebServer.start`.
    """
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ConfigurationError(f"the page cannot be served at {address.host}: {error}") from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(where)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        place = f"{address.host}:{address.port}"
        if error.errno == errno.EADDRINUSE:
            raise PortTaken(
                f"port {address.port} is in use, and the page is not served; GATEWAY_WEB=host:port"
            ) from error
        raise ConfigurationError(f"the page cannot be served at {place}: {error.strerror}") from error
    return listener
