"""Listens along with frames, whose end the device itself says: to know in a pause what has been said so far."""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from gateway.pipeline.framed import FramedAudio
from gateway.pipeline.raw import Hushed, Move, NeedsSpeechProbability, RawStream, WentOn
from gateway.values import Codec, Gap
from gateway.wire import adpcm


class FrameFollower:
    """Follows one utterance in frames of PCM or ADPCM, as long as none of it is missing."""

    def __init__(self, audio: FramedAudio, limit_s: float) -> None:
        self._audio = audio
        # Its end is the device's to say, and its limit that of the frames.
        self._limit_s = 2 * limit_s
        self._stream: RawStream | None = None
        self._placed = 0
        self._lost = False

    def take(self) -> list[NeedsSpeechProbability | WentOn]:
        """Listen to what has been put in order since the last call."""
        if self._lost:
            return []
        if self._audio.codec is Codec.OPUS or self._audio.counts.lost:
            return self._lose()
        parts = self._audio.parts_from(self._placed)
        self._placed += len(parts)
        pcm = b"".join(self._pcm(part) for part in parts if not isinstance(part, Gap))
        if not pcm:
            return []
        if self._stream is None:
            self._stream = RawStream(self._audio.rate, self._limit_s, int(1000 * self._limit_s), pauses=True)
        asked = self._stream.take(pcm)
        return [] if asked is None else [replace(asked, optional=True)]

    def hear(self, probabilities: Iterable[float | None]) -> list[Move]:
        """Take the speech probabilities of what `take` asked for."""
        if self._stream is None:
            return []
        return [move for move in self._stream.hear(probabilities) if isinstance(move, Hushed | WentOn)]

    def finish(self) -> list[NeedsSpeechProbability | WentOn]:
        """The device has said the end. Only where that decides something is the last of it listened to."""
        if self._stream is None or not self._stream.hushed:
            return []
        return self.take()

    def doubt(self) -> list[Move]:
        """Say whether too much has come that nobody has listened to for the pause to have been the end."""
        return [] if self._stream is None else self._stream.doubt()

    def _lose(self) -> list[NeedsSpeechProbability | WentOn]:
        self._lost = True
        hushed = self._stream is not None and self._stream.hushed
        self._stream = None
        return [WentOn()] if hushed else []

    def _pcm(self, part: bytes) -> bytes:
        return adpcm.decode(part).astype(np.dtype("<i2")).tobytes() if self._audio.codec is Codec.ADPCM else part
