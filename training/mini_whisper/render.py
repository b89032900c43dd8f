"""Speech from espeak-ng: the library of this project and, where installed, the `espeak-ng` command.

Both are used because they are different builds (the command is often an older release) and the model should
understand either.
"""

import io
import shutil
import subprocess
import wave

import numpy as np
from numpy.typing import NDArray

from gateway.engines.tts.espeak_library import SAMPLE_RATE, EspeakLibrary

_library = EspeakLibrary()


def has_command() -> bool:
    """Tell whether the `espeak-ng` command is installed."""
    return shutil.which("espeak-ng") is not None


def render_library(text: str, voice: str, words_per_minute: int, pitch: int) -> NDArray[np.int16]:
    """Speak with the library; mono samples at `SAMPLE_RATE`."""
    _library.start()
    blocks: list[NDArray[np.int16]] = []

    def keep(block: NDArray[np.int16]) -> bool:
        blocks.append(block)
        return True

    _library.speak(text, voice, words_per_minute=words_per_minute, pitch=pitch, on_audio=keep)
    return np.concatenate(blocks)


def render_command(text: str, voice: str, words_per_minute: int, pitch: int) -> NDArray[np.int16]:
    """Speak with the command; mono samples at `SAMPLE_RATE`."""
    command = ["espeak-ng", "-v", voice, "-s", str(words_per_minute), "-p", str(pitch), "--stdout", text]
    output = subprocess.run(command, check=True, capture_output=True).stdout
    with wave.open(io.BytesIO(output)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (SAMPLE_RATE, 1, 2)
        # The header of a stream has no true length: all that follows it is audio.
        data = file.readframes(len(output) // 2)
    return np.frombuffer(data, np.int16)


def render(engine: str, text: str, voice: str, words_per_minute: int, pitch: int) -> NDArray[np.int16]:
    """Speak with the engine named "library" or "command"."""
    function = render_library if engine == "library" else render_command
    return function(text, voice, words_per_minute, pitch)
