"""Talking from a browser: each page that talks is a device in software, by MQTT like any board."""

import asyncio
import contextlib
import re
from collections.abc import Callable

from starlette.websockets import WebSocket

from gateway.broker.url import BrokerUrl
from gateway.config import Settings
from gateway.errors import DeviceFault
from gateway.web.call import BAD_QUERY, BUSY, GOING, REPLACED, Call, close_reason, hello_of

CALLS_MAX = 8
HUNG_UP_WITHIN_S = 2.0
PREFIX = "web-"
_DEVICE = re.compile(rf"{PREFIX}[a-z0-9]{{8,16}}")


class Talk:
    """All browsers that talk."""

    def __init__(self, settings: Settings, broker_url: Callable[[], BrokerUrl]) -> None:
        """`broker_url` says where the broker is, login included."""
        self._settings = settings
        self._broker_url = broker_url
        self._calls: dict[str, Call] = {}
        self._ending = False
        self.refused = 0
        """Calls beyond `CALLS_MAX`."""

    def __len__(self) -> int:
        return len(self._calls)

    async def take(self, socket: WebSocket) -> None:
        """Serve one browser until it goes; a newer page of the same device takes the place of the older."""
        await socket.accept()
        wishes = socket.query_params
        device = wishes.get("device", "")
        if not _DEVICE.fullmatch(device):
            await socket.close(BAD_QUERY, f"device must be {PREFIX} and 8 to 16 of a-z 0-9")
            return
        try:
            hello = hello_of(wishes.get("name", ""), wishes.get("language", ""))
        except (DeviceFault, ValueError) as exc:
            await socket.close(BAD_QUERY, close_reason(str(exc)))
            return
        earlier = self._calls.get(device)
        if self._ending or (earlier is None and len(self._calls) >= CALLS_MAX):
            self.refused += 1
            await socket.close(BUSY, f"{CALLS_MAX} browsers are talking; try again later")
            return
        # Noted before the earlier one is waited for, so that a third one finds this.
        call = self._calls[device] = Call(socket, device, hello, self._settings, self._broker_url())
        try:
            if earlier is not None:
                await earlier.hang_up(REPLACED, "the same device talks from another page")
            await call.run()
        finally:
            if self._calls.get(device) is call:
                del self._calls[device]

    async def close(self) -> None:
        """Hang up on everybody: the gateway ends, and waits no longer than `HUNG_UP_WITHIN_S`."""
        self._ending = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(HUNG_UP_WITHIN_S):
                await asyncio.gather(*(call.hang_up(GOING, "the gateway ends") for call in self._calls.values()))
