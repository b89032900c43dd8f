"""Speech recognition: `WhisperModel.transcribe` against our way through the same model, alone and for many at once.

The models have the true sizes and random weights, which say nothing of accuracy: how short a window may be is in
docs/recognition.md. Each text of theirs ends by itself after `TOKENS` tokens, on either side, so both have the same to
write and neither runs into its limits.
"""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, Final

import numpy as np
import soundfile
from numpy.typing import NDArray

import gateway
from benchmarks.figures import spread
from benchmarks.measurement import Bar, Chart, Goal, Place, Result
from benchmarks.tables import between, table
from gateway.audio import SPEECH_RATE, resample
from gateway.engines.stt.faster_whisper import FasterWhisper
from gateway.engines.stt.whisper import Whisper, Window
from gateway.engines.stt.windows import WindowMode, token_limit, window_frames
from tests.fakes.random_whisper import SIZES, random_whisper

SECONDS: Final = 3.0
TOKENS: Final = 12
"""What people say in that time at 150 words a minute: seven or eight words, a token and a half each, a full stop."""
LANGUAGE: Final = "es"
TRANSCRIBE: Final = "transcribe()"
GOALS_FOR: Final = "base"
SAFE_SOONER, FAST_SOONER, FAST_THROUGHPUT = 3.0, 4.5, 10.0
CORES: Final = os.cpu_count() or 1

WARM_UP, WARM_UP_OF = 1, 2
"""Rounds that are not counted, and of how many utterances they are where many at once are measured."""
TOGETHER_S: Final = 2.0
"""Where many at once are measured, each side takes at least so long in a round."""

Samples = NDArray[np.float32]
Once = Callable[[], Awaitable[Any]]
One = Callable[[Samples], Awaitable[Any]]
Many = Callable[[list[Samples]], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Sizes:
    """For each model, how often one utterance is recognised alone on each side, and how often `devices` at once."""

    rounds: dict[str, tuple[int, int]]
    devices: int = 8


FULL = Sizes({"tiny": (7, 3), "base": (7, 3), "small": (2, 1)})
QUICK = Sizes({"base": (3, 1)})


@dataclass(frozen=True)
class Recognition:
    full: Sizes = FULL
    quick: Sizes = QUICK
    name: str = "recognition"
    title: str = "How soon speech is recognised, and for how many devices"

    async def measure(self, place: Place) -> Result:
        sizes = self.quick if place.quick else self.full
        models = {}
        for model, (alone, together) in sizes.rounds.items():
            place.tell(f"{model}: a model with random weights")
            folder = await asyncio.to_thread(random_whisper, place.folder, SIZES[model], tokens=TOKENS)
            models[model] = await _measure(model, folder, alone, together, sizes.devices, place)
        return {"seconds": SECONDS, "tokens": TOKENS, "devices": sizes.devices, "cores": CORES, "models": models}

    def section(self, result: Result) -> str:
        models = result["models"]
        devices = result["devices"]
        alone = table(
            ["ms, alone", *models],
            [
                [
                    side,
                    *(
                        _with_ratio(models[model]["alone_ms"][side], models[model]["sooner"].get(side))
                        for model in models
                    ),
                ]
                for side in (TRANSCRIBE, *WindowMode)
            ],
        )
        together = table(
            [f"utterances/s, {devices} at once", *models],
            [
                [
                    side,
                    *(_with_ratio(models[model]["per_s"][side], models[model]["more"].get(side)) for model in models),
                ]
                for side in (TRANSCRIBE, *WindowMode)
            ],
        )
        parts = table(
            ["ms, fast, alone", *models],
            [[part, *(f"{models[model]['parts_ms'][part]:.1f}" for model in models)] for part in PARTS],
        )
        layouts = "; ".join(
            f"{model}: "
            + ", ".join(f"{layout} {per_s:.2f}/s" for layout, per_s in models[model]["layouts_per_s"].items())
            for model in models
        )
        return "\n\n".join(
            [
                f"An utterance of {result['seconds']:g} s, int8, the language told, {result['cores']} cores. The models"
                " are of the true sizes with random weights, which say nothing of accuracy; every text ends by itself"
                f" after {result['tokens']} tokens, on both sides. *transcribe()* is faster-whisper's own, greedy, with"
                " the Silero filter and without times; *full*, *safe* and *fast* are the"
                " gateway's engine. Alone, either side has one thread for the utterance. In brackets: how many times"
                " sooner, or more, than *transcribe()*, the median of rounds in which all sides took turns.",
                alone,
                f"For {devices} at once *transcribe()* is called from a pool in the better of two layouts ({layouts});"
                f" the engine has {result['cores']} workers of one thread.",
                together,
                "Where the time of one utterance goes, in the window *fast*, each step by itself:",
                parts,
            ]
        )

    def charts(self, result: Result) -> list[Chart]:
        models = result["models"]
        sides = (TRANSCRIBE, *WindowMode)
        return [
            Chart(
                f"Recognition of {result['seconds']:g} s, alone",
                "ms",
                tuple(_bar(f"{side}, {model}", models[model]["alone_ms"][side]) for model in models for side in sides),
            ),
            Chart(
                f"Recognition, {result['devices']} devices at once",
                "utterances/s",
                tuple(_bar(f"{side}, {model}", models[model]["per_s"][side]) for model in models for side in sides),
            ),
        ]

    def goals(self, result: Result) -> list[Goal]:
        if (base := result["models"].get(GOALS_FOR)) is None:
            return []
        safe, fast, more = base["sooner"]["safe"], base["sooner"]["fast"], base["more"]["fast"]
        return [
            Goal(f"base alone, safe: at least {SAFE_SOONER:g} times sooner: {safe:.1f}", safe >= SAFE_SOONER),
            Goal(f"base alone, fast: at least {FAST_SOONER:g} times sooner: {fast:.1f}", fast >= FAST_SOONER),
            Goal(
                f"base, {result['devices']} devices, fast: at least {FAST_THROUGHPUT:g} times as many a second:"
                f" {more:.1f}",
                more >= FAST_THROUGHPUT,
            ),
        ]


PARTS: Final = ("speech filter", "spectrogram", "encode", "decode", "everything, through the engine")


async def _measure(name: str, folder: Path, alone: int, together: int, devices: int, place: Place) -> dict[str, Any]:
    utterances = _utterances(devices)
    reference = _Transcribe(folder, workers=CORES, threads=1)
    async with AsyncExitStack() as stack:
        sides: dict[str, One] = {TRANSCRIBE: reference.one}
        many: dict[str, Many] = {}
        for mode in WindowMode:
            engine = await _engine(folder, mode, stack)
            sides[mode] = partial(engine.transcribe, language=LANGUAGE)
            many[mode] = partial(_at_once, sides[mode])

        place.tell(f"{name}: alone, {alone} rounds")
        once: dict[str, Once] = {side: partial(run, utterances[0]) for side, run in sides.items()}
        await _rounds(once, WARM_UP)
        alone_s = await _rounds(once, alone)
        parts = await asyncio.to_thread(_parts, reference.model, utterances[0], alone)
        parts[PARTS[-1]] = 1000 * median(alone_s[WindowMode.FAST])

        place.tell(f"{name}: {devices} at once, {together} rounds")
        layouts = {
            f"{CORES} x 1 thread": reference,
            f"1 x {CORES} threads": _Transcribe(folder, workers=1, threads=CORES),
        }
        tried = {layout: one.all for layout, one in layouts.items()}
        await _rounds(_each(tried, utterances[:WARM_UP_OF]), WARM_UP)
        layouts_s = {layout: seconds for layout, (seconds,) in (await _rounds(_each(tried, utterances), 1)).items()}
        many[TRANSCRIBE] = tried[min(layouts_s, key=lambda layout: layouts_s[layout])]
        await _rounds(_each(many, utterances[:WARM_UP_OF]), WARM_UP)
        together_s = await _rounds(_each(many, utterances), together, TOGETHER_S)
    return {
        "alone_ms": {side: spread([1000 * second for second in seconds]) for side, seconds in alone_s.items()},
        "sooner": _ratios(alone_s),
        "per_s": {side: spread([devices / second for second in seconds]) for side, seconds in together_s.items()},
        "more": _ratios(together_s),
        "layouts_per_s": {layout: devices / seconds for layout, seconds in layouts_s.items()},
        "parts_ms": parts,
    }


async def _at_once(one: One, speeches: list[Samples]) -> None:
    await asyncio.gather(*(one(speech) for speech in speeches))


class _Transcribe:
    """faster-whisper's own way, as its users take it who have many devices: from a pool of `workers` threads."""

    def __init__(self, folder: Path, *, workers: int, threads: int) -> None:
        from faster_whisper import WhisperModel

        self.model = WhisperModel(
            str(folder), device="cpu", compute_type="int8", cpu_threads=threads, num_workers=workers
        )
        self._workers = workers

    async def one(self, speech: Samples) -> None:
        await asyncio.to_thread(self._transcribe, speech)

    async def all(self, speeches: list[Samples]) -> None:
        with ThreadPoolExecutor(self._workers) as pool:
            await asyncio.gather(
                *(asyncio.get_running_loop().run_in_executor(pool, self._transcribe, speech) for speech in speeches)
            )

    def _transcribe(self, speech: Samples) -> None:
        segments, _ = self.model.transcribe(
            speech,
            language=LANGUAGE,
            beam_size=1,
            temperature=(0.0, 0.4),
            condition_on_previous_text=False,
            without_timestamps=True,
            vad_filter=True,
        )
        written = [len(segment.tokens) for segment in segments]
        assert written == [TOKENS], f"a text of {written} tokens is no fair match"


async def _engine(folder: Path, mode: WindowMode, stack: AsyncExitStack) -> FasterWhisper:
    engine = FasterWhisper(
        model=str(folder), device="cpu", compute_type="int8", beam_size=1, window=mode, workers=CORES, queue=64
    )
    await engine.start()
    stack.push_async_callback(engine.close)
    return engine


def _each(sides: Mapping[str, Many], speeches: list[Samples]) -> dict[str, Once]:
    return {side: partial(run, speeches) for side, run in sides.items()}


async def _rounds(sides: Mapping[str, Once], rounds: int, least_s: float = 0.0) -> dict[str, list[float]]:
    """Seconds of each side in each round. In a round all take turns, each so often in sequence that it takes `least_s`:
    what disturbs a machine for a moment then disturbs a side that is quick no more than one that is not."""
    seconds: dict[str, list[float]] = {side: [] for side in sides}
    for _ in range(rounds):
        for side, run in sides.items():
            began, times, taken = time.perf_counter(), 0, 0.0
            while not times or taken < least_s:
                await run()
                times, taken = times + 1, time.perf_counter() - began
            seconds[side].append(taken / times)
    return seconds


def _parts(model: Any, speech: Samples, rounds: int) -> dict[str, float]:
    """Milliseconds of each step, each the median of `rounds`."""
    whisper = Whisper(model, beam_size=1)

    def timed(step: Callable[[], Any]) -> tuple[float, Any]:
        step()
        seconds = []
        for _ in range(rounds):
            began = time.perf_counter()
            made = step()
            seconds.append(time.perf_counter() - began)
        return 1000 * median(seconds), made

    filtering, filtered = timed(lambda: whisper.speech_in(speech))
    spectrogram_ms, spectrogram = timed(lambda: whisper.spectrogram(filtered))
    frames = spectrogram.shape[1]
    window = window_frames(WindowMode.FAST, frames, whisper.mels)
    encoding, (rows,) = timed(lambda: whisper.encode([spectrogram], window))
    decoding, _ = timed(lambda: whisper.decode([Window(rows, LANGUAGE, token_limit(frames))]))
    return dict(zip(PARTS, (filtering, spectrogram_ms, encoding, decoding), strict=False))


def _utterances(count: int) -> list[Samples]:
    """Different speech of the same length: the gateway's own clips, one behind the other, each time from elsewhere."""
    clips = []
    for path in sorted((Path(gateway.__file__).parent / "clips").rglob("*.flac")):
        samples, rate = soundfile.read(path, dtype="float32")
        clips.append(resample(samples, rate, SPEECH_RATE))
    speech = np.concatenate(clips)
    length = int(SECONDS * SPEECH_RATE)
    return [speech[start : start + length].copy() for start in range(0, count * SPEECH_RATE // 2, SPEECH_RATE // 2)]


def _ratios(seconds: dict[str, list[float]]) -> dict[str, float]:
    """How many times `transcribe()` took as long as each other side, round by round."""
    return {
        side: median(reference / own for reference, own in zip(seconds[TRANSCRIBE], those, strict=True))
        for side, those in seconds.items()
        if side != TRANSCRIBE
    }


def _with_ratio(figures: dict[str, float], ratio: float | None) -> str:
    digits = 0 if figures["median"] >= 10 else 2
    return between(figures, digits) + (f" [{ratio:.1f} x]" if ratio is not None else "")


def _bar(label: str, figures: dict[str, float]) -> Bar:
    return Bar(label, figures["median"], figures["min"], figures["max"])


BENCHMARK = Recognition()
