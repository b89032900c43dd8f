"""Puts the frames of one utterance in order and keeps account of what the link did to them."""

from dataclasses import replace

from gateway.errors import DeviceFault
from gateway.values import Codec, Gap, LinkCounts
from gateway.wire import adpcm, opus
from gateway.wire.frame import Frame, FrameCodec, bad_frame

MAX_LATE = 8
"""A frame may come this many frames late and still be put in its place."""
_BYTES_A_SECOND = 96_000
"""The most that a second of audio takes in any codec: PCM at 48 kHz. Opus has at most 64 kB (RFC 6716, 510 kbit/s)."""
_GAP_MAX_S = 1.0
"""Longest silence put in place of one run of lost frames, in seconds; the frames are counted all the same."""

_CODECS = {FrameCodec.PCM: Codec.PCM, FrameCodec.ADPCM: Codec.ADPCM, FrameCodec.OPUS: Codec.OPUS}


class FramedAudio:
    """The audio of one turn. At most `MAX_LATE` frames wait for a missing one; all others are in `parts`."""

    def __init__(self, first: Frame, limit_s: float) -> None:
        self.codec = _CODECS[first.codec]
        self.rate = first.rate
        self.counts = LinkCounts()
        self.too_long = False
        self._limit_s = limit_s
        self._form_known = False
        self._samples_left = int(limit_s * first.rate)
        self._bytes_left = int(limit_s * _BYTES_A_SECOND)
        self._parts: list[bytes | Gap] = []
        self._frame_samples = 0
        self._waiting: dict[int, tuple[bytes, int]] = {}
        self._next = 0
        self._highest = -1
        self._begun = False
        self._seen = 0
        """Bit n is set when frame n came in time."""

    @property
    def parts(self) -> tuple[bytes | Gap, ...]:
        """What has been put in order, gaps in their places."""
        return tuple(self._parts)

    def parts_from(self, index: int) -> list[bytes | Gap]:
        """Return what has been put in order from the part `index` on."""
        return self._parts[index:]

    def fault_in(self, frame: Frame) -> DeviceFault | None:
        """Return why the audio of a frame of this turn cannot be taken: it is no ADPCM, or not of the codec and rate
        that the first audio of the turn had."""
        if not frame.audio:
            return None
        if self._form_known and (_CODECS[frame.codec], frame.rate) != (self.codec, self.rate):
            return bad_frame(f"codec {frame.codec} at {frame.rate} Hz within a turn of {self.codec} at {self.rate} Hz")
        try:
            audio_of(frame)
        except DeviceFault as fault:
            return fault
        return None

    def add(self, frame: Frame) -> bool:
        """Take a frame of this turn that has no fault; False if it brought nothing: a duplicate, or too late to be
        placed."""
        audio, length = audio_of(frame)
        if audio and not self._form_known:
            # A first frame without audio may say what it likes.
            self._form_known = True
            self.codec, self.rate = _CODECS[frame.codec], frame.rate
            self._samples_left = int(self._limit_s * frame.rate)
        if self._seen >> frame.seq & 1:
            self.counts = replace(self.counts, duplicate=self.counts.duplicate + 1)
            return False
        if frame.seq < self._next:
            return False
        if frame.seq < self._highest:
            self.counts = replace(self.counts, late=self.counts.late + 1)
        self._seen |= 1 << frame.seq
        self._highest = max(self._highest, frame.seq)
        self._waiting[frame.seq] = (audio, length)
        self._settle(self._highest - MAX_LATE)
        return True

    def finish(self) -> None:
        """Put in order what still waits: nothing more will come."""
        self._settle(self._highest + 1)

    def _settle(self, end: int) -> None:
        """Place every frame that is next, and give up those before `end` that have not come."""
        while not self.too_long and (self._next in self._waiting or self._next < end):
            if self._next in self._waiting:
                self._place(*self._waiting.pop(self._next))
                self._next += 1
            else:
                came = min(self._waiting)
                self._give_up(min(came, end) - self._next, self._waiting[came][1])

    def _place(self, audio: bytes, length: int) -> None:
        self._begun = True
        if length > self._samples_left:
            self.too_long = True
            audio, length = _beginning(self.codec, audio, self._samples_left)
        if length:
            self._frame_samples = length
            self._samples_left -= length
        self._bytes_left -= len(audio)
        if self._bytes_left < 0:
            # Packets whose length cannot be read would never reach the limit by their length.
            self.too_long = True
        elif audio:
            self._parts.append(audio)

    def _give_up(self, frames: int, next_samples: int) -> None:
        """Count `frames` lost, and fill their place: each as long as the frame before, or else the one after.
        Nothing is filled before the first frame that came."""
        self.counts = replace(self.counts, lost=self.counts.lost + frames)
        self._next += frames
        if not self._begun:
            return
        before = self._parts[-1].samples if self._parts and isinstance(self._parts[-1], Gap) else 0
        longest = int(_GAP_MAX_S * self.rate)
        fill = min(frames * (self._frame_samples or next_samples), longest - before)
        if fill > self._samples_left:
            self.too_long = True
            fill = self._samples_left
        if fill:
            if before:
                self._parts.pop()
            self._samples_left -= fill
            self._parts.append(Gap(before + fill))


def audio_of(frame: Frame) -> tuple[bytes, int]:
    """Return an uplink frame's audio and how many samples it lasts at its rate, without decoding it.

    Half a sample of PCM at the end is dropped. An Opus packet whose length cannot be read lasts nothing here: whether
    it can be decoded is the decoder's to say.

    Raises:
        DeviceFault: `bad_frame`; the audio is no block of ADPCM.
    """
    if not frame.audio:
        return b"", 0
    if frame.codec is FrameCodec.ADPCM:
        return frame.audio, adpcm.samples(frame.audio)
    if frame.codec is FrameCodec.OPUS:
        try:
            return frame.audio, opus.samples(frame.audio, frame.rate)
        except DeviceFault:
            return frame.audio, 0
    samples = len(frame.audio) // 2
    return frame.audio[: 2 * samples], samples


def _beginning(codec: Codec, audio: bytes, samples: int) -> tuple[bytes, int]:
    """Return as much of `audio` as lasts at most `samples`, and how many samples that is."""
    if codec is Codec.PCM:
        return audio[: 2 * samples], samples
    if codec is Codec.ADPCM:
        return audio[: adpcm.HEADER_BYTES + samples // 2], samples // 2 * 2
    return b"", 0
