"""An engine that fails costs the user nothing but a moment, as long as another one can do the work."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from gateway.audio import Pcm
from gateway.engines.chain import ChatChain, SttChain, TtsChain
from gateway.engines.circuit import LONGEST_REST_S
from gateway.engines.protocols import ChatRequest, TextToSpeech
from gateway.errors import EngineBusy, EngineFailed, ErrorCode, Stage, StageFailed
from gateway.values import Message
from tests.fakes.engines import ScriptedChat, ScriptedStt, ScriptedTts
from tests.fakes.virtual_time import in_virtual_time

SPEECH = np.zeros(16_000, np.float32)
REQUEST = ChatRequest((Message("user", "hello"),), "en", datetime(2026, 1, 1, tzinfo=UTC))
BROKEN = EngineFailed("no connection")
BUSY = EngineBusy("32 are waiting")
REST_S = 30.0


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class PassedOver:
    """Notes what the chain reports."""

    def __init__(self) -> None:
        self.reports: list[tuple[Stage, str, str, float]] = []

    def __call__(self, stage: Stage, engine: str, message: str, rest_s: float) -> None:
        self.reports.append((stage, engine, message, rest_s))

    @property
    def engines(self) -> list[str]:
        return [engine for _, engine, _, _ in self.reports]


def never() -> asyncio.Event:
    return asyncio.Event()


def block(value: int, samples: int = 100) -> Pcm:
    return Pcm(np.full(samples, value, np.int16), 24_000)


def stt(*engines: ScriptedStt, clock: Callable[[], float] | None = None) -> SttChain:
    return SttChain(engines, timeout_s=15, rest_s=REST_S, clock=clock or Clock())


def chat(*engines: ScriptedChat) -> ChatChain:
    return ChatChain(engines, first_token_s=10, timeout_s=30, rest_s=REST_S, clock=Clock())


def tts(*engines: TextToSpeech, cache_bytes: int = 1_000_000, clock: Callable[[], float] | None = None) -> TtsChain:
    return TtsChain(engines, timeout_s=15, rest_s=REST_S, cache_bytes=cache_bytes, clock=clock or Clock())


async def heard(chain: SttChain, passed_over: PassedOver | None = None) -> str:
    return (await chain.transcribe(SPEECH, "en", passed_over or PassedOver())).text


async def said(chain: ChatChain, passed_over: PassedOver | None = None, into: list[str] | None = None) -> list[str]:
    """The pieces of the answer; they are in `into` even when the answer breaks off."""
    pieces = [] if into is None else into
    async for piece in chain.reply(REQUEST, passed_over or PassedOver()):
        pieces.append(piece)
    return pieces


async def spoken(chain: TtsChain, text: str = "hello", passed_over: PassedOver | None = None) -> list[int]:
    """The value of each block's samples."""
    return [int(pcm.samples[0]) async for pcm in chain.speak(text, "en", passed_over or PassedOver())]


async def cancel(task: "asyncio.Task[object]") -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


# Order, rest and trial


async def test_the_first_engine_that_can_does_it() -> None:
    first, second = ScriptedStt("first", ["one"]), ScriptedStt("second", ["two"])
    assert await heard(stt(first, second)) == "one"
    assert second.calls == 0


async def test_whether_the_next_recogniser_runs_here_changes_with_who_rests() -> None:
    clock = Clock()
    first, second = ScriptedStt("first", [BROKEN]), ScriptedStt("second", ["two"], local=False)
    chain = stt(first, second, clock=clock)
    assert chain.local
    assert await heard(chain) == "two"
    assert not chain.local
    clock.now += REST_S
    assert chain.local


async def test_what_only_engines_here_may_do_is_not_handed_on_over_the_network() -> None:
    first, remote = ScriptedStt("first", [BROKEN]), ScriptedStt("remote", ["two"], local=False)
    third, passed_over = ScriptedStt("third", ["three"]), PassedOver()
    with pytest.raises(StageFailed, match="no connection"):
        await stt(first, remote, third).transcribe(SPEECH, "en", passed_over, only_local=True)
    assert passed_over.engines == ["first"]
    assert (remote.calls, third.calls) == (0, 0)


async def test_an_engine_that_fails_is_passed_over_reported_and_rests() -> None:
    clock, passed_over = Clock(), PassedOver()
    first, second = ScriptedStt("first", [BROKEN]), ScriptedStt("second", ["two"])
    chain = stt(first, second, clock=clock)

    assert await heard(chain, passed_over) == "two"
    assert passed_over.reports == [(Stage.STT, "first", "no connection", REST_S)]

    clock.now += REST_S - 1
    assert await heard(chain, passed_over) == "two"
    assert first.calls == 1
    assert len(passed_over.reports) == 1
    ill, well = chain.health()
    assert (ill.engine, ill.state, ill.failures, ill.passed_over, ill.rest_left_s) == ("first", "resting", 1, 2, 1.0)
    assert (well.engine, well.state, well.failures, well.passed_over, well.rest_left_s) == ("second", "ok", 0, 0, 0.0)


async def test_a_rest_that_is_over_gives_one_trial_and_success_ends_it() -> None:
    clock, ready = Clock(), asyncio.Event()
    first, second = ScriptedStt("first", [BROKEN], [ready, "one"]), ScriptedStt("second", ["two"])
    chain = stt(first, second, clock=clock)
    await heard(chain)
    clock.now += REST_S
    first.asked.clear()

    trial = asyncio.create_task(heard(chain))
    await first.asked.wait()
    assert [await heard(chain) for _ in range(3)] == ["two"] * 3
    ready.set()

    assert await trial == "one"
    assert await heard(chain) == "one"
    assert chain.health()[0].state == "ok"


async def test_a_trial_that_fails_means_another_rest() -> None:
    clock = Clock()
    first = ScriptedStt("first", [BROKEN])
    chain = stt(first, ScriptedStt("second", ["two"]), clock=clock)
    await heard(chain)
    clock.now += REST_S
    await heard(chain)
    clock.now += REST_S - 1
    await heard(chain)
    assert first.calls == 2


async def test_a_trial_that_is_cancelled_leaves_the_next_one_free() -> None:
    clock = Clock()
    first = ScriptedStt("first", [BROKEN], [never()], ["one"])
    chain = stt(first, ScriptedStt("second", ["two"]), clock=clock)
    await heard(chain)
    clock.now += REST_S
    first.asked.clear()
    trial = asyncio.create_task(heard(chain))
    await first.asked.wait()
    await cancel(trial)

    assert first.running == 0
    assert await heard(chain) == "one"


async def test_when_all_rest_all_are_tried() -> None:
    first, second = ScriptedStt("first", [BROKEN]), ScriptedStt("second", [BROKEN], ["two"])
    chain = stt(first, second)
    with pytest.raises(StageFailed):
        await heard(chain)
    assert await heard(chain) == "two"
    assert first.calls == 2


async def test_a_success_that_began_before_the_failure_does_not_end_the_rest() -> None:
    ready = asyncio.Event()
    first, second = ScriptedStt("first", [ready, "one"], [BROKEN], ["one"]), ScriptedStt("second", ["two"])
    chain = stt(first, second)
    early = asyncio.create_task(heard(chain))
    await first.asked.wait()
    assert await heard(chain) == "two"
    ready.set()
    assert await early == "one"
    assert chain.health()[0].state == "resting"


@pytest.mark.parametrize(("asked_s", "given_s"), [(5.0, 5.0), (0.0, 0.0), (86_400.0, LONGEST_REST_S)])
async def test_an_engine_may_say_how_long_it_rests_within_bounds(asked_s: float, given_s: float) -> None:
    passed_over = PassedOver()
    first = ScriptedStt("first", [EngineFailed("429", rest_s=asked_s)])
    await heard(stt(first, ScriptedStt("second", ["two"])), passed_over)
    assert passed_over.reports[0][3] == given_s


async def test_a_busy_engine_is_passed_over_without_a_rest() -> None:
    passed_over = PassedOver()
    first, second = ScriptedStt("first", [BUSY], ["one"]), ScriptedStt("second", ["two"])
    chain = stt(first, second)
    assert await heard(chain, passed_over) == "two"
    assert passed_over.reports == [(Stage.STT, "first", "32 are waiting", 0.0)]
    assert await heard(chain) == "one"
    assert chain.health()[0].failures == 0


async def test_an_engine_that_only_this_work_was_not_for_does_not_rest() -> None:
    first = ScriptedStt("first", [EngineFailed("English only", retryable=False, rest_s=0.0)], ["one"])
    chain = stt(first, ScriptedStt("second", ["two"]))
    assert await heard(chain) == "two"
    assert await heard(chain) == "one"
    assert chain.health()[0].failures == 1


async def test_an_unforeseen_error_is_logged_and_costs_only_that_engine(caplog: pytest.LogCaptureFixture) -> None:
    passed_over = PassedOver()
    chain = stt(ScriptedStt("first", [KeyError("secret")]), ScriptedStt("second", ["two"]))
    assert await heard(chain, passed_over) == "two"
    assert passed_over.reports[0][2] == "unforeseen KeyError"
    assert "first failed in an unforeseen way" in caplog.text


@in_virtual_time
async def test_an_engine_that_is_too_slow_is_stopped_and_passed_over() -> None:
    passed_over = PassedOver()
    slow, second = ScriptedStt("slow", [never()]), ScriptedStt("second", ["two"])
    assert await heard(stt(slow, second), passed_over) == "two"
    assert passed_over.reports == [(Stage.STT, "slow", "took longer than 15 s", REST_S)]
    assert slow.running == 0
    assert asyncio.get_running_loop().time() == pytest.approx(15)


@pytest.mark.parametrize(
    ("first", "second", "code"),
    [
        (BROKEN, BROKEN, ErrorCode.STT_FAILED),
        (BUSY, BUSY, ErrorCode.BUSY),
        (BUSY, BROKEN, ErrorCode.STT_FAILED),
        (EngineFailed("slow", timed_out=True), EngineFailed("slow", timed_out=True), ErrorCode.TIMEOUT),
        (EngineFailed("slow", timed_out=True), BROKEN, ErrorCode.STT_FAILED),
    ],
)
async def test_when_all_fail_the_code_says_why(first: EngineFailed, second: EngineFailed, code: ErrorCode) -> None:
    with pytest.raises(StageFailed) as caught:
        await heard(stt(ScriptedStt("a", [first]), ScriptedStt("b", [second])))
    assert caught.value.code == code
    assert caught.value.stage == Stage.STT
    assert caught.value.message == f"a: {first.message}; b: {second.message}"
    assert caught.value.retryable


async def test_it_is_not_retryable_when_no_engine_is() -> None:
    with pytest.raises(StageFailed) as caught:
        await heard(stt(ScriptedStt("a", [EngineFailed("no credit", retryable=False)])))
    assert not caught.value.retryable


async def test_cancelling_a_recognition_stops_it_at_once_and_asks_no_other() -> None:
    first, second = ScriptedStt("first", [never()]), ScriptedStt("second", ["two"])
    chain = stt(first, second)
    task = asyncio.create_task(heard(chain))
    await first.asked.wait()
    await cancel(task)
    assert first.running == 0
    assert second.calls == 0
    assert chain.health()[0].failures == 0


async def test_close_closes_every_engine_even_when_one_does_not_want_to() -> None:
    class Stubborn(ScriptedStt):
        async def close(self) -> None:
            raise RuntimeError("stubborn")

    first, last = ScriptedStt("first", ["one"]), ScriptedStt("last", ["two"])
    with pytest.raises(RuntimeError, match="stubborn"):
        await stt(first, Stubborn("middle", [""]), last).close()
    assert first.closed
    assert last.closed


def test_a_stage_without_engines_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one engine"):
        stt()


# Chat


async def test_the_answer_comes_in_the_pieces_in_which_it_was_written() -> None:
    assert await said(chat(ScriptedChat("first", ["Hel", "lo ", "you"]))) == ["Hel", "lo ", "you"]


@pytest.mark.parametrize("useless", [[BROKEN], [], ["", "  \n"], [" ", BROKEN]])
async def test_before_the_first_word_another_engine_answers(useless: list[str | BaseException]) -> None:
    passed_over = PassedOver()
    answer = await said(chat(ScriptedChat("first", useless), ScriptedChat("second", [" ", "two"])), passed_over)
    assert answer == ["two"]
    assert passed_over.engines == ["first"]


async def test_after_the_first_word_a_failure_ends_the_answer() -> None:
    second = ScriptedChat("second", ["two"])
    chain = chat(ScriptedChat("first", ["one", BROKEN]), second)
    pieces: list[str] = []
    with pytest.raises(StageFailed) as caught:
        await said(chain, into=pieces)
    assert pieces == ["one"]
    assert caught.value.code == ErrorCode.LLM_FAILED
    assert second.calls == 0
    assert chain.health()[0].state == "resting"


@in_virtual_time
async def test_the_first_word_has_its_own_time_limit() -> None:
    passed_over = PassedOver()
    slow = ScriptedChat("slow", [6.0, " ", 6.0, "late"])
    assert await said(chat(slow, ScriptedChat("second", ["two"])), passed_over) == ["two"]
    assert passed_over.reports[0][2] == "took longer than 10 s"
    assert asyncio.get_running_loop().time() == pytest.approx(10)
    assert slow.running == 0


@in_virtual_time
async def test_the_whole_answer_has_a_time_limit() -> None:
    slow = ScriptedChat("slow", [9.0, "one", 9.0, "two", 9.0, "three", 9.0, "four"])
    pieces: list[str] = []
    with pytest.raises(StageFailed, match="took longer than 30 s"):
        await said(chat(slow), into=pieces)
    assert pieces == ["one", "two", "three"]
    assert slow.running == 0


@in_virtual_time
async def test_a_slow_listener_is_not_held_against_the_engine() -> None:
    chain = chat(ScriptedChat("first", [1.0, "one", 1.0, "two", 1.0, "three"]))
    pieces = []
    async for piece in chain.reply(REQUEST, PassedOver()):
        await asyncio.sleep(40)
        pieces.append(piece)
    assert pieces == ["one", "two", "three"]


async def test_an_answer_that_is_no_longer_wanted_stops_being_written() -> None:
    engine = ScriptedChat("first", ["one", "two", never()])
    chain = chat(engine)
    async with aclosing(chain.reply(REQUEST, PassedOver())) as answer:
        assert await anext(answer) == "one"
    assert engine.running == 0
    assert chain.health()[0].failures == 0


async def test_cancelling_an_answer_stops_the_engine() -> None:
    engine = ScriptedChat("first", ["one", never()])
    task = asyncio.create_task(said(chat(engine)))
    await engine.asked.wait()
    await cancel(task)
    assert engine.running == 0


async def test_an_iterator_that_cannot_be_closed_is_an_engine_all_the_same() -> None:
    class Plain:
        def __init__(self) -> None:
            self.left = ["one", "two"]

        def __aiter__(self) -> "Plain":
            return self

        async def __anext__(self) -> str:
            if not self.left:
                raise StopAsyncIteration
            return self.left.pop(0)

    class PlainChat(ScriptedChat):
        def reply(self, request: ChatRequest) -> AsyncIterator[str]:  # type: ignore[override]
            return Plain()

    assert await said(chat(PlainChat("plain", []))) == ["one", "two"]


# Text to speech


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


# What is chosen for one device

REFUSED = EngineFailed("no such voice", retryable=False, rest_s=0.0)


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


async def test_a_model_that_is_chosen_answers_or_else_the_engines_own() -> None:
    first, second = ScriptedChat("first", [REFUSED], ["own"]), ScriptedChat("second", [REFUSED])
    chain, asked = chat(first, second), replace(REQUEST, model="big", max_tokens=7)
    assert [piece async for piece in chain.reply(asked, PassedOver())] == ["own"]
    assert [(request.model, request.max_tokens) for request in first.requests] == [("big", 7), (None, 7)]
    assert [request.model for request in second.requests] == ["big"]
    assert {health.rest_left_s for health in chain.health()} == {0.0}


async def test_a_model_meant_for_one_engine_is_not_asked_of_another() -> None:
    first, second = ScriptedChat("first", [BROKEN]), ScriptedChat("openai", ["yes"])
    asked = replace(REQUEST, model="openai:big")
    assert [piece async for piece in chat(first, second).reply(asked, PassedOver())] == ["yes"]
    assert (first.requests[0].model, second.requests[0].model) == (None, "big")
