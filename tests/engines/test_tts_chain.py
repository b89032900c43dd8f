"""What one voice cannot say another says, and what has been said is kept."""

import asyncio
from contextlib import aclosing

import numpy as np
import pytest

from gateway.audio import Pcm
from gateway.engines.chain import TtsChain
from gateway.errors import EngineFailed, ErrorCode, Stage, StageFailed
from tests.engines.chains import (
    BROKEN,
    REFUSED,
    REST_S,
    Clock,
    PassedOver,
    block,
    cancel,
    never,
    spoken,
    tts,
)
from tests.fakes.engines import ScriptedTts
from tests.fakes.virtual_time import in_virtual_time


async def test_when_a_voice_breaks_off_the_next_speaks_the_whole_piece() -> None:
    passed_over = PassedOver()
    second = ScriptedTts("second", [block(2), block(3)])
    chain = tts(ScriptedTts("first", [block(1), BROKEN]), second)
    assert await spoken(chain, "All of it.", passed_over) == [1, 2, 3]
    assert second.texts == ["All of it."]
    assert passed_over.reports == [(Stage.TTS, "first", "no connection", REST_S)]


@pytest.mark.parametrize("silent", [[], [block(0, samples=0)]])
async def test_a_voice_that_says_nothing_has_failed(silent: list[Pcm]) -> None:
    assert await spoken(tts(ScriptedTts("first", silent), ScriptedTts("second", [block(2)]))) == [2]


@in_virtual_time
async def test_the_time_limit_holds_for_the_whole_piece() -> None:
    passed_over = PassedOver()
    dripping = ScriptedTts("dripping", [step for value in range(1, 100) for step in (4.0, block(value))])
    assert await spoken(tts(dripping, ScriptedTts("second", [block(0)])), "hello", passed_over) == [1, 2, 3, 0]
    assert passed_over.reports[0][2] == "took longer than 15 s"
    assert asyncio.get_running_loop().time() == pytest.approx(15)
    assert dripping.running == 0


@in_virtual_time
async def test_a_slow_listener_is_not_held_against_the_voice() -> None:
    chain = tts(ScriptedTts("first", [4.0, block(1), 4.0, block(2), 4.0, block(3)]))
    heard = []
    async for pcm in chain.speak("hello", "en", PassedOver()):
        await asyncio.sleep(40)
        heard.append(int(pcm.samples[0]))
    assert heard == [1, 2, 3]


@in_virtual_time
async def test_a_voice_that_only_drips_ends_in_a_timeout() -> None:
    with pytest.raises(StageFailed) as caught:
        await spoken(tts(ScriptedTts("first", [4.0, block(1), never()])))
    assert caught.value.code == ErrorCode.TIMEOUT


async def test_when_no_voice_works_the_stage_has_failed() -> None:
    with pytest.raises(StageFailed) as caught:
        await spoken(tts(ScriptedTts("first", [block(1), BROKEN]), ScriptedTts("second", [BROKEN])))
    assert caught.value.code == ErrorCode.TTS_FAILED


async def test_a_piece_is_spoken_once_for_all_devices() -> None:
    engine = ScriptedTts("first", [block(1), block(2)])
    chain = tts(engine)
    first = np.concatenate([pcm.samples async for pcm in chain.speak("hello", "en", PassedOver())])
    again = np.concatenate([pcm.samples async for pcm in chain.speak("hello", "en", PassedOver())])
    assert np.array_equal(first, again)
    assert engine.calls == 1
    assert len(chain.cache) == 1
    await spoken(chain, "hello!")
    async for _ in chain.speak("hello", "es", PassedOver()):
        pass
    assert engine.calls == 3


async def test_what_one_voice_said_is_not_passed_off_as_anothers() -> None:
    clock = Clock()
    chain = tts(ScriptedTts("first", [BROKEN], [block(1)]), ScriptedTts("second", [block(2)]), clock=clock)
    assert await spoken(chain) == [2]
    clock.now += REST_S
    assert await spoken(chain) == [1]


async def test_a_cached_piece_says_nothing_about_its_engine() -> None:
    clock = Clock()
    chain = tts(ScriptedTts("first", [block(1)], [BROKEN]), ScriptedTts("second", [block(2)]), clock=clock)
    await spoken(chain, "known")
    await spoken(chain, "new")
    clock.now += REST_S
    assert await spoken(chain, "known") == [1]
    assert await spoken(chain, "new") == [2]
    assert chain.health()[0].failures == 2


@pytest.mark.parametrize("ending", [BROKEN, None])
async def test_only_complete_audio_is_kept(ending: EngineFailed | None) -> None:
    engine = ScriptedTts("first", [block(1), ending or never()], [block(1), block(2)])
    chain = tts(engine)
    async with aclosing(chain.speak("hello", "en", PassedOver())) as audio:
        await anext(audio)
        if ending is not None:
            with pytest.raises(StageFailed):
                await anext(audio)
    assert engine.running == 0
    assert await spoken(chain) == [1, 2]


async def test_the_cache_is_bounded_and_drops_what_was_not_used_for_longest() -> None:
    engine = ScriptedTts("first", [block(1, samples=100)])
    chain = tts(engine, cache_bytes=600)
    for text in ("a", "b", "c", "a", "d"):
        await spoken(chain, text)
    assert chain.cache.bytes == 600
    engine.texts.clear()
    for text in ("a", "c", "d", "b"):
        await spoken(chain, text)
    assert engine.texts == ["b"]


@pytest.mark.parametrize("cache_bytes", [0, 300])
async def test_what_does_not_fit_into_the_cache_is_spoken_anew(cache_bytes: int) -> None:
    engine = ScriptedTts("first", [block(1), block(2), block(3)])
    chain = tts(engine, cache_bytes=cache_bytes)
    assert await spoken(chain) == [1, 2, 3]
    assert await spoken(chain) == [1, 2, 3]
    assert (chain.cache.bytes, len(chain.cache)) == (0, 0)


async def test_two_devices_that_ask_for_the_same_at_once_count_once_in_the_cache() -> None:
    ready = asyncio.Event()
    engine = ScriptedTts("first", [ready, block(1)])
    chain = tts(engine)
    both = asyncio.gather(spoken(chain), spoken(chain))
    await engine.asked.wait()
    ready.set()
    assert list(await both) == [[1], [1]]
    assert chain.cache.bytes == 200


async def test_cancelling_speech_stops_the_engine() -> None:
    engine = ScriptedTts("first", [block(1), never()])
    task = asyncio.create_task(spoken(tts(engine)))
    await engine.asked.wait()
    await cancel(task)
    assert engine.running == 0


async def spoken_in(chain: TtsChain, voice: str | None, passed_over: PassedOver | None = None) -> list[int]:
    return [int(pcm.samples[0]) async for pcm in chain.speak("hello", "en", passed_over or PassedOver(), voice)]


async def test_a_voice_that_is_chosen_speaks_and_is_kept_apart() -> None:
    engine = ScriptedTts("openai", [block(1)], [block(2)], [block(3)])
    chain = tts(engine)
    voices = [None, "nova", "alloy", "openai:nova", "espeak:es+f3"]
    assert [await spoken_in(chain, voice) for voice in voices] == [[1], [2], [3], [2], [1]]
    assert engine.voices == [None, "nova", "alloy"]


async def test_another_engine_that_has_the_voice_comes_before_one_that_has_not() -> None:
    first, second = ScriptedTts("espeak", [REFUSED]), ScriptedTts("openai", [block(2)])
    assert await spoken_in(tts(first, second), "nova") == [2]
    assert (first.voices, second.voices) == (["nova"], ["nova"])


async def test_a_voice_that_nobody_has_is_replaced_by_an_own_one_and_no_engine_rests() -> None:
    first, second = ScriptedTts("espeak", [REFUSED], [block(1)]), ScriptedTts("openai", [REFUSED])
    chain, passed_over = tts(first, second), PassedOver()
    assert await spoken_in(chain, "nova", passed_over) == [1]
    assert first.voices == ["nova", None]
    assert [report[1:] for report in passed_over.reports] == [
        ("espeak", "no such voice", 0.0),
        ("openai", "no such voice", 0.0),
    ]
    assert {health.rest_left_s for health in chain.health()} == {0.0}


async def test_an_engine_that_is_broken_is_not_tried_twice_for_a_voice() -> None:
    engine = ScriptedTts("espeak", [BROKEN])
    with pytest.raises(StageFailed):
        await spoken_in(tts(engine), "nova")
    assert engine.voices == ["nova"]
