"""How an utterance becomes the messages that a device sends. Pure."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateway.audio import Pcm
from gateway.values import Codec
from gateway.wire import adpcm
from gateway.wire.frame import LAST_SEQ, Flag, Frame, FrameCodec, encode

Link = Callable[[list[bytes]], list[bytes]]
"""What a link does to the messages of an utterance: it may lose, repeat and reorder them."""

Delay = Callable[[], float]
"""How many seconds a link holds up the next message."""

CHUNK_MS = 60
"""Audio in one message: 1920 bytes of PCM at 16 kHz. Few enough messages, and soon enough."""

_OPUS_MS = (10, 20, 40, 60)
"""The packet lengths that the encoder takes (RFC 6716, section 2.1.4, without those for music)."""

_FRAME_CODECS = {Codec.PCM: FrameCodec.PCM, Codec.ADPCM: FrameCodec.ADPCM, Codec.OPUS: FrameCodec.OPUS}


class FrameWriter:
    """Makes the frames of one turn, in order: START on the first; END or CANCEL when it is told."""

    def __init__(self, turn: int, codec: Codec, rate: int, chunk_ms: int) -> None:
        """
        Raises:
            ValueError: `codec` cannot be framed, or not in pieces of `chunk_ms`.
        """
        if codec not in _FRAME_CODECS:
            raise ValueError(f"frames carry pcm, adpcm or opus, not {codec}")
        if codec is Codec.OPUS and chunk_ms not in _OPUS_MS:
            raise ValueError(f"an Opus packet is {', '.join(map(str, _OPUS_MS))} ms long, not {chunk_ms}")
        self.turn = turn
        # ADPCM holds two samples a byte.
        self.chunk_samples = max(2, rate * chunk_ms // 1000 // 2 * 2)
        self._rate = rate
        self._codec = codec
        self._adpcm = adpcm.Encoder()
        self._opus = _OpusEncoder(rate, chunk_ms) if codec is Codec.OPUS else None
        self._seq = 0

    def frames(self, samples: NDArray[np.int16], *, last: bool = False) -> list[bytes]:
        """Return the frames of the next `samples`, shape (n,); with `last`, the end of the utterance is in them."""
        blocks = cut(samples, self.chunk_samples)
        if last and not blocks:
            return [self.end()]
        return [
            self._frame(Flag.END if last and index == len(blocks) - 1 else Flag.NONE, self._coded(block))
            for index, block in enumerate(blocks)
        ]

    def end(self) -> bytes:
        """Return the frame that ends the utterance, without audio."""
        return self._frame(Flag.END, b"")

    def cancel(self) -> bytes:
        """Return the frame that takes the utterance back."""
        return self._frame(Flag.CANCEL, b"")

    def _frame(self, flags: Flag, audio: bytes) -> bytes:
        seq = self._seq
        self._seq = (self._seq + 1) & LAST_SEQ
        if seq == 0 and not flags & Flag.CANCEL:
            flags |= Flag.START
        return encode(Frame(self.turn, seq, flags, _FRAME_CODECS[self._codec], self._rate, audio))

    def _coded(self, block: NDArray[np.int16]) -> bytes:
        if self._opus is not None:
            return self._opus.packet(_padded(block, self.chunk_samples))
        if self._codec is Codec.ADPCM:
            return self._adpcm.encode(_padded(block, len(block) + len(block) % 2))
        return block.astype("<i2").tobytes()


def no_delay() -> float:
    """A link that holds nothing up."""
    return 0.0


def raw_messages(speech: Pcm, chunk_ms: int) -> list[bytes]:
    """Return `speech` as bare samples, without an end."""
    return [block.astype("<i2").tobytes() for block in cut(speech.samples, max(1, speech.rate * chunk_ms // 1000))]


def pieces(data: bytes, chunk_bytes: int) -> list[bytes]:
    return [data[at : at + chunk_bytes] for at in range(0, len(data), chunk_bytes)]


def cut(samples: NDArray[np.int16], block: int) -> list[NDArray[np.int16]]:
    """Cut `samples`, shape (n,), into blocks of `block`; the last may be shorter."""
    return [samples[at : at + block] for at in range(0, len(samples), block)]


def _padded(block: NDArray[np.int16], length: int) -> NDArray[np.int16]:
    return np.pad(block, (0, length - len(block)))


class _OpusEncoder:
    """One packet for each block of exactly `chunk_ms`."""

    def __init__(self, rate: int, chunk_ms: int) -> None:
        import av  # comes with faster-whisper; half a second of import that only Opus pays

        self._av = av
        self._rate = rate
        self._context: Any = av.CodecContext.create("libopus", "w")
        self._context.sample_rate = rate
        self._context.layout = "mono"
        self._context.format = "s16"
        self._context.options = {"frame_duration": str(chunk_ms), "application": "voip"}

    def packet(self, block: NDArray[np.int16]) -> bytes:
        frame = self._av.AudioFrame.from_ndarray(block.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate = self._rate
        return b"".join(bytes(packet) for packet in self._context.encode(frame))
