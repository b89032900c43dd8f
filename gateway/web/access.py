"""Who is let in: by a token beyond this machine; on it by being on it, and by no page of another site.

Without a token the browser of this machine is the only thing to be careful of: any page that it shows can make it send
requests here. It says where such a request comes from (`Origin`), and a site that takes our address for one of its own
names (DNS rebinding) still shows in `Host`.
"""

import hmac
import ipaddress
from collections import OrderedDict
from hashlib import sha256
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection

from gateway.limits import SlidingWindow
from gateway.web.address import is_loopback
from gateway.web.errors import WebError

COOKIE = "voice_gateway"
COOKIE_S = 30 * 24 * 3600
TRIES = 10
"""Wrong tokens from one address in `TRIES_WINDOW_S`; after that also a right one is not looked at."""
TRIES_WINDOW_S = 60.0
ADDRESSES_WATCHED = 1024

_OPEN = {"/", "/api/hello", "/login", "/logout", "/healthz", "/readyz", "/openapi.json"}
"""What shows nothing of anybody: the page itself, empty, and whether the gateway is well."""
_OPEN_FOLDER = "/static/"
_SAFE = {"GET", "HEAD", "OPTIONS"}


class Access:
    """Judges requests. `token` None lets in whoever is on this machine; cookies are made with `cookie_key`."""

    def __init__(self, token: str | None, cookie_key: str) -> None:
        self._token = token.encode() if token is not None else None
        self._cookie_key = cookie_key.encode()
        self._tries: OrderedDict[str, SlidingWindow] = OrderedDict()
        self.refused = 0
        """Wrong tokens."""

    @property
    def needs_login(self) -> bool:
        return self._token is not None

    def judge(self, connection: HTTPConnection, now: float) -> None:
        """Let a request or WebSocket pass; `now` in seconds of a monotonic clock.

        Raises:
            WebError: it may not.
        """
        if self._token is None:
            self._check_host(connection)
        self._check_origin(connection)
        path = connection.scope["path"]
        if path in _OPEN or path.startswith(_OPEN_FOLDER) or self.logged_in(connection):
            return
        if (given := _bearer(connection)) is not None:
            self.check_token(given, connection, now)
            return
        raise WebError(
            401,
            "login_needed",
            "log in with the gateway's token, or send it as Authorization: Bearer TOKEN",
            {"WWW-Authenticate": "Bearer"},
        )

    def logged_in(self, connection: HTTPConnection) -> bool:
        """Whether a browser has logged in, or need not."""
        if self._token is None:
            return True
        return hmac.compare_digest(connection.cookies.get(COOKIE, "").encode(), self.cookie().encode())

    def check_token(self, given: str, connection: HTTPConnection, now: float) -> None:
        """Compare a token.

        Raises:
            WebError: it is wrong, or there were too many wrong ones from there.
        """
        if self._token is None:
            return
        address = _household(connection.client.host) if connection.client is not None else ""
        tries = self._tries.pop(address, None) or SlidingWindow(TRIES, TRIES_WINDOW_S)
        self._tries[address] = tries
        if len(self._tries) > ADDRESSES_WATCHED:
            self._tries.popitem(last=False)
        if tries.full(now):
            wait = {"Retry-After": f"{TRIES_WINDOW_S:.0f}"}
            raise WebError(429, "too_many_tries", "too many wrong tokens; wait a minute", wait)
        if not hmac.compare_digest(given.encode(), self._token):
            tries.allows(now)
            self.refused += 1
            raise WebError(401, "login_failed", "the token is wrong", {"WWW-Authenticate": "Bearer"})

    def cookie(self) -> str:
        """What the browser of whoever knows the token keeps instead of it: good for as long as the token is."""
        return hmac.new(self._cookie_key, b"logged in with " + (self._token or b""), sha256).hexdigest()

    def _check_host(self, connection: HTTPConnection) -> None:
        host = connection.headers.get("host", "")
        if not is_loopback(_hostname(host)):
            message = (
                f"the page is for this machine alone, and was asked for as {host[:100]!r}; to let others in, behind a"
                " proxy too, set GATEWAY_WEB_TOKEN"
            )
            raise WebError(403, "host_refused", message)

    def _check_origin(self, connection: HTTPConnection) -> None:
        if connection.scope["type"] == "http" and connection.scope["method"] in _SAFE:
            return
        origin = connection.headers.get("origin")
        if origin is not None and origin.partition("://")[2].lower() != connection.headers.get("host", "").lower():
            raise WebError(403, "cross_site", f"a page of {origin[:100]!r} may not do this")


def _bearer(connection: HTTPConnection) -> str | None:
    kind, _, token = connection.headers.get("authorization", "").partition(" ")
    # Headers are bytes, which were taken for Latin-1.
    return token.strip().encode("latin-1").decode(errors="replace") if kind.lower() == "bearer" else None


def _household(address: str) -> str:
    """Whose address that is: of IPv6, everybody has as many as there are in a /64."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return address
    if ip.version == 4 or ip.ipv4_mapped is not None:
        return address
    return str(ipaddress.ip_network((int(ip), 64), strict=False))


def _hostname(host: str) -> str:
    """The name in a Host header, without port and brackets; empty if it is none."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
