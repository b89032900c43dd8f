"""Make the messages and sounds of gateway/clips/. Run it again when `CLIP_TEXTS` or `CLIP_NOTES` changes.

    python scripts/make_clips.py

It needs the extra `espeak`.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from gateway.audio import SPEECH_RATE, resample, to_float32, to_int16
from gateway.engines.clips import CLIP_NOTES, CLIP_TEXTS, Note, clip_file
from gateway.engines.tts.espeak_library import EspeakLibrary

WORDS_PER_MINUTE = 165
PEAK = 0.7
MARGIN_S = 0.04
SOUND_PEAK = 0.3
"""A sound is softer than a voice: it stands beside the answer, not for it."""
ATTACK_S = 0.01
ENCODER_HOLDS_S = 0.2
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


def sound(notes: Sequence[Note]) -> NDArray[np.int16]:
    """Play `notes` at 16 kHz, and then the silence that pushes them out of an MP3 encoder which gets no more."""
    ends_s = max(note.at_s + note.lasts_s for note in notes)
    played = np.zeros(round((ends_s + ENCODER_HOLDS_S) * SPEECH_RATE), np.float32)
    for note in notes:
        begins = round(note.at_s * SPEECH_RATE)
        at = np.arange(round(note.lasts_s * SPEECH_RATE), dtype=np.float32) / SPEECH_RATE
        swell = np.minimum(1, at / ATTACK_S) * np.exp(-6 * at / note.lasts_s) * (1 - at / note.lasts_s)
        played[begins : begins + len(at)] += swell * np.sin(2 * np.pi * note.pitch * at)
    return to_int16(played * np.float32(SOUND_PEAK / np.abs(played).max())) & np.int16(~0xF)


def main() -> None:
    espeak = EspeakLibrary()
    espeak.start()
    for language, texts in CLIP_TEXTS.items():
        for name, text in texts.items():
            path = Path(str(clip_file(name, language)))
            path.parent.mkdir(parents=True, exist_ok=True)
            write(path, speak(espeak, text, language))
    for name, notes in CLIP_NOTES.items():
        write(Path(str(clip_file(name))), sound(notes))


def write(path: Path, samples: NDArray[np.int16]) -> None:
    soundfile.write(path, samples, SPEECH_RATE, "PCM_16", compression_level=1.0)


if __name__ == "__main__":
    main()
