import asyncio
import itertools
from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from gateway.audio import SPEECH_RATE, resample, to_int16
from gateway.engines.vad import SPEECH_PROBABILITY, WINDOW, WINDOW_S, SpeechDetector
from tests.conformance.speech import silence, spoken


@pytest.fixture(scope="module")
def detector() -> Iterator[SpeechDetector]:
    detector = SpeechDetector()
    asyncio.run(detector.start())
    yield detector
    asyncio.run(detector.close())


def recording() -> NDArray[np.float32]:
    """One second of silence, a question, one second of silence; 16 kHz."""
    return np.concatenate((silence(1.0), spoken("¿Qué hora es?", "es"), silence(1.0)))


def pcm(samples: NDArray[np.float32]) -> bytes:
    return to_int16(samples).tobytes()


async def test_speech_is_likely_where_somebody_speaks_and_only_there(detector: SpeechDetector) -> None:
    audio = recording()
    probabilities = await detector.stream(SPEECH_RATE).probabilities(pcm(audio))
    assert len(probabilities) == len(audio) // WINDOW
    spoken_at = [index * WINDOW_S for index, value in enumerate(probabilities) if value >= SPEECH_PROBABILITY]
    assert 0.9 < spoken_at[0] < 1.2
    assert len(audio) / SPEECH_RATE - 1.4 < spoken_at[-1] < len(audio) / SPEECH_RATE - 0.9
    assert len(spoken_at) * WINDOW_S > 0.5


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
@pytest.mark.parametrize("cut", [1, 777, 4096], ids=lambda cut: f"{cut}-bytes")
async def test_the_cut_of_the_input_does_not_matter(detector: SpeechDetector, rate: int, cut: int) -> None:
    audio = pcm(resample(recording()[14_000:20_000], SPEECH_RATE, rate))
    if cut == 1:
        audio = audio[:4096]
    whole = await detector.stream(rate).probabilities(audio)
    stream = detector.stream(rate)
    pieces = [await stream.probabilities(audio[start : start + cut]) for start in range(0, len(audio), cut)]
    assert list(itertools.chain.from_iterable(pieces)) == pytest.approx(whole, abs=1e-4)
    assert whole


async def test_any_rate_finds_the_same_speech(detector: SpeechDetector) -> None:
    low = await detector.stream(SPEECH_RATE).probabilities(pcm(recording()))
    high = await detector.stream(48_000).probabilities(pcm(resample(recording(), SPEECH_RATE, 48_000)))
    agreeing = [(a >= SPEECH_PROBABILITY) == (b >= SPEECH_PROBABILITY) for a, b in zip(low, high, strict=False)]
    assert abs(len(low) - len(high)) <= 1
    assert np.mean(agreeing) > 0.97


async def test_streams_do_not_influence_each_other(detector: SpeechDetector) -> None:
    audio = pcm(recording())
    alone = await detector.stream(SPEECH_RATE).probabilities(audio)
    noise = pcm(np.random.default_rng(1).normal(0, 0.3, len(audio) // 2).astype(np.float32))
    one, other = detector.stream(SPEECH_RATE), detector.stream(SPEECH_RATE)
    together = []
    for start in range(0, len(audio), 2048):
        first, _ = await asyncio.gather(
            one.probabilities(audio[start : start + 2048]), other.probabilities(noise[start : start + 2048])
        )
        together += first
    assert together == pytest.approx(alone, abs=1e-4)


async def test_a_reset_stream_is_a_new_one(detector: SpeechDetector) -> None:
    audio = pcm(recording())
    stream = detector.stream(8000)
    first = await stream.probabilities(audio)
    await stream.probabilities(audio[:12_345])
    stream.reset()
    assert await stream.probabilities(audio) == pytest.approx(first, abs=1e-6)


async def test_says_whether_a_recording_holds_speech(detector: SpeechDetector) -> None:
    assert await detector.contains_speech(recording())
    assert not await detector.contains_speech(silence(1.0))
    assert not await detector.contains_speech(silence(0.0))
