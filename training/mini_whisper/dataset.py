"""The training set: every phrase in many voices and conditions, as the log-mel features of Whisper."""

import multiprocessing
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from faster_whisper.feature_extractor import FeatureExtractor
from numpy.random import Generator
from numpy.typing import NDArray

from gateway.engines.tts.espeak_library import SAMPLE_RATE

from .augment import RATE, Samples, distort, make_non_speech, resample
from .phrases import ACCENTS, CONFUSABLE, PHRASES, TRAINING_VARIANTS
from .render import has_command, render

NON_SPEECH = -1
"""The phrase number of clips without speech."""

LIBRARY_RENDITIONS = 130
COMMAND_RENDITIONS = 60
CLIPS_PER_RENDITION = 2
CONFUSABLE_FACTOR = 3
NON_SPEECH_CLIPS = 2400
SHORTEST_FRAMES = 40
PLAIN_VOICE_SHARE = 0.2


class Features(NamedTuple):
    """One clip."""

    phrase: int
    mel: NDArray[np.float16]
    """80 bands by frames of 10 ms."""


@dataclass
class Dataset:
    """All clips, one after the other."""

    mels: NDArray[np.float16]
    """Frames of 10 ms by 80 bands, of all clips in a row."""
    starts: NDArray[np.int64]
    """Where each clip begins in `mels`; one more entry marks the end."""
    phrases: NDArray[np.int64]
    """The phrase number of each clip."""

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Frames per clip."""
        return np.diff(self.starts)

    def mel(self, clip: int) -> NDArray[np.float16]:
        """The features of one clip: frames by 80 bands."""
        return self.mels[self.starts[clip] : self.starts[clip + 1]]


_extract = FeatureExtractor()


def extract_mel(samples: Samples) -> NDArray[np.float32]:
    """The features that faster-whisper computes: 80 bands by frames of 10 ms."""
    # The last frame lies in the padding, and faster-whisper leaves it out as well.
    return np.asarray(_extract(samples)[:, :-1], np.float32)


def to_recogniser_rate(speech: NDArray[np.int16]) -> Samples:
    """Convert espeak-ng's output to float32 at 16 kHz."""
    return resample(speech.astype(np.float32) / 32768, SAMPLE_RATE, RATE)


def random_voice(language: str, variants: tuple[str, ...], rng: Generator) -> str:
    """Pick an accent and a variant; now and then the accent's own voice, which people hear most."""
    accent = str(rng.choice(ACCENTS[language]))
    if rng.uniform() < PLAIN_VOICE_SHARE:
        return accent
    return f"{accent}+{rng.choice(variants)}"


def _make_phrase_clips(job: tuple[int, int, str, int]) -> list[Features]:
    """Render one phrase once and distort it a few times."""
    seed, phrase, engine, rendition = job
    rng = np.random.default_rng([seed, phrase, engine == "library", rendition])
    text, language = PHRASES[phrase]
    voice = random_voice(language, TRAINING_VARIANTS, rng)
    speech = render(engine, text, voice, int(rng.integers(135, 196)), int(rng.integers(25, 81)))
    dry = to_recogniser_rate(speech)
    return [Features(phrase, extract_mel(distort(dry, rng)).astype(np.float16)) for _ in range(CLIPS_PER_RENDITION)]


def _make_non_speech_clips(job: tuple[int, int, str, int]) -> list[Features]:
    seed, _, _, rendition = job
    rng = np.random.default_rng([seed, rendition])
    return [Features(NON_SPEECH, extract_mel(make_non_speech(rng)).astype(np.float16))]


def _make_clips(job: tuple[int, int, str, int]) -> list[Features]:
    return _make_non_speech_clips(job) if job[1] == NON_SPEECH else _make_phrase_clips(job)


def build(folder: Path, *, seed: int = 1, processes: int = 2) -> Dataset:
    """Make the training set, or load the one that `folder` already holds."""
    files = [folder / f"{name}.npy" for name in ("mels", "starts", "phrases")]
    if all(file.exists() for file in files):
        return Dataset(np.load(files[0], mmap_mode="r"), np.load(files[1]), np.load(files[2]))

    engines = {"library": LIBRARY_RENDITIONS, "command": COMMAND_RENDITIONS}
    if not has_command():
        print("espeak-ng is not installed as a command: all speech comes from the library")
        engines = {"library": LIBRARY_RENDITIONS + COMMAND_RENDITIONS}
    jobs = [
        (seed, phrase, engine, rendition)
        for phrase in range(len(PHRASES))
        for engine, renditions in engines.items()
        for rendition in range(renditions * (CONFUSABLE_FACTOR if PHRASES[phrase].text in CONFUSABLE else 1))
    ]
    jobs += [(seed, NON_SPEECH, "", number) for number in range(NON_SPEECH_CLIPS)]

    clips: list[Features] = []
    # Fresh processes: espeak-ng has global state, and forks of a process with threads can lock up.
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        for number, made in enumerate(pool.imap(_make_clips, jobs, chunksize=16), 1):
            clips += [clip for clip in made if clip.mel.shape[1] >= SHORTEST_FRAMES or clip.phrase == NON_SPEECH]
            if number % 1000 == 0 or number == len(jobs):
                print(f"rendered {number} of {len(jobs)}", flush=True)

    folder.mkdir(parents=True, exist_ok=True)
    starts = np.cumsum([0] + [clip.mel.shape[1] for clip in clips])
    np.save(files[0], np.concatenate([clip.mel.T for clip in clips]))
    np.save(files[1], starts)
    np.save(files[2], np.array([clip.phrase for clip in clips]))
    return build(folder)
