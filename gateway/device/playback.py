"""What a board would have heard of a reply: how full its buffer was, and whether it ran dry. Pure."""

from dataclasses import dataclass

from gateway.engines.encoder import BITRATES_KBPS

_RATES_HZ = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000)}
"""Sample rates by the version bits of an MPEG audio header (3: MPEG-1, 2: MPEG-2; ISO 11172-3 and 13818-3)."""


@dataclass(frozen=True, slots=True)
class PlaybackReport:
    """How playing went. `dry_ms` is silence within the reply because nothing was there to play, in `dry_count`
    stretches; `peak_ms` is the most audio that was held at a time; `audio_ms` is all that came."""

    audio_ms: float
    peak_ms: float
    dry_count: int
    dry_ms: float
    buffer_ms: float

    @property
    def overflowed(self) -> bool:
        """Whether a board that holds `buffer_ms` would have lost audio."""
        return self.peak_ms > self.buffer_ms


class Playback:
    """Plays from the first chunk on and never stops to collect more; times are seconds of a monotonic clock.

    It holds what came less what real time has played since, never below zero: the pacing rule of the wire contract,
    seen from the device.
    """

    def __init__(self, buffer_ms: float) -> None:
        self._buffer_ms = buffer_ms
        self._kbps: int | None = None
        self._audio_ms = 0.0
        self._peak_ms = 0.0
        self._dry_count = 0
        self._dry_ms = 0.0
        self.ends_at: float | None = None
        """When all that has come so far will have been played."""

    def receive(self, audio: bytes, now: float) -> None:
        """Take the next bytes of the MP3 stream; those of the first call begin with a header."""
        if not audio:
            return
        if self._kbps is None:
            self._kbps = _kbps(audio)
        audio_ms = len(audio) * 8 / self._kbps if self._kbps else 0.0
        if self.ends_at is not None and now > self.ends_at:
            self._dry_count += 1
            self._dry_ms += (now - self.ends_at) * 1000
        self.ends_at = max(now, self.ends_at or now) + audio_ms / 1000
        self._audio_ms += audio_ms
        self._peak_ms = max(self._peak_ms, (self.ends_at - now) * 1000)

    @property
    def report(self) -> PlaybackReport:
        return PlaybackReport(self._audio_ms, self._peak_ms, self._dry_count, self._dry_ms, self._buffer_ms)


def _kbps(audio: bytes) -> int:
    """Return the bit rate, constant in a reply, that the MPEG layer III header at the start says; 0 for none."""
    if len(audio) < 4 or audio[0] != 0xFF or audio[1] & 0xE6 != 0xE2:
        return 0
    version, bitrate_index, rate_index = audio[1] >> 3 & 3, audio[2] >> 4, audio[2] >> 2 & 3
    if version not in _RATES_HZ or rate_index == 3 or bitrate_index in (0, 15):
        return 0
    return BITRATES_KBPS[_RATES_HZ[version][rate_index]][bitrate_index - 1]
