"""Reads the headers of an MPEG layer III stream (ISO 11172-3 and 13818-3, section 2.4.2.3). Pure."""

from dataclasses import dataclass

from gateway.engines.encoder import BITRATES_KBPS

_HEADER_BYTES = 4
_RATES_HZ = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000)}
"""Sample rates by the version bits (3: MPEG-1, 2: MPEG-2): those that a reply may have."""
_MPEG1 = 3
_MONO = 3


@dataclass(frozen=True, slots=True)
class MpegHeader:
    """One frame of MP3: `size` in bytes with its header, `rate` in Hz."""

    size: int
    rate: int
    kbps: int
    mono: bool


def read_header(stream: bytes, at: int = 0) -> MpegHeader | None:
    """Return the header of the layer III frame that begins at `at`; None if none does."""
    if len(stream) < at + _HEADER_BYTES or stream[at] != 0xFF or stream[at + 1] & 0xE6 != 0xE2:
        return None
    second, third = stream[at + 1], stream[at + 2]
    version, bitrate_index, rate_index, padding = second >> 3 & 3, third >> 4, third >> 2 & 3, third >> 1 & 1
    if version not in _RATES_HZ or rate_index == 3 or bitrate_index in (0, 15):
        return None
    rate = _RATES_HZ[version][rate_index]
    kbps = BITRATES_KBPS[rate][bitrate_index - 1]
    size = (144_000 if version == _MPEG1 else 72_000) * kbps // rate + padding
    return MpegHeader(size, rate, kbps, mono=stream[at + 3] >> 6 == _MONO)
