"""The delivered miniature Whisper recognises espeak-ng voices that it was not trained on."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soxr
from numpy.typing import NDArray

pytest.importorskip("espeakng_loader", reason="the extra 'espeak' is not installed")

from faster_whisper import WhisperModel

import gateway
from gateway.engines.tts.espeak_library import EspeakLibrary

FOLDER = Path(gateway.__file__).parent / "models" / "mini-whisper"
RATE = 16000
ACCENTS = {"es": ("es", "es-419"), "en": ("en-us", "en-gb")}
LEAST_SHARE = 0.97

Samples = NDArray[np.float32]


@pytest.fixture(scope="module")
def model() -> WhisperModel:
    return WhisperModel(str(FOLDER), device="cpu", compute_type="int8", cpu_threads=1)


@pytest.fixture(scope="module")
def espeak() -> EspeakLibrary:
    library = EspeakLibrary()
    library.start()
    return library


@pytest.fixture(scope="module")
def phrases() -> list[dict[str, str]]:
    loaded: list[dict[str, str]] = json.loads((FOLDER / "phrases.json").read_text(encoding="utf-8"))
    return loaded


@pytest.fixture(scope="module")
def held_out() -> list[str]:
    figures = json.loads((FOLDER / "figures.json").read_text(encoding="utf-8"))
    voices: list[str] = figures["held_out_variants"]
    return voices


def say(espeak: EspeakLibrary, text: str, voice: str, rng: np.random.Generator) -> Samples:
    """Speak with some silence around, at 16 kHz."""
    blocks: list[NDArray[np.int16]] = []

    def keep(block: NDArray[np.int16]) -> bool:
        blocks.append(block)
        return True

    espeak.speak(
        text, voice, words_per_minute=int(rng.integers(145, 186)), pitch=int(rng.integers(35, 71)), on_audio=keep
    )
    speech = np.concatenate(blocks).astype(np.float32) / 32768
    lead, trail = rng.uniform(0.1, 0.5, 2)
    padded = np.pad(speech, (int(lead * espeak.sample_rate), int(trail * espeak.sample_rate)))
    return np.asarray(soxr.resample(padded, espeak.sample_rate, RATE), np.float32)


def transcribe(model: WhisperModel, samples: Samples, **options: Any) -> tuple[str, str]:
    segments, info = model.transcribe(
        samples, beam_size=1, condition_on_previous_text=False, **{"vad_filter": True, **options}
    )
    return "".join(segment.text for segment in segments).strip(), info.language


def test_phrases_of_unknown_voices_are_recognised_exactly(
    model: WhisperModel, espeak: EspeakLibrary, phrases: list[dict[str, str]], held_out: list[str]
) -> None:
    rng = np.random.default_rng(3)
    wrong = []
    for number, phrase in enumerate(phrases):
        accent = ACCENTS[phrase["language"]][number // 2 % 2]
        voice = f"{accent}+{held_out[number % len(held_out)]}"
        samples = say(espeak, phrase["text"], voice, rng)
        if number % 2:
            # Noise 20 dB below the speech.
            samples += 0.1 * np.std(samples) * rng.standard_normal(len(samples)).astype(np.float32)
        text, _ = transcribe(model, samples, language=phrase["language"])
        if text != phrase["text"]:
            wrong.append((voice, phrase["text"], text))
    assert len(wrong) <= (1 - LEAST_SHARE) * len(phrases), wrong


def test_language_is_detected(
    model: WhisperModel, espeak: EspeakLibrary, phrases: list[dict[str, str]], held_out: list[str]
) -> None:
    rng = np.random.default_rng(4)
    for number, phrase in enumerate(phrases[::5]):
        voice = f"{ACCENTS[phrase['language']][0]}+{held_out[number % len(held_out)]}"
        _, language = transcribe(model, say(espeak, phrase["text"], voice, rng))
        assert language == phrase["language"], (voice, phrase)


@pytest.mark.parametrize("vad_filter", [True, False])
def test_silence_and_noise_give_nothing(model: WhisperModel, *, vad_filter: bool) -> None:
    rng = np.random.default_rng(5)
    time = np.arange(2 * RATE) / RATE
    clips = {
        "silence": np.zeros(2 * RATE),
        "faint noise": 0.001 * rng.standard_normal(2 * RATE),
        "loud noise": 0.2 * rng.standard_normal(3 * RATE),
        "hum": 0.1 * np.sin(2 * np.pi * 50 * time) + 0.05 * np.sin(2 * np.pi * 150 * time),
        "tone": 0.3 * np.sin(2 * np.pi * 1000 * time),
    }
    for name, samples in clips.items():
        text, _ = transcribe(model, samples.astype(np.float32), language="es", vad_filter=vad_filter)
        assert not text, name
