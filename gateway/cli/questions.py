"""Questions to ask: read from a sound file, or spoken by espeak as a microphone would hear them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gateway.audio import SPEECH_RATE, Pcm, resample, to_float32, to_int16
from gateway.config import Settings
from gateway.device import read_sound
from gateway.engines.catalog import find_engine
from gateway.engines.protocols import TextToSpeech
from gateway.errors import Stage


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, and what to call it when telling so."""

    name: str
    speech: Pcm


def question_in(file: Path) -> Question:
    """Read a question.

    Raises:
        ConfigurationError: there is no such file, or it is no sound.
    """
    return Question(file.name, read_sound(file))


async def spoken_questions(
    settings: Settings, environ: Mapping[str, str], texts: Iterable[tuple[str, str]]
) -> dict[str, Question]:
    """Speak `texts`, pairs of text and language, with espeak; return the questions by their text.

    Raises:
        ConfigurationError: espeak is not installed; the message says how to.
    """
    spec = find_engine(Stage.TTS, "espeak")
    spec.check(environ, settings)
    voice: TextToSpeech = spec.load().from_settings(settings.model_copy(update={"tts_voice": ""}))
    await voice.start()
    spoken: dict[str, Question] = {}
    try:
        for text, language in texts:
            blocks = [block async for block in voice.speak(text, language)]
            samples = to_float32(np.concatenate([block.samples for block in blocks]))
            speech = Pcm(to_int16(resample(samples, blocks[0].rate, SPEECH_RATE)), SPEECH_RATE)
            spoken[text] = Question(text, speech)
    finally:
        await voice.close()
    return spoken
