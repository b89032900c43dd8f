"""Spoken questions that are told apart by what they sound like, wherever in a recording they lie."""

import functools
import io

import numpy as np
import soundfile

from gateway.audio import SPEECH_RATE, resample, to_float32, to_int16
from gateway.engines.tts.espeak_library import EspeakLibrary
from tests.fakes.http_server import Request

QUESTIONS = ["What time is it?", "Where is the station?", "How are you today?", "Who wrote this?"]
WHOLE = 0.9
"""Likeness from which on nothing of the question is missing."""


@functools.cache
def recording(number: int) -> np.ndarray[tuple[int], np.dtype[np.int16]]:
    """Question `number`, spoken, at SPEECH_RATE."""
    library = EspeakLibrary()
    library.start()
    blocks: list[np.ndarray[tuple[int], np.dtype[np.int16]]] = []

    def keep(block: np.ndarray[tuple[int], np.dtype[np.int16]]) -> bool:
        blocks.append(block.copy())
        return True

    library.speak(QUESTIONS[number], "en-us", on_audio=keep)
    return to_int16(resample(to_float32(np.concatenate(blocks)), library.sample_rate, SPEECH_RATE))


def likeness(heard: np.ndarray[tuple[int], np.dtype[np.float64]], number: int) -> float:
    """How much of what was heard is question `number`: 1 for all of it, wherever in it that lies."""
    said = recording(number).astype(np.float64)
    size = 2 ** int(np.ceil(np.log2(len(heard) + len(said))))
    product = np.fft.irfft(np.fft.rfft(heard, size) * np.conj(np.fft.rfft(said, size)), size)
    return float(product.max() / (np.linalg.norm(heard) * np.linalg.norm(said) + 1))


def heard_question(request: Request) -> tuple[int, bool]:
    """Which question a request for transcription holds, and whether it is there whole and clear."""
    heard, rate = soundfile.read(io.BytesIO(request.files["file"]))
    assert rate == SPEECH_RATE
    best = max(range(len(QUESTIONS)), key=lambda number: likeness(heard, number))
    return best, likeness(heard, best) > WHOLE
