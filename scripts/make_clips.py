"""Make the spoken messages of gateway/clips/ from their texts. Run it again when `CLIP_TEXTS` changes.

    python scripts/make_clips.py

It needs the extra `espeak`.
"""

from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from gateway.audio import SPEECH_RATE, resample, to_float32, to_int16
from gateway.engines.clips import CLIP_TEXTS, clip_file
from gateway.engines.tts.espeak_library import EspeakLibrary

WORDS_PER_MINUTE = 165
PEAK = 0.7
MARGIN_S = 0.04
QUIET = 0.003
"""Below this, at the beginning and the end, is silence that is cut away to MARGIN_S."""


def speak(espeak: EspeakLibrary, text: str, language: str) -> NDArray[np.int16]:
    """Speak `text` at 16 kHz, without silence around it and at one loudness."""
    blocks: list[NDArray[np.int16]] = []

    def collect(block: NDArray[np.int16]) -> bool:
        blocks.append(block)
        return True

    espeak.speak(text, language, words_per_minute=WORDS_PER_MINUTE, on_audio=collect)
    speech = resample(to_float32(np.concatenate(blocks)), espeak.sample_rate, SPEECH_RATE)
    loud = np.flatnonzero(np.abs(speech) > QUIET)
    margin = round(MARGIN_S * SPEECH_RATE)
    speech = speech[max(0, loud[0] - margin) : loud[-1] + margin]
    samples = to_int16(speech * np.float32(PEAK / np.abs(speech).max()))
    # 12 bits are enough for this voice, and FLAC does not store low bits that are always zero.
    return samples & np.int16(~0xF)


def main() -> None:
    espeak = EspeakLibrary()
    espeak.start()
    for language, texts in CLIP_TEXTS.items():
        for name, text in texts.items():
            path = Path(str(clip_file(name, language)))
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, speak(espeak, text, language), SPEECH_RATE, "PCM_16", compression_level=1.0)


if __name__ == "__main__":
    main()
