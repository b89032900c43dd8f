"""From a reply's MP3, as it comes, to samples that every browser plays without a gap."""

from typing import Any

import av
import numpy as np
from av.audio.codeccontext import AudioCodecContext

from gateway.audio import to_int16


class Mp3Decoder:
    """Decodes one reply. Feed it whatever comes; it gives mono PCM, s16le, at the reply's rate."""

    def __init__(self) -> None:
        decoder = av.CodecContext.create("mp3", "r")
        assert isinstance(decoder, AudioCodecContext)
        self._decoder = decoder

    def feed(self, mp3: bytes) -> bytes:
        """Return the samples of every frame that is whole by now; about 50 µs a frame. What is no MP3 is left out."""
        pcm = bytearray()
        for packet in self._decoder.parse(mp3):
            pcm += self._decoded(packet)
        return bytes(pcm)

    def finish(self) -> bytes:
        """Return what is left at the end of the reply."""
        return b"".join(self._decoded(packet) for packet in self._decoder.parse(None)) + self._decoded(None)

    def _decoded(self, packet: "av.Packet[Any] | None") -> bytes:
        try:
            frames = self._decoder.decode(packet)
        except av.FFmpegError:
            return b""
        return b"".join(to_int16(frame.to_ndarray()[0].astype(np.float32)).tobytes() for frame in frames)
