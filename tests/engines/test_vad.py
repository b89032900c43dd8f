import asyncio
import itertools
from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from gateway.audio import SPEECH_RATE, SPEECH_WINDOW, resample, to_int16
from gateway.engines.vad import SPEECH_PROBABILITY, SpeechDetector
from gateway.errors import EngineBusy
from tests.conformance.speech import silence, spoken

WINDOW_S = SPEECH_WINDOW / SPEECH_RATE


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
    assert len(probabilities) == len(audio) // SPEECH_WINDOW
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


async def test_what_many_streams_wait_for_is_done_together_and_each_gets_its_own(detector: SpeechDetector) -> None:
    audio = pcm(recording()[10_000:30_000])
    cuts = [audio[2 * 160 * number :] for number in range(20)]
    alone = [await detector.stream(SPEECH_RATE).probabilities(cut) for cut in cuts]
    together = await asyncio.gather(*(detector.stream(SPEECH_RATE).probabilities(cut) for cut in cuts))
    assert together == [pytest.approx(own, abs=1e-6) for own in alone]
    assert len({tuple(own) for own in alone}) == len(cuts)


async def test_a_call_that_nobody_waits_for_any_more_costs_the_others_nothing(detector: SpeechDetector) -> None:
    audio = pcm(recording())
    expected = await detector.stream(SPEECH_RATE).probabilities(audio)
    given_up = [asyncio.create_task(detector.stream(SPEECH_RATE).probabilities(audio)) for _ in range(30)]
    wanted = asyncio.create_task(detector.stream(SPEECH_RATE).probabilities(audio))
    await asyncio.sleep(0)
    for task in given_up:
        task.cancel()
    assert await wanted == pytest.approx(expected, abs=1e-6)
    assert all(task.cancelled() for task in (await asyncio.wait(given_up))[0])


async def test_more_calls_than_may_wait_are_refused_and_counted() -> None:
    detector = SpeechDetector()
    await detector.start()
    window = pcm(silence(WINDOW_S))
    calls = [asyncio.create_task(detector.stream(SPEECH_RATE).probabilities(window)) for _ in range(1100)]
    results = await asyncio.gather(*calls, return_exceptions=True)
    refused = [result for result in results if isinstance(result, EngineBusy)]
    assert len(refused) == detector.refused > 0
    assert len([result for result in results if isinstance(result, list)]) == 1100 - len(refused) >= 1024
    await detector.close()


async def test_closing_frees_who_waits() -> None:
    detector = SpeechDetector()
    await detector.start()
    calls = [asyncio.create_task(detector.stream(SPEECH_RATE).probabilities(pcm(recording()))) for _ in range(50)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await detector.close()
    async with asyncio.timeout(1):
        await asyncio.wait(calls)


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
