"""How long an Opus packet lasts, read from its first two bytes without decoding it (RFC 6716, section 3)."""

from gateway.wire.frame import bad_frame

_RATE = 48_000
_LONGEST = 5760
"""Samples at 48 kHz: no packet is longer than 120 ms (RFC 6716, section 3.2.5, rule R5)."""
_FRAME_MAX_BYTES = 1275
_FRAME_OVERHEAD_BYTES = 2
_PACKET_OVERHEAD_BYTES = 2

# Samples of one frame at 48 kHz, by configuration number (RFC 6716, table 2): SILK, hybrid, CELT.
_FRAME_SAMPLES = (480, 960, 1920, 2880) * 3 + (480, 960) * 2 + (120, 240, 480, 960) * 4


def samples(packet: bytes, rate: int) -> int:
    """Return how many samples `packet` lasts at `rate` Hz, rounded down.

    Raises:
        DeviceFault: `bad_frame`; the packet is malformed, or larger than its frames can be.
    """
    if not packet:
        raise bad_frame("an Opus packet has at least one byte")
    frames = _frames(packet)
    length = frames * _FRAME_SAMPLES[packet[0] >> 3]
    if length > _LONGEST:
        raise bad_frame(f"an Opus packet of {length // 48} ms is longer than 120 ms")
    if len(packet) > _PACKET_OVERHEAD_BYTES + frames * (_FRAME_MAX_BYTES + _FRAME_OVERHEAD_BYTES):
        raise bad_frame(f"{len(packet)} bytes are more than an Opus packet of {frames} frames can be")
    return length * rate // _RATE


def _frames(packet: bytes) -> int:
    code = packet[0] & 3
    if code != 3:
        return 1 if code == 0 else 2
    if len(packet) < 2 or not packet[1] & 0x3F:
        raise bad_frame("an Opus packet of code 3 says how many frames it holds, at least 1")
    return packet[1] & 0x3F
