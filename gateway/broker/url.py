"""Where the broker is: what `GATEWAY_MQTT_URL` says, taken apart."""

import ipaddress
import re
from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import unquote, urlsplit

from gateway.errors import ConfigurationError

_EXAMPLES = "write embedded, embedded://0.0.0.0:1883, mqtt://user:password@host:1883 or mqtts://host:8883"


_HOST = re.compile(r"[\w.:%-]+")
"""A name or an address; nothing that a shell, a board's console or a header takes for something else."""


class BrokerKind(StrEnum):
    """How the broker is reached; the value is the scheme of the URL."""

    EMBEDDED = "embedded"
    """Started by the gateway itself."""
    MQTT = "mqtt"
    MQTTS = "mqtts"
    """MQTT over TLS."""


_DEFAULT_PORT = {BrokerKind.EMBEDDED: 1883, BrokerKind.MQTT: 1883, BrokerKind.MQTTS: 8883}


@dataclass(frozen=True, slots=True)
class BrokerUrl:
    """A broker's address. Port 0 (embedded only) asks for any free port. It shows itself without the password."""

    kind: BrokerKind
    host: str
    port: int
    username: str | None = None
    password: str | None = field(default=None, repr=False)

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach it."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @property
    def address(self) -> str:
        """`host:port`, an IPv6 host in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def redacted(self) -> str:
        """The URL as logs may show it."""
        secret = "" if self.password is None else ":***"
        login = "" if self.username is None else f"{self.username}{secret}@"
        return f"{self.kind}://{login}{self.address}"

    def __str__(self) -> str:
        return self.redacted


def parse_broker_url(url: str) -> BrokerUrl:
    """Take `url` apart; user and password are percent-decoded.

    Raises:
        ConfigurationError: it cannot be understood. The message never repeats the URL, which may hold a password.
    """
    if url == BrokerKind.EMBEDDED:
        return BrokerUrl(BrokerKind.EMBEDDED, "127.0.0.1", 1883)
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise ConfigurationError(f"the broker URL has no valid host: {_EXAMPLES}") from error
    if parts.scheme not in tuple(BrokerKind):
        raise ConfigurationError(f"the broker URL begins with none of embedded, mqtt:// and mqtts://: {_EXAMPLES}")
    kind = BrokerKind(parts.scheme)
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ConfigurationError(
            "the broker URL has something after host and port; if user or password hold one of / ? # @ : %,"
            " write that percent-encoded (%2F %3F %23 %40 %3A %25)"
        )
    try:
        port = parts.port
    except ValueError:  # its text holds what stands there, and that may be a part of the password
        raise ConfigurationError(f"the broker URL has no valid port: {_EXAMPLES}") from None
    if not parts.hostname:
        raise ConfigurationError(f"the broker URL names no host: {_EXAMPLES}")
    if not _HOST.fullmatch(parts.hostname):
        raise ConfigurationError(f"the broker URL has no valid host: {_EXAMPLES}")
    if port == 0 and kind is not BrokerKind.EMBEDDED:
        raise ConfigurationError("the broker URL has port 0; MQTT is usually on port 1883, with TLS on 8883")
    username = unquote(parts.username) if parts.username else None
    password = unquote(parts.password) if parts.password else None
    if password is not None and username is None:
        raise ConfigurationError("the broker URL has a password but no user: write user:password@ before the host")
    return BrokerUrl(kind, parts.hostname, _DEFAULT_PORT[kind] if port is None else port, username, password)
