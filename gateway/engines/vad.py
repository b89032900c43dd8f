"""Voice activity: how likely each 32 ms of a stream is speech, by the Silero model that faster-whisper ships.

The model (version 6, ONNX, silero_vad_v6.onnx in faster-whisper's assets) looks at windows of 512 samples at 16 kHz,
each with the 64 samples before it, and carries the state of one LSTM layer from window to window. The graph takes the
rows of its input for the windows of one stream, in order, and has one state for all of them. So all windows of a call
go through it in one run, which is twice as quick as one run for each; windows of several streams cannot. What several
streams wait for is therefore done in one visit to the thread, a run for each stream: the way there and back costs more
than a window does.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import soxr
from numpy.typing import NDArray

from gateway.audio import SPEECH_RATE, SPEECH_WINDOW, to_float32
from gateway.engines.workers import Workers
from gateway.errors import EngineBusy

SPEECH_PROBABILITY = 0.5
"""From here on a window counts as speech (Silero's own default)."""

_CONTEXT = 64
_STATE_SHAPE = (1, 1, 128)
_QUEUE = 1024
"""Calls that may wait: more streams than one thread can follow in real time (about 300)."""
_WINDOWS_A_VISIT = 64
"""What one visit to the thread does at most, about 6 ms, unless a single call is longer: its first call waits for its
last."""


@dataclass(frozen=True, slots=True)
class _Call:
    """Windows of one stream, shape (n, 512), and where the probabilities and the state after them go."""

    windows: NDArray[np.float32]
    state: "State"
    result: "asyncio.Future[Heard]"


class SpeechDetector:
    """The model, loaded once and shared by every stream; it runs in one thread of its own. A call that comes alone
    goes there at once; those that come meanwhile go together, next."""

    def __init__(self) -> None:
        self._workers = Workers("speech detector", threads=1, queue=1)
        self._session: Any = None
        self._waiting: deque[_Call] = deque()
        self._pump: asyncio.Task[None] | None = None
        self.refused = 0
        """Calls that were one too many."""

    async def start(self) -> None:
        """Load the model (about a second, off the event loop)."""
        self._session = await asyncio.to_thread(_load_session)

    async def close(self) -> None:
        if self._pump is not None:
            self._pump.cancel()
            await asyncio.wait({self._pump})
        while self._waiting:
            self._waiting.popleft().result.cancel()
        await self._workers.close()

    def stream(self, rate: int) -> "SpeechStream":
        """Follow a new stream of samples at `rate` Hz."""
        return SpeechStream(self, rate)

    async def contains_speech(self, speech: NDArray[np.float32]) -> bool:
        """Whether anybody speaks in `speech`: mono, shape (n,), -1..1, 16 kHz.

        Raises:
            EngineBusy: too many calls wait.
        """
        padded = np.pad(speech, (0, -len(speech) % SPEECH_WINDOW))
        probabilities, _ = await self.run(padded.reshape(-1, SPEECH_WINDOW), initial_state())
        return bool((probabilities >= SPEECH_PROBABILITY).any())

    async def run(self, windows: NDArray[np.float32], state: "State") -> "Heard":
        """Put `windows`, shape (n, 512), through the model; returns n probabilities and the state after them.

        Raises:
            EngineBusy: too many calls wait.
        """
        if len(windows) == 0:
            return np.zeros(0, np.float32), state
        if len(self._waiting) >= _QUEUE:
            self.refused += 1
            raise EngineBusy(f"{_QUEUE} pieces of audio already wait for the speech detector")
        call = _Call(windows, state, asyncio.get_running_loop().create_future())
        self._waiting.append(call)
        if self._pump is None:
            self._pump = asyncio.create_task(self._work(), name="speech detector")
        return await call.result

    async def _work(self) -> None:
        """Take what waits to the thread, until nothing waits."""
        try:
            while calls := self._take():
                try:
                    self._answer(calls, await self._visit(calls))
                finally:
                    for unanswered in calls:
                        unanswered.result.cancel()
        finally:
            self._pump = None

    @staticmethod
    def _answer(calls: Sequence[_Call], results: "Sequence[Heard | Exception]") -> None:
        for call, heard in zip(calls, results, strict=False):
            if call.result.done():
                continue
            if isinstance(heard, Exception):
                call.result.set_exception(heard)
            else:
                call.result.set_result(heard)

    def _take(self) -> list[_Call]:
        """The oldest calls that wait, as many as one visit does. What nobody waits for any more is left out."""
        calls: list[_Call] = []
        windows = 0
        while self._waiting and (not calls or windows + len(self._waiting[0].windows) <= _WINDOWS_A_VISIT):
            call = self._waiting.popleft()
            if not call.result.done():
                calls.append(call)
                windows += len(call.windows)
        return calls

    async def _visit(self, calls: Sequence[_Call]) -> "list[Heard | Exception]":
        def infer(abandoned: threading.Event) -> "list[Heard | Exception]":
            heard: list[Heard | Exception] = []
            for call in calls:
                if abandoned.is_set():
                    break
                try:
                    heard.append(self._infer(call.windows, call.state))
                except Exception as defect:
                    # It is that stream's own: the others of this visit get their answer.
                    heard.append(defect)
            return heard

        return await self._workers.run(infer)

    def _infer(self, windows: NDArray[np.float32], state: "State") -> "Heard":
        context, hidden, cell = state
        tails = np.concatenate((context, windows[:, -_CONTEXT:]))
        framed = np.concatenate((tails[:-1], windows), axis=1)
        probabilities, hidden, cell = self._session.run(None, {"input": framed, "h": hidden, "c": cell})
        return np.ravel(probabilities), (tails[-1:], hidden, cell)


State = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]
"""What the model remembers: the last 64 samples, shape (1, 64), and the two LSTM states, shape (1, 1, 128)."""


Heard = tuple[NDArray[np.float32], State]
"""The probability of each window, shape (n,), and the state after the last."""


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
        count = len(samples) // SPEECH_WINDOW
        # A copy: a view would keep the whole of the message for as long.
        self._rest = samples[count * SPEECH_WINDOW :].copy()
        windows = samples[: count * SPEECH_WINDOW].reshape(count, SPEECH_WINDOW)
        probabilities, self._state = await self._detector.run(windows, self._state)
        return [float(probability) for probability in probabilities]


def _load_session() -> Any:
    # faster_whisper takes a second to import, so not before somebody needs it.
    from faster_whisper.vad import get_vad_model

    return get_vad_model().session
