"""Speech to text without any network: pocketsphinx with the small American English model that comes with it."""

import asyncio
import threading
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from gateway.audio import SPEECH_RATE, to_int16
from gateway.config import Settings
from gateway.engines.vad import SpeechDetector
from gateway.engines.workers import Workers
from gateway.errors import ConfigurationError, EngineFailed
from gateway.values import Transcript

LANGUAGE = "en"

_BLOCK = SPEECH_RATE // 20 * 2
"""Bytes of 50 ms. The library holds the interpreter lock while it decodes a block (some 20 ms), and between two blocks
the event loop gets its turn, and it is seen whether anybody still waits."""


class PocketSphinx:
    """Recognises English in one thread of its own. Silence is not decoded: it would become a word."""

    name = "pocketsphinx"
    local = True

    def __init__(self, *, queue: int) -> None:
        """At most `queue` utterances wait."""
        self._workers = Workers("pocketsphinx", threads=1, queue=queue)
        self._detector = SpeechDetector()
        self._decoder: Any = None
        self._first_cmn = ""

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        return cls(queue=settings.stt_queue)

    @property
    def description(self) -> str:
        return "pocketsphinx en-us (offline, English only)"

    async def start(self) -> None:
        """Load the model (half a second, off the event loop).

        Raises:
            ConfigurationError: pocketsphinx is not installed, or its model does not load.
        """
        self._decoder = await asyncio.to_thread(_load)
        self._first_cmn = self._decoder.get_cmn()
        await self._detector.start()

    async def close(self) -> None:
        await self._workers.close()
        await self._detector.close()

    async def transcribe(self, speech: NDArray[np.float32], language: str | None) -> Transcript:
        """Recognise `speech`: mono, shape (n,), -1..1, 16 kHz.

        Raises:
            EngineFailed: another language than English is asked for.
            EngineBusy: too many utterances wait.
        """
        if language not in (LANGUAGE, None):
            raise EngineFailed(f"pocketsphinx understands English only, not {language!r}", retryable=False, rest_s=0.0)
        if not await self._detector.contains_speech(speech):
            return Transcript("", LANGUAGE)
        pcm = to_int16(speech).tobytes()
        return Transcript(await self._workers.run(lambda abandoned: self._decode(pcm, abandoned)), LANGUAGE)

    def _decode(self, pcm: bytes, abandoned: threading.Event) -> str:
        decoder = self._decoder
        # The decoder learns each speaker's channel; what it learnt from one device is not for the next.
        decoder.set_cmn(self._first_cmn)
        decoder.start_utt()
        try:
            for start in range(0, len(pcm), _BLOCK):
                if abandoned.is_set():
                    return ""
                decoder.process_raw(pcm[start : start + _BLOCK], no_search=False, full_utt=False)
        except RuntimeError as error:
            raise EngineFailed(f"pocketsphinx could not decode the utterance: {error}") from error
        finally:
            decoder.end_utt()
        hypothesis = decoder.hyp()
        return hypothesis.hypstr.strip() if hypothesis is not None else ""


def _load() -> Any:
    try:
        from pocketsphinx import Decoder
    except ImportError as error:
        raise ConfigurationError(
            "pocketsphinx is not installed; install it with: pip install 'mqtt-voice-gateway[pocketsphinx]'"
        ) from error
    try:
        return Decoder(samprate=SPEECH_RATE, loglevel="FATAL")
    except RuntimeError as error:
        raise ConfigurationError(f"the model that comes with pocketsphinx does not load: {error}") from error
