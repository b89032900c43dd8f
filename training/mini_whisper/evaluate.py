"""Measure an exported model on voices that it never heard: `python -m training.mini_whisper.evaluate FOLDER`.

Writes `figures.json` into the folder. A clip counts as right only when the text is exactly the phrase.
"""

import argparse
import datetime
import json
import multiprocessing
import platform
import time
from collections import Counter
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from faster_whisper import WhisperModel
from numpy.random import Generator

from . import augment
from .augment import Samples
from .dataset import extract_mel, to_recogniser_rate
from .phrases import ACCENTS, HELD_OUT_VARIANTS, PHRASES
from .render import has_command, render

SEED = 1000
CLIPS_PER_ENGINE = 2
NON_SPEECH_CLIPS = 60
SHORT_WINDOW_FRAMES = 500
DEMO_VOICES = {"es": ("es", "es-419"), "en": ("en-us", "en-gb")}
DEMO_SPEEDS = (150, 165, 180)


class Clip(NamedTuple):
    """One utterance and what is known about it."""

    samples: Samples
    phrase: int
    voice: str


Condition = Callable[[Samples, Generator], Samples]


def _margins(speech: Samples, rng: Generator) -> Samples:
    return augment.add_margins(speech, rng.uniform(0.1, 0.6), rng.uniform(0.2, 0.8))


def _level(speech: Samples, rng: Generator) -> Samples:
    return augment.set_peak(speech, rng.uniform(-15, -1))


def _noisy(speech: Samples, rng: Generator) -> Samples:
    return _level(augment.add_noise(_margins(speech, rng), rng.uniform(15, 30), rng), rng)


def _opus(speech: Samples, rng: Generator) -> Samples:
    noisy = _level(augment.add_noise(_margins(speech, rng), 30, rng), rng)
    return augment.through_opus(noisy, 24000)


CONDITIONS: dict[str, Condition] = {
    "clean": lambda speech, rng: _level(_margins(speech, rng), rng),
    "no margins": _level,
    "quiet (peak -28 dB)": lambda speech, rng: augment.set_peak(_margins(speech, rng), -28),
    "noise (SNR 15-30 dB)": _noisy,
    "Opus 24 kbit/s and noise (SNR 30 dB)": _opus,
    "recorded at 8 kHz": lambda s, rng: augment.through_rate(_level(_margins(s, rng), rng), 8000),
    "IMA ADPCM at 16 kHz": lambda s, rng: augment.through_ima_adpcm(_level(_margins(s, rng), rng)),
    "IMA ADPCM at 8 kHz": lambda s, rng: augment.through_ima_adpcm(_level(_margins(s, rng), rng), 8000),
    "lost packets (1-3 of 20-60 ms)": lambda s, rng: augment.lose_chunks(_level(_margins(s, rng), rng), rng),
}


def held_out_clips(condition: str, engines: tuple[str, ...], clips: int = CLIPS_PER_ENGINE) -> list[Clip]:
    """Render each phrase `clips` times per engine with voices that were not used in training."""
    made = []
    for number, phrase in enumerate(PHRASES):
        for engine in engines:
            for repetition in range(clips):
                condition_number = list(CONDITIONS).index(condition)
                rng = np.random.default_rng([SEED, condition_number, number, engine == "library", repetition])
                voice = f"{rng.choice(ACCENTS[phrase.language])}+{rng.choice(HELD_OUT_VARIANTS)}"
                speech = render(engine, phrase.text, voice, int(rng.integers(140, 191)), int(rng.integers(30, 76)))
                samples = CONDITIONS[condition](to_recogniser_rate(speech), rng)
                made.append(Clip(samples, number, f"{voice} ({engine})"))
    return made


def demo_clips() -> list[Clip]:
    """Render each phrase with the voices that the demo speaks with, at its speeds."""
    made = []
    rng = np.random.default_rng(SEED)
    for number, phrase in enumerate(PHRASES):
        for voice in DEMO_VOICES[phrase.language]:
            for speed in DEMO_SPEEDS:
                speech = to_recogniser_rate(render("library", phrase.text, voice, speed, 50))
                made.append(Clip(_margins(speech, rng), number, f"{voice} at {speed}"))
    return made


def transcribe(model: WhisperModel, samples: Samples, **options: Any) -> tuple[str, str]:
    """Return the text and the language, the way the gateway asks for them."""
    options = {"beam_size": 1, "vad_filter": True, "condition_on_previous_text": False, **options}
    segments, info = model.transcribe(samples, **options)
    return "".join(segment.text for segment in segments).strip(), info.language


def transcribe_short(model: WhisperModel, samples: Samples, language: str) -> str:
    """Recognise within a window of 5 s instead of 30 s, which is many times faster."""
    from ctranslate2 import StorageView

    mel = extract_mel(samples)[:, :SHORT_WINDOW_FRAMES]
    mel = np.pad(mel, ((0, 0), (0, SHORT_WINDOW_FRAMES - mel.shape[1])))[np.newaxis]
    tokenizer = model.hf_tokenizer
    prompt = ["<|startoftranscript|>", f"<|{language}|>", "<|transcribe|>"]
    ids = [tokenizer.token_to_id(token) for token in prompt]
    encoded = model.model.encode(StorageView.from_array(np.ascontiguousarray(mel)))
    result = model.model.generate(encoded, [ids], beam_size=1)[0]
    end = tokenizer.token_to_id("<|endoftext|>")
    return str(tokenizer.decode([token for token in result.sequences_ids[0] if token < end])).strip()


def _count(name: str, clips: list[Clip], texts: list[str], **more: Any) -> dict[str, Any]:
    """Count exact matches and list the mistakes."""
    wrong = [
        {"voice": clip.voice, "phrase": PHRASES[clip.phrase].text, "text": text}
        for clip, text in zip(clips, texts, strict=True)
        if text != PHRASES[clip.phrase].text
    ]
    right = len(clips) - len(wrong)
    share = round(100 * right / len(clips), 1)
    return {"name": name, "clips": len(clips), "right": right, "percent": share, **more, "wrong": wrong}


def _open(folder: Path) -> WhisperModel:
    return WhisperModel(str(folder), device="cpu", compute_type="int8", cpu_threads=1)


def _run(task: tuple[Path, str, str, tuple[str, ...]]) -> dict[str, Any]:
    """Do one row of the table."""
    folder, kind, condition, engines = task
    model = _open(folder)
    if kind == "demo":
        clips = demo_clips()
        texts = [transcribe(model, c.samples, language=PHRASES[c.phrase].language)[0] for c in clips]
        return _count("default voices at 150, 165 and 180 words per minute", clips, texts)
    if kind == "non-speech":
        rng = np.random.default_rng(SEED)
        made = [augment.make_non_speech(rng) for _ in range(NON_SPEECH_CLIPS)]
        texts = [transcribe(model, s, language="es", vad_filter=vad)[0] for vad in (True, False) for s in made]
        empty = sum(not text for text in texts)
        share = round(100 * empty / len(texts), 1)
        name = "silence, noise, clicks and tones, with and without VAD: empty"
        return {"name": name, "clips": len(texts), "right": empty, "percent": share}
    clips = held_out_clips(condition, engines)
    if kind == "detect":
        pairs = [transcribe(model, clip.samples) for clip in clips]
        right = sum(found == PHRASES[clip.phrase].language for clip, (_, found) in zip(clips, pairs, strict=True))
        row = _count("language not given", clips, [text for text, _ in pairs])
        return {**row, "languages_right": right}
    if kind == "beam 5":
        texts = [transcribe(model, c.samples, language=PHRASES[c.phrase].language, beam_size=5)[0] for c in clips]
        return _count("beam size 5", clips, texts)
    if kind == "no VAD":
        texts = [transcribe(model, c.samples, language=PHRASES[c.phrase].language, vad_filter=False)[0] for c in clips]
        return _count("without VAD", clips, texts)
    if kind == "short":
        texts = [transcribe_short(model, c.samples, PHRASES[c.phrase].language) for c in clips]
        return _count(f"window of 5 s: {condition}", clips, texts)
    texts = [transcribe(model, c.samples, language=PHRASES[c.phrase].language)[0] for c in clips]
    return _count(condition, clips, texts)


def evaluate_folder(folder: Path, *, quick: bool = False, processes: int = 2) -> dict[str, Any]:
    """Evaluate, print a table and write `figures.json`; `quick` only tries the 5-second window."""
    engines = ("library", "command") if has_command() else ("library",)
    tasks = [(folder, "short", name, engines) for name in CONDITIONS]
    if not quick:
        tasks = [(folder, "held out", name, engines) for name in CONDITIONS] + tasks
        extra = ("demo", "non-speech", "detect", "beam 5", "no VAD")
        tasks += [(folder, kind, "clean", engines) for kind in extra]
    started = time.monotonic()
    rows = []
    mistakes: Counter[str] = Counter()
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        for row in pool.imap(_run, tasks):
            rows.append(row)
            languages = f", {row['languages_right']} languages right" if "languages_right" in row else ""
            print(f"{row['right']:4} of {row['clips']:4} ({row['percent']:5} %)  {row['name']}{languages}", flush=True)
            for wrong in row.get("wrong", []):
                mistakes[f"{wrong['phrase']} -> {wrong['text'] or '(nothing)'}"] += 1
                mistakes[wrong["voice"]] += 1
    print("most frequent mistakes:", ", ".join(f"{name}: {n}" for name, n in mistakes.most_common(12)))
    figures = {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("ctranslate2", "faster-whisper", "espeakng-loader", "numpy")},
        },
        "processor": platform.machine(),
        "held_out_variants": list(HELD_OUT_VARIANTS),
        "seconds": round(time.monotonic() - started),
        "settings": "int8, 1 thread, beam_size=1, vad_filter=True, language given, unless a row says otherwise",
        "rows": rows,
    }
    if not quick:
        text = json.dumps(figures, ensure_ascii=False, indent=1)
        (folder / "figures.json").write_text(text + "\n", encoding="utf-8")
    return figures


def main() -> None:
    """Evaluate the folder named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--quick", action="store_true", help="try only the 5-second window; write nothing")
    arguments = parser.parse_args()
    evaluate_folder(arguments.folder, quick=arguments.quick)


if __name__ == "__main__":
    main()
