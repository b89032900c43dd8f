"""Tells the three forms of audio apart by the first message of an utterance, and where a WAV ends."""

import struct
from enum import StrEnum

from gateway.wire.frame import is_frame


class Form(StrEnum):
    """What the first message of an utterance is."""

    FRAME = "frame"
    FILE = "file"
    RAW = "raw"


_FILE_STARTS = (b"RIFF", b"fLaC", b"OggS", b"ID3")


def form_of(payload: bytes) -> Form:
    """Return the form that `payload`, the first message of an utterance, decides."""
    if is_frame(payload):
        return Form.FRAME
    if payload.startswith(_FILE_STARTS) or _is_mp3(payload):
        return Form.FILE
    return Form.RAW


# MPEG audio headers, layer III: ISO/IEC 11172-3 section 2.4.2.3 and ISO/IEC 13818-3 section 2.4.2.3.
_MPEG_HEADER_BYTES = 4
_MPEG1 = 3
_LAYER_III = 1
_BITRATES_MPEG1 = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_BITRATES_MPEG2 = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_MPEG_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
_RESERVED_EMPHASIS = 2


def _is_mp3(payload: bytes) -> bool:
    """True when a second header of the same stream stands where the first one says."""
    first = _mpeg_frame(payload, 0)
    if first is None:
        return False
    length, version, rate = first
    second = _mpeg_frame(payload, length)
    return second is not None and second[1:] == (version, rate)


def _mpeg_frame(payload: bytes, at: int) -> tuple[int, int, int] | None:
    """Return the length in bytes, version bits and rate of the layer III frame at `at`, or None if there is none.

    A frame of "free" bit rate does not say its length, so it is none.
    """
    header = payload[at : at + _MPEG_HEADER_BYTES]
    if len(header) < _MPEG_HEADER_BYTES or header[0] != 0xFF or header[1] & 0xE0 != 0xE0:
        return None
    version, layer = header[1] >> 3 & 3, header[1] >> 1 & 3
    bitrate_index, rate_index, padding = header[2] >> 4, header[2] >> 2 & 3, header[2] >> 1 & 1
    if version not in _MPEG_RATES or layer != _LAYER_III or bitrate_index in (0, 15) or rate_index == 3:
        return None
    if header[3] & 3 == _RESERVED_EMPHASIS:
        return None
    rate = _MPEG_RATES[version][rate_index]
    if version == _MPEG1:
        return 144_000 * _BITRATES_MPEG1[bitrate_index - 1] // rate + padding, version, rate
    return 72_000 * _BITRATES_MPEG2[bitrate_index - 1] // rate + padding, version, rate


_UNKNOWN_SIZES = (0, 0xFFFFFFFF)
"""What a writer that cannot seek leaves in place of a size."""
_RIFF_HEADER_BYTES = 12
_RIFF_SIZE_COUNTS_FROM = 8
_CHUNK_HEADER = struct.Struct("<4sI")
_U32 = struct.Struct("<I")
_BYTE_RATE_AT = 8
"""Offset of the bytes a second within the body of a `fmt ` chunk."""


class WavHeader:
    """Reads the header of a RIFF file that may still be arriving. Each byte is looked at once."""

    def __init__(self) -> None:
        self._chunk_at = _RIFF_HEADER_BYTES
        self._riff_size = 0
        self._data_size = 0
        self.is_wav: bool | None = None
        """None until enough has come to tell."""
        self.data_at: int | None = None
        """Where the samples begin, once known."""
        self.byte_rate = 0
        """Bytes a second of audio, as the header says; 0 until known."""

    def read(self, held: bytes | bytearray) -> None:
        """Learn from `held`: the file from its first byte on, as far as it has come."""
        if self.is_wav is None:
            if len(held) < _RIFF_HEADER_BYTES:
                return
            (self._riff_size,) = _U32.unpack_from(held, 4)
            self.is_wav = held[8:12] == b"WAVE"
        while self.is_wav and self.data_at is None and len(held) >= self._chunk_at + _CHUNK_HEADER.size:
            name, size = _CHUNK_HEADER.unpack_from(held, self._chunk_at)
            body = self._chunk_at + _CHUNK_HEADER.size
            if name == b"data":
                self.data_at, self._data_size = body, size
            elif name == b"fmt ":
                if len(held) < body + _BYTE_RATE_AT + _U32.size:
                    return
                (self.byte_rate,) = _U32.unpack_from(held, body + _BYTE_RATE_AT)
            self._chunk_at = body + size + size % 2

    @property
    def length(self) -> int | None:
        """How many bytes the whole file promises to be; None while that is not known, or left open.

        It is the larger of what the RIFF size and the data chunk's size promise, known with the data chunk's
        header: not before, lest a wrong RIFF size end the file at a place that depends on how it was cut.
        """
        if self.data_at is None or self._data_size in _UNKNOWN_SIZES:
            return None
        riff_end = 0 if self._riff_size in _UNKNOWN_SIZES else _RIFF_SIZE_COUNTS_FROM + self._riff_size
        return max(self.data_at + self._data_size, riff_end)

    def is_whole(self, held: int) -> bool:
        """Tell whether the first `held` bytes are all that there is."""
        if self.is_wav is None:
            return False
        return not self.is_wav or (self.length is not None and held >= self.length)
