"""A browser that talks, as far as its socket goes."""

import asyncio
import json
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlencode

import numpy as np
from numpy.typing import NDArray
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from gateway.device.exchange import Signal
from tests.web.conftest import PATIENCE_S, Site

CHUNK_BYTES = 3200


class Browser:
    """`async with Browser(site) as browser:` has got its `ready`. What comes is kept, in order: objects and sound."""

    def __init__(self, site: Site, device: str = "web-0123456789", headers: dict[str, str] | None = None, **query: str):
        wishes = urlencode({"device": device, **query})
        self._url = f"{site.url.replace('http', 'ws', 1)}/api/talk?{wishes}"
        self._headers = headers
        self._signal = Signal()
        self._socket: ClientConnection
        self._reading: asyncio.Task[None]
        self.came: list[dict[str, Any] | bytes] = []
        self.closed: tuple[int, str] | None = None

    async def __aenter__(self) -> Self:
        self._socket = await connect(self._url, proxy=None, additional_headers=self._headers)
        self._reading = asyncio.create_task(self._read(), name="a browser reads")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._socket.close()
        await self._reading

    async def tell(self, **message: Any) -> None:
        await self._socket.send(json.dumps(message))

    async def send(self, sound: bytes) -> None:
        await self._socket.send(sound)

    async def say(self, samples: NDArray[np.int16]) -> None:
        """Hold the button and say this."""
        await self.tell(type="start")
        sound = samples.astype("<i2").tobytes()
        for at in range(0, len(sound), CHUNK_BYTES):
            await self.send(sound[at : at + CHUNK_BYTES])
        await self.tell(type="end")

    async def told(self, since: int = 0, **fields: Any) -> dict[str, Any]:
        """Wait for an object with these fields among what came after the first `since`."""

        def found() -> dict[str, Any] | None:
            for message in self.came[since:]:
                if isinstance(message, dict) and all(message.get(name) == value for name, value in fields.items()):
                    return message
            return None

        return await self._signal.until(found, PATIENCE_S, lambda: f"no {fields}; {self.texts}")

    async def event(self, kind: str, since: int = 0, turn: int | None = None) -> dict[str, Any]:
        """Wait for an event of a turn."""

        def found() -> dict[str, Any] | None:
            events = [each["event"] for each in self.texts_since(since) if each["type"] == "event"]
            return next((event for event in events if event["event"] == kind and turn in (None, event["turn"])), None)

        return await self._signal.until(found, PATIENCE_S, lambda: f"no event {kind}; {self.texts}")

    async def end(self) -> tuple[int, str]:
        """Wait until the gateway has hung up."""
        return await self._signal.until(lambda: self.closed, PATIENCE_S, lambda: f"not closed; {self.texts}")

    @property
    def texts(self) -> list[dict[str, Any]]:
        return self.texts_since(0)

    def texts_since(self, since: int) -> list[dict[str, Any]]:
        return [message for message in self.came[since:] if isinstance(message, dict)]

    def sound(self, turn: int) -> NDArray[np.int16]:
        """The samples that came between `audio` and `audio_end` of this turn."""
        heard, mine = bytearray(), False
        for message in self.came:
            if isinstance(message, bytes):
                heard += message if mine else b""
            elif message["type"] in ("audio", "audio_end"):
                mine = message["type"] == "audio" and message["turn"] == turn
        return np.frombuffer(bytes(heard), "<i2").astype(np.int16)

    async def _read(self) -> None:
        try:
            async for message in self._socket:
                self.came.append(json.loads(message) if isinstance(message, str) else message)
                self._signal.notify()
        except ConnectionClosed:
            pass
        self.closed = self._socket.close_code or 0, self._socket.close_reason or ""
        self._signal.notify()
