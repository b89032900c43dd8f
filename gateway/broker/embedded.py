"""An MQTT broker inside the gateway, for those who have none: nothing to install, nothing to set up.

It runs in a thread of its own, so that a busy gateway does not hold up the devices' keep-alives. Good for some dozens
of devices; sessions and retained messages live in memory. For more, run Mosquitto.
"""

import asyncio
import concurrent.futures
import errno
import logging
import os
import secrets
import threading
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from gateway.broker.url import BrokerKind, BrokerUrl
from gateway.errors import ConfigurationError

if TYPE_CHECKING:
    from gateway.broker.embedded_server import Server

START_TIMEOUT_S = 10.0
STOP_TIMEOUT_S = 10.0
USERNAME = "voice"
"""Who logs in where the URL names nobody."""

logger = logging.getLogger(__name__)


class EmbeddedBroker:
    """The broker that `url` (of kind `embedded`) asks for, and nobody else's: started and stopped with the gateway.

    On loopback, and with no login in the URL, anyone may connect. On any other address a login is needed: the URL's,
    or user `voice` with a password made once and kept in `data_dir/broker-password`.
    """

    def __init__(self, url: BrokerUrl, data_dir: Path) -> None:
        self._listen = url
        self._url = url
        self._password_file = _password_file(data_dir)
        self._thread: threading.Thread | None = None
        self._stop_asked: concurrent.futures.Future[None] = concurrent.futures.Future()
        self._server: Server | None = None

    @property
    def url(self) -> BrokerUrl:
        """Where the gateway itself connects, login included; valid once started."""
        return self._url

    @property
    def hint(self) -> str:
        """What a person needs to know in order to connect; holds no password. Valid once started."""
        where = BrokerUrl(BrokerKind.MQTT, self._listen.host, self._url.port, self._url.username)
        if self._url.username is None:
            return f"{where}, no password"
        if self._listen.password is None:
            return f"{where}, password in {self._password_file}"
        return f"{where}, password as in GATEWAY_MQTT_URL"

    @property
    def dropped(self) -> int:
        """Messages lost because a subscriber was too slow, too much was to be retained, or one was too large."""
        return 0 if self._server is None else self._server.dropped

    async def start(self) -> None:
        """Start it, and return when its port is open.

        Raises:
            ConfigurationError: the port is taken, the address is not this machine's, or the password cannot be kept.
        """
        login = self._login()
        started: concurrent.futures.Future[int] = concurrent.futures.Future()
        self._stop_asked = concurrent.futures.Future()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._serve(login, started)), name="embedded-broker", daemon=True
        )
        self._thread.start()
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                port = await asyncio.shield(asyncio.wrap_future(started))
        except BaseException:
            await self.stop()
            raise
        username, password = login or (None, None)
        self._url = BrokerUrl(BrokerKind.MQTT, _reachable(self._listen.host), port, username, password)
        logger.info("The embedded broker is up: %s", self.hint)

    async def stop(self) -> None:
        """Stop it; waits at most `STOP_TIMEOUT_S`."""
        if self._thread is None:
            return
        if not self._stop_asked.done():
            self._stop_asked.set_result(None)
        await asyncio.to_thread(self._thread.join, STOP_TIMEOUT_S)
        self._thread = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()

    async def _serve(self, login: tuple[str, str] | None, started: "concurrent.futures.Future[int]") -> None:
        """The life of the broker, in its own thread and event loop."""
        try:
            # Half a second of imports, which nobody pays who has a broker of his own.
            from gateway.broker.embedded_server import Server

            self._server = Server(self._listen.host, self._listen.port, login)
            await self._server.start()
        except Exception as error:
            started.set_exception(self._explain(error))
            return
        started.set_result(self._server.port)
        await asyncio.wrap_future(self._stop_asked)
        await self._server.shutdown()

    def _login(self) -> tuple[str, str] | None:
        """User and password that clients must give; None admits anyone."""
        if not _login_needed(self._listen):
            return None
        return self._listen.username or USERNAME, self._listen.password or self._kept_password()

    def _kept_password(self) -> str:
        """The password of this installation, made at the first use; only the user who runs the gateway can read it."""
        file = self._password_file
        try:
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not file.exists():
                with os.fdopen(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as new:
                    new.write(f"{secrets.token_urlsafe(16)}\n")
            password = file.read_text().strip()
        except OSError as error:
            raise ConfigurationError(f"the embedded broker's password cannot be kept in {file}: {error}") from error
        if not password:
            raise ConfigurationError(f"{file} is empty: write the embedded broker's password into it, or delete it")
        return password

    def _explain(self, error: Exception) -> Exception:
        cause = error.__cause__
        if not isinstance(cause, OSError):
            return error
        host, port = self._listen.host, self._listen.port
        if cause.errno == errno.EADDRINUSE:
            there = BrokerUrl(BrokerKind.MQTT, _reachable(host), port)
            next_to_it = BrokerUrl(BrokerKind.EMBEDDED, host, port + 1)
            return ConfigurationError(
                f"port {port} on {host} is in use; is another broker running? set GATEWAY_MQTT_URL={there} to use it,"
                f" or {next_to_it}"
            )
        return ConfigurationError(f"the embedded broker cannot listen on {self._listen.address}: {cause.strerror}")


def client_url(url: BrokerUrl, data_dir: Path) -> BrokerUrl:
    """Where another program on this machine reaches the broker that a gateway runs for `url` (of kind `embedded`).

    Raises:
        ConfigurationError: the password kept in `data_dir` cannot be read.
    """
    username, password = url.username, url.password
    file = _password_file(data_dir)
    if _login_needed(url) and password is None and file.exists():
        try:
            username, password = username or USERNAME, file.read_text().strip()
        except OSError as error:
            raise ConfigurationError(f"the embedded broker's password in {file} cannot be read: {error}") from error
    return BrokerUrl(BrokerKind.MQTT, _reachable(url.host), url.port, username, password)


def _login_needed(url: BrokerUrl) -> bool:
    return not url.loopback or url.username is not None


def _password_file(data_dir: Path) -> Path:
    return data_dir / "broker-password"


def _reachable(host: str) -> str:
    """Where this machine reaches what listens on `host`."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
