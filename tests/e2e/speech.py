"""Real speech that says which question it is: by its length, so that no recogniser's mistake can hide a mix-up."""

import functools
import io

import numpy as np
import soundfile

from gateway.audio import SPEECH_RATE, Pcm, resample, to_float32, to_int16
from gateway.engines.tts.espeak_library import EspeakLibrary
from tests.fakes.http_server import Request

STEP = 640
"""Samples at 16 kHz (40 ms) that tell one question from the next."""
LONGEST_LEAD = 8_000


@functools.cache
def _sentence() -> np.ndarray[tuple[int], np.dtype[np.int16]]:
    library = EspeakLibrary()
    library.start()
    blocks: list[np.ndarray[tuple[int], np.dtype[np.int16]]] = []

    def keep(block: np.ndarray[tuple[int], np.dtype[np.int16]]) -> bool:
        blocks.append(block.copy())
        return True

    library.speak("What time is it?", "en-us", on_audio=keep)
    speech = to_int16(resample(to_float32(np.concatenate(blocks)), library.sample_rate, SPEECH_RATE))
    whole = len(speech) - len(speech) % STEP
    return speech[:whole]


def spoken(number: int, rate: int = SPEECH_RATE) -> Pcm:
    """Question `number` (0, 1, …): a spoken sentence, and `number` steps of silence after it."""
    samples = np.concatenate([_sentence(), np.zeros(number * STEP, np.int16)])
    return Pcm(to_int16(resample(to_float32(samples), SPEECH_RATE, rate)), rate)


def sound_file(pcm: Pcm, container: str = "WAV", subtype: str = "PCM_16") -> bytes:
    """`pcm` as a file of libsndfile's `container` and `subtype`."""
    file = io.BytesIO()
    soundfile.write(file, pcm.samples, pcm.rate, format=container, subtype=subtype)
    return file.getvalue()


def hear_numbers(request: Request) -> str:
    """Answer of the transcription server: which question it was."""
    samples, rate = soundfile.read(io.BytesIO(request.files["file"]))
    extra = len(samples) * SPEECH_RATE / rate - len(_sentence())
    return f"question {round(extra / STEP)}"
