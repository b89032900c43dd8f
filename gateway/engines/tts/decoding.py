"""Turn the audio file that a speech service answered into samples."""

import io

import numpy as np
import soundfile

from gateway.audio import Pcm
from gateway.errors import EngineFailed

MAX_AUDIO_BYTES = 16 * 1024 * 1024
"""The largest body taken from a service: over five minutes of PCM at 24 kHz, many times the longest text."""


def decode_file(body: bytes, engine: str) -> Pcm:
    """Decode a whole WAV, MP3, FLAC or Ogg file; more channels than one are mixed.

    Raises:
        EngineFailed: it is none of them, is cut off, or holds no audio.
    """
    try:
        samples, rate = soundfile.read(io.BytesIO(body), dtype="int16", always_2d=True)
    except soundfile.SoundFileError as error:
        raise EngineFailed(f"{engine} answered audio that cannot be decoded") from error
    if len(samples) == 0:
        raise EngineFailed(f"{engine} answered no audio")
    mono = samples[:, 0] if samples.shape[1] == 1 else samples.mean(axis=1).astype(np.int16)
    return Pcm(mono, rate)
