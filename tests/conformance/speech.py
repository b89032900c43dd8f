"""Speech for tests, made on the spot by espeak."""

import functools

import numpy as np
from numpy.typing import NDArray

from gateway.audio import SPEECH_RATE, resample, to_float32
from gateway.engines.tts.espeak_library import EspeakLibrary


@functools.cache
def spoken(text: str, voice: str) -> NDArray[np.float32]:
    """`text` in the voice `voice`: mono, 16 kHz, read-only."""
    library = EspeakLibrary()
    library.start()
    blocks: list[NDArray[np.int16]] = []

    def keep(block: NDArray[np.int16]) -> bool:
        blocks.append(block)
        return True

    library.speak(text, voice, on_audio=keep)
    speech = resample(to_float32(np.concatenate(blocks)), library.sample_rate, SPEECH_RATE)
    speech.flags.writeable = False
    return speech


def silence(seconds: float) -> NDArray[np.float32]:
    return np.zeros(round(seconds * SPEECH_RATE), np.float32)
