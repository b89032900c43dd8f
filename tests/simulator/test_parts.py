"""The parts of the simulator that need no broker: who is who, what is spoiled, what is excused, what can be played."""

import itertools
from random import Random
from typing import Any

import pytest

from gateway.device import Chunk, Ended, PlaybackReport, Reply
from gateway.device.exchange import Event
from gateway.simulator.checks import Answer, Check, judge
from gateway.simulator.decoding import fault_of
from gateway.simulator.plan import SINGLE_FORMS, Plan, index_of, name_of
from gateway.simulator.spoiling import Spoiler
from gateway.simulator.tally import FAILURES_KEPT, TROUBLES_KEPT, Tally
from gateway.values import ReplyForm
from tests.device.peer import RATE, mp3_of

FRAMES = [bytes([number]) for number in range(200)]


# Who is who


@pytest.mark.parametrize("devices", [1, 7, 50, 500])
def test_each_device_has_turns_of_its_own(devices: int) -> None:
    plan = Plan(devices=devices, seconds=60, run="x")
    for index in range(devices):
        first = plan.first_turn(index)
        last = plan.first_turn(index + 1) - 1
        assert 1 <= first < last <= 0x7FFF
        assert plan.owner_of(first) == plan.owner_of(last) == plan.spelling(index)
    assert plan.owner_of(0x8001) is None


def test_each_device_has_a_name_of_its_own_that_is_known_again() -> None:
    names = [name_of(index) for index in range(500)]
    assert len(set(names)) == 500
    assert all(name.isalpha() and len(name) == 6 for name in names)
    assert [index_of(name.upper()) for name in names] == list(range(500))
    assert [index_of(word) for word in ("", "hola", "cocina", "Encantado")] == [None] * 4


def test_mixed_devices_speak_in_every_form_and_one_in_ten_is_slow() -> None:
    plan = Plan(devices=50, seconds=60, run="x", form="mixed", slow_consumers=True)
    assert {plan.form_of(index) for index in range(50)} == set(SINGLE_FORMS)
    assert sum(plan.is_slow(index) for index in range(50)) == 5
    assert Plan(devices=1, seconds=60, run="x", slow_consumers=True).is_slow(0)
    assert not Plan(devices=1, seconds=60, run="x").is_slow(0)


# What a bad link does


def test_a_good_link_changes_nothing() -> None:
    spoiler = Spoiler(0, 0, 0, 0, Random(1))
    assert spoiler(FRAMES) == FRAMES
    assert spoiler.delay() == 0
    assert (spoiler.sent, spoiler.lost, spoiler.duplicated, spoiler.reordered) == (200, 0, 0, 0)


def test_a_bad_link_does_what_it_counts() -> None:
    spoiler = Spoiler(0.1, 0.1, 0.1, 0.03, Random(1))
    out = spoiler(FRAMES)
    assert len(set(FRAMES) - set(out)) == spoiler.lost > 5
    assert len(out) - len(set(out)) == spoiler.duplicated > 5
    swapped = sum(earlier > later for earlier, later in itertools.pairwise(out))
    assert swapped == spoiler.reordered > 5
    assert len(out) == spoiler.sent
    assert all(0 <= spoiler.delay() <= 0.03 for _ in range(100))
    assert Spoiler(0.1, 0.1, 0.1, 0.03, Random(1))(FRAMES) == out


# What can be played


def test_one_stream_can_be_played() -> None:
    assert fault_of(mp3_of(0.5), RATE) is None
    assert fault_of(mp3_of(0.5), None) is None


@pytest.mark.parametrize(
    ("mp3", "fault"),
    [
        (b"", "there is no sound"),
        (b"no sound at all", "byte 0 of 15 is no MP3"),
        (mp3_of(0.5)[:-10], "its end is cut off"),
        (mp3_of(0.5) + b"rest", "is no MP3"),
        (mp3_of(0.5)[100:], "byte 0 of"),
    ],
)
def test_what_cannot_be_played_is_told(mp3: bytes, fault: str) -> None:
    assert fault in str(fault_of(mp3, RATE))


def test_another_rate_than_was_asked_for_is_told() -> None:
    assert fault_of(mp3_of(0.5), 16_000) == f"it has 24000 Hz at byte 0 of {len(mp3_of(0.5))}, not 16000"


# What is excused


def answer(*, done: Event | None = None, dry: int = 0, **given: Any) -> Answer:
    """A flawless answer, but for what is given."""
    mp3 = mp3_of(0.5)
    reply = Reply(
        turn=1,
        form=ReplyForm.FRAMES,
        chunks=(Chunk(0, mp3, 0.0),),
        ended=Ended.END,
        started_after_s=0.1,
        ended_after_s=0.2,
        largest_message=given.pop("largest", 1000),
        lost=0,
        duplicate=0,
        playback=PlaybackReport(500, given.pop("peak", 500), dry, dry * 100, 2000),
    )
    told = {"event": "done", "outcome": "completed", "chunks": 1, "bytes": len(mp3), **(done or {})}
    values: dict[str, Any] = {"reply": reply, "done": told, "errors": (), "patience_s": 1, "largest_payload": 4000}
    return Answer(**(values | given))


def failed(given: Answer) -> set[Check]:
    return {check for check, why in judge(given).items() if why is not None}


def test_a_flawless_answer_passes_every_check() -> None:
    assert judge(answer()) == dict.fromkeys(Check)


def test_of_what_the_simulator_lost_nobody_need_understand_anything() -> None:
    silent, short = {"outcome": "silent"}, {"outcome": "failed"}
    too_short = ({"event": "error", "code": "audio_too_short"},)
    busy = ({"event": "error", "code": "busy"},)
    assert failed(answer(done=silent)) == failed(answer(done=short, errors=too_short)) == {Check.ANSWERED}
    assert not failed(answer(done=silent, frames_lost=1))
    assert not failed(answer(done=short, errors=too_short, frames_lost=1))
    assert failed(answer(done=short, errors=busy, frames_lost=1)) == {Check.ANSWERED}
    assert failed(answer(done=short, frames_lost=1)) == {Check.ANSWERED}


def test_an_interrupted_answer_need_not_be_whole() -> None:
    half = {"outcome": "interrupted", "chunks": 9}
    assert failed(answer(done=half)) == {Check.ANSWERED, Check.COMPLETE}
    assert not failed(answer(done=half, interrupted=True, dry=1))
    assert failed(answer(done=half, interrupted=True, largest=5000, strangers=("x",), peak=2500)) == {
        Check.BELONGS,
        Check.FITS,
        Check.NEVER_OVERFULL,
    }


def test_of_a_slow_consumer_only_is_checked_what_is_no_matter_of_time() -> None:
    late = answer(slow=True, gave_up="nothing came", dry=3, peak=9000, done={"outcome": "failed"})
    assert set(judge(late)) == {Check.BELONGS, Check.FITS}
    assert not failed(late)
    assert failed(answer(slow=True, largest=5000)) == {Check.FITS}


def test_room_besides_what_a_device_says_is_room() -> None:
    assert failed(answer(peak=2001)) == {Check.NEVER_OVERFULL}
    assert not failed(answer(peak=2300, spare_ms=300))


def test_nothing_grows_without_bound() -> None:
    tally = Tally()
    for number in range(FAILURES_KEPT + 10):
        tally.add("sim", answer(largest=5000, done={"audio": {"lost": 1, "late": "x"}}))
        tally.trouble(f"trouble {number}")
    assert tally.failed[Check.FITS] == FAILURES_KEPT + 10
    assert (len(tally.failures), len(tally.troubles)) == (FAILURES_KEPT, TROUBLES_KEPT)
    assert (tally.heard_lost, tally.heard_late) == (FAILURES_KEPT + 10, 0)


def test_right_answers_are_no_success_when_some_questions_were_not_asked_or_devices_not_connected() -> None:
    for spoil in (lambda tally: setattr(tally, "not_asked", 1), lambda tally: tally.trouble("refused")):
        tally = Tally()
        tally.add("sim", answer())
        assert tally.ok
        spoil(tally)
        assert not tally.ok
