"""A link that carries little: makes a slow consumer of a device that knows nothing of it."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from dataclasses import replace
from types import TracebackType
from typing import Self

from gateway.broker.url import BrokerKind, BrokerUrl

BYTES_S = 3000
"""What comes through to the device: half of a reply of 48 kbit/s."""
PIECE_BYTES = 300
BUFFER_BYTES = 4096
"""Little waits on the way, so that it is the broker that has to."""


class SlowLink:
    """`async with SlowLink(url) as link:` is a relay to the broker of `url` on this machine, at `link.url`.

    What a device sends goes through at once, what it is sent at `BYTES_S`. The broker feels the full buffers, as it
    would those of a device that does not read. Not for TLS: the relay's name is not in the broker's certificate.
    """

    def __init__(self, url: BrokerUrl) -> None:
        if url.kind is not BrokerKind.MQTT:
            raise ValueError(f"a slow link goes to mqtt:// only, not to {url}")
        self._broker = url
        self._server: asyncio.Server
        self._relays: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> BrokerUrl:
        port: int = self._server.sockets[0].getsockname()[1]
        return replace(self._broker, host="127.0.0.1", port=port)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.close()
        for relay in self._relays:
            relay.cancel()
        if self._relays:
            await asyncio.wait(self._relays)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        relay = asyncio.create_task(self._relay(reader, writer), name="slow link")
        self._relays.add(relay)
        relay.add_done_callback(self._relays.discard)

    async def _relay(self, device: asyncio.StreamReader, to_device: asyncio.StreamWriter) -> None:
        """Carry both ways until either end closes."""
        # A link that breaks is what links do; the device connects anew.
        with contextlib.suppress(OSError), _closing(to_device):
            broker, to_broker = await asyncio.open_connection(
                self._broker.host, self._broker.port, limit=BUFFER_BYTES // 2
            )
            with _closing(to_broker):
                to_broker.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
                ways = [
                    asyncio.create_task(_carry(device, to_broker, None), name="slow link up"),
                    asyncio.create_task(_carry(broker, to_device, BYTES_S), name="slow link down"),
                ]
                try:
                    await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for way in ways:
                        way.cancel()
                    await asyncio.gather(*ways, return_exceptions=True)


@contextlib.contextmanager
def _closing(writer: asyncio.StreamWriter) -> Iterator[None]:
    """Close `writer` afterwards: when all that it holds is written, or, if this is cancelled, at once."""
    try:
        yield
    except asyncio.CancelledError:
        writer.transport.abort()
        raise
    finally:
        writer.close()


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, bytes_s: float | None) -> None:
    while piece := await reader.read(PIECE_BYTES if bytes_s else BUFFER_BYTES):
        writer.write(piece)
        await writer.drain()
        if bytes_s:
            await asyncio.sleep(len(piece) / bytes_s)
