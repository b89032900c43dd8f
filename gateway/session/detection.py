"""Following what one device says with the speech detector."""

from collections.abc import Sequence

from gateway.engines.vad import SpeechDetector, SpeechStream
from gateway.errors import DeviceFault, EngineBusy, ErrorCode, Stage
from gateway.pipeline.assemble import NeedsSpeechProbability
from gateway.session.telling import Teller


class Detection:
    """The device's place in the detector, which all devices share."""

    def __init__(self, detector: SpeechDetector, teller: Teller) -> None:
        self._detector = detector
        self._teller = teller
        self._stream: SpeechStream | None = None
        self._rate = 0

    def release(self) -> None:
        """Let go of what the stream held, a resampler among it: it is over."""
        self._stream = None

    async def probabilities(self, asked: NeedsSpeechProbability) -> Sequence[float | None]:
        """Return the speech probability of each window that is now whole; None for each while the detector cannot keep
        up, which the device is told if it may end later for that: by its empty message or a limit."""
        if self._stream is None or self._rate != asked.rate:
            self._stream = self._detector.stream(asked.rate)
            self._rate = asked.rate
        if asked.fresh:
            self._stream.reset()
        try:
            return await self._stream.probabilities(asked.pcm)
        except EngineBusy as exc:
            self._stream.reset()
            if not asked.optional:
                self._teller.tell(DeviceFault(ErrorCode.BUSY, Stage.RECEIVE, exc.message, retryable=True))
            return [None] * asked.windows
