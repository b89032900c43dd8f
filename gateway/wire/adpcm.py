"""IMA ADPCM blocks, each standing alone: 4 bits a sample.

A block is the predictor (s16 little-endian), the step index (u8, 0 to 88), one zero byte, then 4-bit samples, the
low nibble first. n nibbles are n samples: the predictor is state, not a sample. The arithmetic and both tables are
those of the IMA Digital Audio Focus and Technical Working Groups, "Recommended Practices", revision 3.00 (1992).
"""

import struct
from array import array

import numpy as np
from numpy.typing import NDArray

from gateway.wire.frame import bad_frame

_HEADER = struct.Struct("<hBB")
HEADER_BYTES = _HEADER.size

# fmt: off
_STEPS = (
    7, 8, 9, 10, 11, 12, 13, 14, 16, 17, 19, 21, 23, 25, 28, 31, 34, 37, 41, 45, 50, 55, 60, 66, 73, 80, 88, 97, 107,
    118, 130, 143, 157, 173, 190, 209, 230, 253, 279, 307, 337, 371, 408, 449, 494, 544, 598, 658, 724, 796, 876, 963,
    1060, 1166, 1282, 1411, 1552, 1707, 1878, 2066, 2272, 2499, 2749, 3024, 3327, 3660, 4026, 4428, 4871, 5358, 5894,
    6484, 7132, 7845, 8630, 9493, 10442, 11487, 12635, 13899, 15289, 16818, 18500, 20350, 22385, 24623, 27086, 29794,
    32767,
)
# fmt: on
_INDEX_MOVES = (-1, -1, -1, -1, 2, 4, 6, 8)
_LAST_INDEX = len(_STEPS) - 1


def _difference(step: int, nibble: int) -> int:
    size = (
        (step >> 3) + (step if nibble & 4 else 0) + (step >> 1 if nibble & 2 else 0) + (step >> 2 if nibble & 1 else 0)
    )
    return -size if nibble & 8 else size


# A row of 16 for each step index, so that `16 * index + nibble` finds what the nibble adds and the next row.
_DIFFERENCES = tuple(_difference(step, nibble) for step in _STEPS for nibble in range(16))
_NEXT_ROWS = tuple(
    16 * min(max(index + _INDEX_MOVES[nibble & 7], 0), _LAST_INDEX)
    for index in range(len(_STEPS))
    for nibble in range(16)
)


def samples(block: bytes) -> int:
    """Return how many samples `block` holds, having checked its header.

    Raises:
        DeviceFault: `bad_frame`; the header is cut short or out of its range.
    """
    if len(block) < HEADER_BYTES:
        raise bad_frame(f"an ADPCM block has a header of {HEADER_BYTES} bytes; this one is {len(block)} long")
    _, index, zero = _HEADER.unpack_from(block)
    if index > _LAST_INDEX:
        raise bad_frame(f"ADPCM step index {index} is not 0 to {_LAST_INDEX}")
    if zero:
        raise bad_frame(f"the fourth byte of an ADPCM block is 0, not {zero}")
    return 2 * (len(block) - HEADER_BYTES)


def decode(block: bytes) -> NDArray[np.int16]:
    """Return the samples of `block`, shape (2 * (bytes - 4),).

    Raises:
        DeviceFault: `bad_frame`; the header is cut short or out of its range.
    """
    samples(block)
    value, index, _ = _HEADER.unpack_from(block)
    row = 16 * index
    decoded = array("h")
    append = decoded.append
    for byte in block[HEADER_BYTES:]:
        for nibble in (byte & 15, byte >> 4):
            value += _DIFFERENCES[row + nibble]
            if value > 32767:
                value = 32767
            elif value < -32768:
                value = -32768
            row = _NEXT_ROWS[row + nibble]
            append(value)
    return np.frombuffer(decoded, np.int16)


class Encoder:
    """Makes blocks of one signal; predictor and step index go on from block to block."""

    def __init__(self, predictor: int = 0, index: int = 0) -> None:
        self.predictor = predictor
        self.index = index

    def encode(self, signal: NDArray[np.int16]) -> bytes:
        """Return the block of `signal`, shape (n,).

        Raises:
            ValueError: n is odd; a block holds whole bytes of two samples.
        """
        if len(signal) % 2:
            raise ValueError(f"an ADPCM block holds an even number of samples, not {len(signal)}")
        header = _HEADER.pack(self.predictor, self.index, 0)
        nibbles = [self._nibble(sample) for sample in signal.tolist()]
        return header + bytes(low | high << 4 for low, high in zip(nibbles[::2], nibbles[1::2], strict=True))

    def _nibble(self, sample: int) -> int:
        rest = sample - self.predictor
        nibble = 0
        if rest < 0:
            nibble, rest = 8, -rest
        step = _STEPS[self.index]
        for bit in (4, 2, 1):
            if rest >= step:
                nibble |= bit
                rest -= step
            step >>= 1
        row = 16 * self.index
        self.predictor = min(max(self.predictor + _DIFFERENCES[row + nibble], -32768), 32767)
        self.index = _NEXT_ROWS[row + nibble] // 16
        return nibble
