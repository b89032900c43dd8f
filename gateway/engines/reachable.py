"""Whether a server on the network answers."""

import asyncio
from typing import Final

import httpx2

PROBE_TIMEOUT_S: Final = 2.0


async def reachable(url: str, timeout_s: float = PROBE_TIMEOUT_S) -> bool:
    """Whether the server of `url` answers within `timeout_s`, through the proxy that the environment names.

    Any answer but a server error will do: what is asked is whether requests get there. Never raises.
    """
    try:
        async with asyncio.timeout(timeout_s), httpx2.AsyncClient(timeout=timeout_s) as client:
            answer = await client.head(url)
    except (TimeoutError, httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError, ImportError):
        # ValueError: a proxy variable that is not an address. ImportError: one of a SOCKS proxy, without its package.
        return False
    return not answer.is_server_error and answer.status_code != httpx2.codes.PROXY_AUTHENTICATION_REQUIRED
