"""One MP3 stream for a whole reply."""

from typing import Final

import lameenc
import numpy as np
import soxr
from numpy.typing import NDArray

from gateway.audio import Pcm, to_float32, to_int16

_MPEG1_KBPS: Final = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_MPEG2_KBPS: Final = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
BITRATES_KBPS: Final = {
    16_000: _MPEG2_KBPS,
    22_050: _MPEG2_KBPS,
    24_000: _MPEG2_KBPS,
    32_000: _MPEG1_KBPS,
    44_100: _MPEG1_KBPS,
    48_000: _MPEG1_KBPS,
}
"""The bit rates that layer III has at each sample rate (ISO 11172-3 and 13818-3), in kbit/s."""

_QUALITY = 7
"""LAME's quickest: 1.4 to 1.7 ms of CPU for a second of audio."""


class Mp3Encoder:
    """Joins the audio of one reply into one MP3 stream: mono, one sample rate, a constant bit rate, no gaps.

    Separately encoded pieces would each bring 50 to 140 ms of silence, so one encoder lives for a reply and is
    fed as the audio comes. There is no Info or Xing frame: every byte is audio, and a count of bytes is a
    duration, which pacing relies on. The bytes put together do not depend on how the audio was cut.

    Feeding is CPU work, which does not wait for anything. LAME releases the GIL while it encodes, so the caller
    may hand it to a thread; one call at a time. Up to about 170 ms of audio stay inside until `finish`.

    `bitrate_kbps` may differ from what was asked for: it is the nearest that MP3 has at `rate`.
    """

    def __init__(self, rate: int, bitrate_kbps: int) -> None:
        """`rate` is in Hz, one of `BITRATES_KBPS`; any other raises ValueError."""
        if rate not in BITRATES_KBPS:
            raise ValueError(f"MP3 replies have one of the rates {', '.join(map(str, BITRATES_KBPS))} Hz, not {rate}")
        self.rate = rate
        self.bitrate_kbps = min(BITRATES_KBPS[rate], key=lambda possible: abs(possible - bitrate_kbps))
        self._lame: lameenc.Encoder | None = lameenc.Encoder()
        self._lame.silence()
        self._lame.set_channels(1)
        self._lame.set_quality(_QUALITY)
        self._lame.set_bit_rate(self.bitrate_kbps)
        self._lame.set_in_sample_rate(rate)
        # Left to itself, LAME lowers the sample rate of low bit rates.
        self._lame.set_out_sample_rate(rate)
        self._resampler: soxr.ResampleStream | None = None
        self._input_rate = rate
        self._empty = True

    def set_up(self) -> None:
        """Do now what else the first `feed` does first; it takes about 0.4 ms."""
        if self._lame is not None:
            self._lame.encode(b"")

    def feed(self, pcm: Pcm) -> bytes:
        """Append `pcm` to the reply, of whatever rate; return the MP3 bytes that are ready, often none."""
        ready = b""
        if pcm.rate != self._input_rate:
            ready = self._encode(self._drain_resampler())
            self._input_rate = pcm.rate
            if pcm.rate != self.rate:
                self._resampler = soxr.ResampleStream(pcm.rate, self.rate, 1, dtype="float32", quality="HQ")
        if self._resampler is None:
            return ready + self._encode(pcm.samples)
        # In float: soxr dithers int16 output, which then depends on how the input was cut.
        return ready + self._encode(to_int16(self._resampler.resample_chunk(to_float32(pcm.samples))))

    def finish(self) -> bytes:
        """Return the last bytes of the stream; a reply without any audio has none. Nothing may be fed afterwards."""
        last = self._encode(self._drain_resampler())
        if self._lame is not None and not self._empty:
            last += bytes(self._lame.flush())
        self.close()
        return last

    def close(self) -> None:
        """Let go of LAME's 450 KB at once; whoever holds the encoder may live longer. Safe to call again."""
        self._lame = None
        self._resampler = None

    def seconds_of(self, n_bytes: int) -> float:
        """How long `n_bytes` of this stream play, in seconds."""
        return n_bytes * 8 / (self.bitrate_kbps * 1000)

    def _drain_resampler(self) -> NDArray[np.int16]:
        """End the resampler, which holds some 25 ms back."""
        if self._resampler is None:
            return np.zeros(0, dtype=np.int16)
        rest = self._resampler.resample_chunk(np.zeros(0, dtype=np.float32), last=True)
        self._resampler = None
        return to_int16(rest)

    def _encode(self, samples: NDArray[np.int16]) -> bytes:
        if len(samples) == 0:
            return b""
        assert self._lame is not None, "nothing may be fed after the end"
        self._empty = False
        return bytes(self._lame.encode(samples.tobytes()))
