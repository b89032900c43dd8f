"""An engine that fails costs the user nothing but a moment, as long as another one can do the work."""

import asyncio

import pytest

from gateway.engines.circuit import LONGEST_REST_S
from gateway.errors import EngineFailed, ErrorCode, Stage, StageFailed
from tests.engines.chains import (
    BROKEN,
    BUSY,
    REST_S,
    SPEECH,
    Clock,
    PassedOver,
    cancel,
    heard,
    never,
    stt,
)
from tests.fakes.engines import ScriptedStt
from tests.fakes.virtual_time import in_virtual_time


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
