"""Keeps a WAV that comes over several messages, until the length that it promises, or its limit."""

import struct
from math import inf

from gateway.wire.forms import WavHeader

_SIZE = struct.Struct("<I")
_RIFF_SIZE_AT = 4
_BYTE_RATE_MIN = 1_000
_BYTE_RATE_MAX = 384_000
"""Bytes a second believed of a header (the most: 48 kHz, stereo, 32 bits): they bound how much is kept."""


def is_whole(wav: bytes) -> bool:
    """Tell whether `wav`, which begins with `RIFF`, holds all that its header promises."""
    header = WavHeader()
    header.read(wav)
    return header.is_whole(len(wav))


class WavAudio:
    """A WAV as far as it has come: at most `limit_s` of its audio, and nothing beyond its promised length."""

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._header = WavHeader()
        self._held = bytearray()
        self._received = 0
        self.too_long = False

    @property
    def content(self) -> bytes:
        """The file. If less has come than was promised, or no length was, its header says what is there:
        decoders take a size of 0 at its word."""
        file = bytearray(self._held)
        data_at = self._header.data_at
        if data_at is not None and len(file) < (self._header.length or inf):
            _SIZE.pack_into(file, _RIFF_SIZE_AT, len(file) - _RIFF_SIZE_AT - _SIZE.size)
            _SIZE.pack_into(file, data_at - _SIZE.size, len(file) - data_at)
        return bytes(file)

    @property
    def whole(self) -> bool:
        """True when all that was promised has come."""
        return self._header.is_whole(self._received)

    @property
    def missing(self) -> float:
        """How many bytes of the file are still to come; infinity when it does not say."""
        length = self._header.length
        return inf if length is None else max(0, length - self._received)

    def add(self, payload: bytes) -> None:
        """Take the next bytes. Once `too_long` or `whole`, no more may come."""
        self._received += len(payload)
        self._held += payload
        self._header.read(self._held)
        if self._header.length is not None:
            del self._held[self._header.length :]
        if len(self._held) > self._limit_bytes:
            del self._held[self._limit_bytes :]
            self.too_long = True

    @property
    def _limit_bytes(self) -> int:
        byte_rate = min(max(self._header.byte_rate, _BYTE_RATE_MIN), _BYTE_RATE_MAX)
        if self._header.data_at is None:
            return int(self._limit_s * _BYTE_RATE_MAX)
        return self._header.data_at + int(self._limit_s * byte_rate)
