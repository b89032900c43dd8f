"""A bare MQTT 3.1.1 client that does what the test says and nothing by itself: no pings, no acknowledgements."""

import asyncio
import struct
from typing import Self


def packet(first_byte: int, body: bytes = b"") -> bytes:
    """An MQTT packet: type and flags, length, body."""
    length, size = bytearray(), len(body)
    while True:
        size, digit = divmod(size, 128)
        length.append(digit | (0x80 if size else 0))
        if not size:
            return bytes([first_byte]) + bytes(length) + body


def text(value: str | bytes) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return struct.pack("!H", len(data)) + data


def connect_packet(client_id: str, *, keepalive_s: int = 15, will: tuple[str, bytes] | None = None) -> bytes:
    """CONNECT as PubSubClient 2.8 writes it: clean session, the will at QoS 1 and retained."""
    flags = 0x02 | (0x2C if will else 0)
    body = text("MQTT") + bytes([4, flags]) + struct.pack("!H", keepalive_s) + text(client_id)
    return packet(0x10, body + (text(will[0]) + text(will[1]) if will else b""))


def publish_packet(topic: str, payload: bytes) -> bytes:
    return packet(0x30, text(topic) + payload)


DISCONNECT = packet(0xE0)


class RawClient:
    """A connection to `port` of this machine."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, port: int) -> Self:
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def connect(self, client_id: str, *, keepalive_s: int = 15, will: tuple[str, bytes] | None = None) -> None:
        self.send(connect_packet(client_id, keepalive_s=keepalive_s, will=will))
        assert await self.read(4) == b"\x20\x02\x00\x00"

    def send(self, data: bytes) -> None:
        self._writer.write(data)

    async def read(self, size: int) -> bytes:
        return await asyncio.wait_for(self._reader.readexactly(size), 10)

    def stop_reading(self) -> None:
        """Take nothing more from the socket."""
        self._writer.transport.pause_reading()  # type: ignore[attr-defined]

    async def closed_by_peer(self) -> None:
        """Wait until the broker ends the connection."""
        try:
            await asyncio.wait_for(self._reader.read(), 10)
        except ConnectionError:
            return

    async def close(self) -> None:
        self._writer.close()
        try:
            await self._writer.wait_closed()
        except ConnectionError:
            return

    def die(self) -> None:
        """Vanish as a device that is switched off and on again: no DISCONNECT."""
        self._writer.transport.abort()
