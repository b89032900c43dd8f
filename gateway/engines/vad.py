"""Voice activity: how likely each 32 ms of a stream is speech, by the Silero model that faster-whisper ships.

The model (version 6, ONNX, silero_vad_v6.onnx in faster-whisper's assets) looks at windows of 512 samples at 16 kHz,
each with the 64 samples before it, and carries the state of one LSTM layer from window to window. All windows of a
call go through it in one run, which is twice as quick as one run for each.
"""

import asyncio
import threading
from typing import Any

import numpy as np
import soxr
from numpy.typing import NDArray

from gateway.audio import SPEECH_RATE, to_float32
from gateway.engines.workers import Workers

WINDOW = 512
"""Samples at 16 kHz that one probability stands for."""
WINDOW_S = WINDOW / SPEECH_RATE
SPEECH_PROBABILITY = 0.5
"""From here on a window counts as speech (Silero's own default)."""

_CONTEXT = 64
_STATE_SHAPE = (1, 1, 128)
_QUEUE = 1024
"""Calls that may wait: more streams than one thread can follow in real time (about 300)."""


class SpeechDetector:
    """The model, loaded once and shared by every stream; it runs in one thread of its own."""

    def __init__(self) -> None:
        self._workers = Workers("speech detector", threads=1, queue=_QUEUE)
        self._session: Any = None

    async def start(self) -> None:
        """Load the model (about a second, off the event loop)."""
        self._session = await asyncio.to_thread(_load_session)

    async def close(self) -> None:
        await self._workers.close()

    def stream(self, rate: int) -> "SpeechStream":
        """Follow a new stream of samples at `rate` Hz."""
        return SpeechStream(self, rate)

    async def contains_speech(self, speech: NDArray[np.float32]) -> bool:
        """Whether anybody speaks in `speech`: mono, shape (n,), -1..1, 16 kHz.

        Raises:
            EngineBusy: too many calls wait.
        """
        padded = np.pad(speech, (0, -len(speech) % WINDOW))
        probabilities, _ = await self.run(padded.reshape(-1, WINDOW), initial_state())
        return bool((probabilities >= SPEECH_PROBABILITY).any())

    async def run(self, windows: NDArray[np.float32], state: "State") -> "tuple[NDArray[np.float32], State]":
        """Put `windows`, shape (n, 512), through the model; returns n probabilities and the state after them."""
        if len(windows) == 0:
            return np.zeros(0, np.float32), state

        def infer(abandoned: threading.Event) -> "tuple[NDArray[np.float32], State]":
            if abandoned.is_set():
                return np.zeros(0, np.float32), state
            context, hidden, cell = state
            tails = np.concatenate((context, windows[:, -_CONTEXT:]))
            framed = np.concatenate((tails[:-1], windows), axis=1)
            probabilities, hidden, cell = self._session.run(None, {"input": framed, "h": hidden, "c": cell})
            return np.ravel(probabilities), (tails[-1:], hidden, cell)

        return await self._workers.run(infer)


State = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]
"""What the model remembers: the last 64 samples, shape (1, 64), and the two LSTM states, shape (1, 1, 128)."""


def initial_state() -> State:
    """The state before the first window."""
    return np.zeros((1, _CONTEXT), np.float32), np.zeros(_STATE_SHAPE, np.float32), np.zeros(_STATE_SHAPE, np.float32)


class SpeechStream:
    """One stream: what of it is not yet a whole window, and what the model remembers of it.

    One call at a time; after a cancelled call, `reset()`.
    """

    def __init__(self, detector: SpeechDetector, rate: int) -> None:
        self._detector = detector
        self._rate = rate
        self.reset()

    def reset(self) -> None:
        """Forget everything: a new recording begins."""
        self._resampler = (
            None if self._rate == SPEECH_RATE else soxr.ResampleStream(self._rate, SPEECH_RATE, 1, dtype="float32")
        )
        self._odd_byte = b""
        self._rest = np.zeros(0, np.float32)
        self._state = initial_state()

    async def probabilities(self, pcm: bytes) -> list[float]:
        """Take the next bytes (s16le, mono) and return the probability, 0..1, of each window that is now whole.

        The result does not depend on how the stream is cut into calls, not even inside a sample.

        Raises:
            EngineBusy: too many calls wait.
        """
        pcm = self._odd_byte + pcm
        whole = len(pcm) - len(pcm) % 2
        self._odd_byte = pcm[whole:]
        samples = to_float32(np.frombuffer(pcm[:whole], "<i2"))
        if self._resampler is not None:
            samples = self._resampler.resample_chunk(samples)
        samples = np.concatenate((self._rest, samples))
        count = len(samples) // WINDOW
        self._rest = samples[count * WINDOW :]
        windows = samples[: count * WINDOW].reshape(count, WINDOW)
        probabilities, self._state = await self._detector.run(windows, self._state)
        return [float(probability) for probability in probabilities]


def _load_session() -> Any:
    # faster_whisper takes a second to import, so not before somebody needs it.
    from faster_whisper.vad import get_vad_model

    return get_vad_model().session
