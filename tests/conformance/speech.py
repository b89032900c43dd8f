"""Speech for tests, made on the spot by espeak."""

import functools
import subprocess
import sys

import numpy as np
from numpy.typing import NDArray

from gateway.audio import SPEECH_RATE, resample, to_float32
from gateway.engines.tts.espeak_library import EspeakLibrary


@functools.cache
def spoken(text: str, voice: str) -> NDArray[np.float32]:
    """`text` in the voice `voice`: mono, 16 kHz, read-only.

    By a process of its own: what espeak makes hangs on what it made before, and every run is to hear the same.
    """
    command = [sys.executable, "-m", __name__, text, voice]
    made = subprocess.run(command, check=True, capture_output=True, timeout=60)
    speech = np.frombuffer(made.stdout, np.float32)
    assert len(speech), made.stderr
    return speech


def silence(seconds: float) -> NDArray[np.float32]:
    return np.zeros(round(seconds * SPEECH_RATE), np.float32)


def _speak(text: str, voice: str) -> NDArray[np.float32]:
    library = EspeakLibrary()
    library.start()
    blocks: list[NDArray[np.int16]] = []

    def keep(block: NDArray[np.int16]) -> bool:
        blocks.append(block)
        return True

    library.speak(text, voice, on_audio=keep)
    return resample(to_float32(np.concatenate(blocks)), library.sample_rate, SPEECH_RATE)


if __name__ == "__main__":
    sys.stdout.buffer.write(_speak(*sys.argv[1:]).tobytes())
