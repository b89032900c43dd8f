"""Reading sound files, as what a microphone would have heard."""

import io
from pathlib import Path

import soundfile

from gateway.audio import SPEECH_RATE, Pcm, resample, to_int16
from gateway.errors import ConfigurationError


def read_sound(source: Path | bytes, rate: int = SPEECH_RATE) -> Pcm:
    """Return the sound in `source`, a file or its content: whatever libsndfile reads, mixed down, at `rate` Hz.

    Raises:
        ConfigurationError: there is no such file, or it is no sound.
    """
    name = str(source) if isinstance(source, Path) else f"{len(source)} bytes"
    try:
        samples, own_rate = soundfile.read(
            io.BytesIO(source) if isinstance(source, bytes) else source, dtype="float32", always_2d=True
        )
    except (OSError, RuntimeError) as error:  # soundfile's own errors are RuntimeErrors
        missing = isinstance(source, Path) and not source.exists()  # soundfile says "System error"
        reason = "there is no such file" if missing else error
        raise ConfigurationError(f"{name} cannot be read as sound: {reason}") from error
    return Pcm(to_int16(resample(samples.mean(axis=1), own_rate, rate)), rate)
