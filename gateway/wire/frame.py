"""The frame: a 12-byte little-endian header, then audio. Layout and ranges are those of docs/protocol.md."""

import struct
from dataclasses import dataclass
from enum import IntEnum, IntFlag

from gateway.errors import DeviceFault, ErrorCode, Stage

HEADER = struct.Struct("<2sBBBBHHH")
HEADER_BYTES = HEADER.size
MAGIC = b"VG"
VERSION = 1
_TOLD_BY_BYTES = 6
"""Magic, version and reserved byte lie in the first 6 bytes: they alone make a payload a frame."""
RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)

FIRST_DEVICE_TURN = 1
LAST_DEVICE_TURN = 0x7FFF
FIRST_GATEWAY_TURN = 0x8000
LAST_GATEWAY_TURN = 0xFFFF
LAST_SEQ = 0xFFFF


class Flag(IntFlag):
    NONE = 0
    START = 1
    END = 2
    CANCEL = 4


class FrameCodec(IntEnum):
    PCM = 0
    ADPCM = 1
    OPUS = 2
    MP3 = 3


# Looked up in every frame: to make a member of its number takes ten times as long.
_FLAGS = tuple(Flag(number) for number in range(1 << len(Flag)))
_CODECS = tuple(FrameCodec)


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame. `rate` in Hz; `audio` coded as `codec` says, possibly empty."""

    turn: int
    seq: int
    flags: Flag
    codec: FrameCodec
    rate: int
    audio: bytes = b""


def encode(frame: Frame) -> bytes:
    """Return the payload for `frame`.

    Raises:
        struct.error: a field does not fit its place in the header.
    """
    return HEADER.pack(MAGIC, VERSION, frame.flags, frame.codec, 0, frame.turn, frame.seq, frame.rate) + frame.audio


def is_frame(payload: bytes) -> bool:
    """Tell a frame (of this or a coming version, whole or cut short) from any other payload."""
    return len(payload) >= _TOLD_BY_BYTES and payload[:2] == MAGIC and 1 <= payload[2] <= 15 and payload[5] == 0


def decode(payload: bytes) -> Frame:
    """Return the frame in `payload`, which `is_frame` has told to be one; any direction, any turn but 0.

    Raises:
        DeviceFault: `bad_frame`, naming the field that is out of its range.
    """
    if len(payload) < HEADER_BYTES:
        raise bad_frame(f"a frame has a header of {HEADER_BYTES} bytes; this payload is {len(payload)} long")
    _, version, flags, codec, _, turn, seq, rate = HEADER.unpack_from(payload)
    if version != VERSION:
        raise bad_frame(f"version {version} is not {VERSION}")
    if flags >= len(_FLAGS):
        raise bad_frame(f"flags {flags:#04x} has bits that mean nothing")
    if codec >= len(_CODECS):
        raise bad_frame(f"codec {codec} is not 0 to 3")
    if turn == 0:
        raise bad_frame("turn 0 is not a turn")
    if rate not in RATES:
        raise bad_frame(f"rate {rate} Hz is not one of {', '.join(map(str, RATES))}")
    return Frame(turn, seq, _FLAGS[flags], _CODECS[codec], rate, payload[HEADER_BYTES:])


def decode_uplink(payload: bytes) -> Frame:
    """Like `decode`, for what a device sends: its turns and codecs only.

    Raises:
        DeviceFault: `bad_frame`, naming the field that is out of its range.
    """
    frame = decode(payload)
    if frame.turn > LAST_DEVICE_TURN:
        raise bad_frame(f"turn {frame.turn:#06x} is the gateway's; a device uses 1 to {LAST_DEVICE_TURN:#06x}")
    if frame.codec is FrameCodec.MP3:
        raise bad_frame("codec 3 (MP3) is for replies only")
    return frame


def newer(new: int, old: int) -> bool:
    """True when device turn `new` comes after `old`, round the end of the numbers."""
    return 1 <= (new - old) % 0x7FFF <= 0x3FFF


def turn_after(turn: int) -> int:
    """The device turn that follows `turn`."""
    return turn % LAST_DEVICE_TURN + 1


def bad_frame(message: str) -> DeviceFault:
    """The fault of a frame that is dropped because of `message`."""
    return DeviceFault(ErrorCode.BAD_FRAME, Stage.RECEIVE, message)
