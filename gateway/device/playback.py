"""What a board would have heard of a reply: how full its buffer was, and whether it ran dry. Pure."""

from dataclasses import dataclass

from gateway.device.mpeg import read_header


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
    """Plays from the moment on at which `pre_buffer_ms` of audio has come, or the end, and never stops to collect more;
    times are seconds of a monotonic clock.

    What it holds (`peak_ms`) is counted as the wire contract counts it: what came less what real time has played since
    the first chunk, never below zero. A board has room for its pre-buffer besides.
    """

    def __init__(self, buffer_ms: float, pre_buffer_ms: float = 0) -> None:
        self._buffer_ms = buffer_ms
        self._pre_buffer_ms = pre_buffer_ms
        self._kbps: int | None = None
        self._audio_ms = 0.0
        self._peak_ms = 0.0
        self._dry_count = 0
        self._dry_ms = 0.0
        self._held_until = 0.0
        self.ends_at: float | None = None
        """When all that has come so far will have been played; None before playing has begun."""

    def receive(self, audio: bytes, now: float) -> None:
        """Take the next bytes of the MP3 stream; those of the first call begin with a header."""
        if not audio:
            return
        if self._kbps is None:
            header = read_header(audio)
            self._kbps = header.kbps if header else 0
        audio_ms = len(audio) * 8 / self._kbps if self._kbps else 0.0
        self._audio_ms += audio_ms
        self._held_until = max(now, self._held_until) + audio_ms / 1000
        self._peak_ms = max(self._peak_ms, (self._held_until - now) * 1000)
        if self.ends_at is None:
            if self._audio_ms >= self._pre_buffer_ms:
                self._begin(now)
            return
        if now > self.ends_at:
            self._dry_count += 1
            self._dry_ms += (now - self.ends_at) * 1000
        self.ends_at = max(now, self.ends_at) + audio_ms / 1000

    def finish(self, now: float) -> None:
        """Take note that no more audio comes: what was too short to begin with is played."""
        if self.ends_at is None and self._audio_ms:
            self._begin(now)

    def _begin(self, now: float) -> None:
        self.ends_at = now + self._audio_ms / 1000

    @property
    def report(self) -> PlaybackReport:
        return PlaybackReport(self._audio_ms, self._peak_ms, self._dry_count, self._dry_ms, self._buffer_ms)
