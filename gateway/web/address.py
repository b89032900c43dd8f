"""Where the page is served, and whether it can be."""

import ipaddress
from dataclasses import dataclass
from importlib.util import find_spec

from gateway.config import Settings
from gateway.errors import ConfigurationError

AUTO = "auto"
OFF = "off"
DEFAULT_HOST, DEFAULT_PORT = "127.0.0.1", 8080
NEEDED = ("fastapi", "prometheus_client", "uvicorn", "websockets")


@dataclass(frozen=True, slots=True)
class WebAddress:
    """Where to listen; port 0 asks for any free one. `wanted` says that somebody asked for it, so that not to serve is
    a mistake and no choice."""

    host: str
    port: int
    tls: bool
    wanted: bool

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach it."""
        return is_loopback(self.host)

    @property
    def url(self) -> str:
        """For a person's browser on this machine."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104
        return f"{'https' if self.tls else 'http'}://{f'[{host}]' if ':' in host else host}:{self.port}"


def is_loopback(host: str) -> bool:
    """Whether `host`, a name or an address, is this machine and nobody else can reach it."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def web_address(settings: Settings) -> WebAddress | None:
    """Return where the page is to be served; None if it is not.

    Raises:
        ConfigurationError: it cannot be served as configured; the message says what to do.
    """
    tls = _has_tls(settings)
    if settings.web == OFF:
        return None
    missing = [name for name in NEEDED if find_spec(name) is None]
    if settings.web == AUTO:
        return None if missing else WebAddress(DEFAULT_HOST, DEFAULT_PORT, tls, wanted=False)
    if missing:
        raise ConfigurationError(
            f"the page needs the extra web, without which {', '.join(missing)} is missing:"
            " pip install 'mqtt-voice-gateway[web]', or GATEWAY_WEB=off"
        )
    host, _, port = settings.web.rpartition(":")
    return WebAddress(host.strip("[]"), int(port), tls, wanted=True)


def _has_tls(settings: Settings) -> bool:
    certificate, key = settings.web_tls_certificate, settings.web_tls_key
    if (certificate is None) != (key is None):
        raise ConfigurationError("https needs both web_tls_certificate and web_tls_key, and only one of them is set")
    for file in (certificate, key):
        if file is not None and not file.is_file():
            raise ConfigurationError(f"there is no file {file}, which https is to be served with")
    return certificate is not None
