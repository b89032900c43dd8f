"""Frames of one turn in, an utterance out: loss, duplicates, late frames, the end."""

import pytest

from gateway.pipeline.assemble import Closed, Opened
from gateway.values import Codec, EndedBy, Gap, LinkCounts, ReplyForm
from gateway.wire.frame import Flag
from tests.pipeline.uplink import (
    PCM_20_MS,
    Device,
    ended,
    framed,
    heard,
    in_order,
    opened,
    started,
    the_utterance,
    tone,
    utterances,
)


@pytest.fixture
def device() -> Device:
    return Device()


def test_frames_in_order_are_one_utterance(device: Device) -> None:
    assert device.send(started()) == [Opened(1, ReplyForm.FRAMES)]
    device.now += 0.5
    assert device.send(framed(1), framed(2)) == []
    device.now += 0.25
    (closed,) = device.send(ended(3))
    assert isinstance(closed, Closed)
    assert closed.received_s == pytest.approx(0.75)
    assert not closed.too_long
    utterance = closed.utterance
    assert heard(utterance) == in_order(3)
    assert (utterance.turn, utterance.reply_form, utterance.codec, utterance.rate) == (
        1,
        ReplyForm.FRAMES,
        Codec.PCM,
        16000,
    )
    assert (utterance.ended_by, utterance.link) == (EndedBy.MARKER, LinkCounts())
    assert utterance.largest_message == 12 + 2 * PCM_20_MS


def test_one_frame_may_be_a_whole_turn(device: Device) -> None:
    steps = device.send(framed(0, flags=Flag.START | Flag.END))
    assert heard(the_utterance(steps)) == in_order(1)
    assert opened(steps) == [1]


def test_the_end_frame_may_carry_audio(device: Device) -> None:
    steps = device.send(started(), framed(1, flags=Flag.END))
    assert heard(the_utterance(steps)) == in_order(2)


def test_a_gap_is_silence_as_long_as_its_neighbours_and_counted(device: Device) -> None:
    utterance = the_utterance(device.send(started(), framed(3), ended(4)))
    assert utterance.parts == (tone(1, PCM_20_MS), Gap(2 * PCM_20_MS), tone(4, PCM_20_MS))
    assert utterance.link == LinkCounts(lost=2)


def test_a_gap_before_an_empty_end_is_filled_and_counted(device: Device) -> None:
    utterance = the_utterance(device.send(started(), ended(3)))
    assert utterance.parts == (tone(1, PCM_20_MS), Gap(2 * PCM_20_MS))
    assert utterance.link == LinkCounts(lost=2)


def test_a_long_gap_is_counted_in_full_but_filled_with_a_second_at_most(device: Device) -> None:
    utterance = the_utterance(device.send(started(), framed(30_000), ended(30_001)))
    assert utterance.parts == (tone(1, PCM_20_MS), Gap(16_000), tone(30_001, PCM_20_MS))
    assert utterance.link == LinkCounts(lost=29_999)


def test_a_run_of_losses_seen_in_pieces_is_one_gap(device: Device) -> None:
    utterance = the_utterance(device.send(started(), framed(12), framed(70), ended(71)))
    assert [part for part in utterance.parts if isinstance(part, Gap)] == [Gap(11 * PCM_20_MS), Gap(16_000)]
    assert utterance.link.lost == 11 + 57


def test_an_empty_first_frame_lends_no_length_to_the_gap_after_it(device: Device) -> None:
    utterance = the_utterance(device.send(framed(0, b"", flags=Flag.START), framed(2), ended(3)))
    assert utterance.parts == (Gap(PCM_20_MS), tone(3, PCM_20_MS))


def test_a_duplicate_is_dropped_and_counted(device: Device) -> None:
    utterance = the_utterance(device.send(started(), started(), framed(1), framed(1), framed(0), ended(2)))
    assert heard(utterance) == in_order(2)
    assert utterance.link == LinkCounts(duplicate=3)


def test_a_frame_eight_late_is_put_in_its_place_and_counted(device: Device) -> None:
    later = [framed(seq) for seq in range(2, 10)]
    utterance = the_utterance(device.send(started(), *later, framed(1), ended(10)))
    assert heard(utterance) == in_order(10)
    assert utterance.link == LinkCounts(late=1)


def test_a_frame_nine_late_is_lost_and_its_place_is_silent(device: Device) -> None:
    later = [framed(seq) for seq in range(2, 11)]
    utterance = the_utterance(device.send(started(), *later, framed(1), ended(11)))
    assert utterance.parts[1] == Gap(PCM_20_MS)
    assert len(heard(utterance)) == len(in_order(11))
    assert utterance.link == LinkCounts(lost=1)


def test_the_end_closes_at_once_though_frames_before_it_are_still_out(device: Device) -> None:
    utterance = the_utterance(device.send(started(), framed(2), ended(3)))
    assert utterance.link.lost == 1
    assert device.send(framed(1)) == []


def test_a_turn_whose_start_was_lost_opens_and_its_first_frames_are_counted_not_filled(device: Device) -> None:
    steps = device.send(framed(5), framed(6), ended(7))
    assert opened(steps) == [1]
    utterance = the_utterance(steps)
    assert utterance.parts == (tone(6, PCM_20_MS), tone(7, PCM_20_MS))
    assert utterance.link == LinkCounts(lost=5)


def test_a_start_that_comes_second_is_only_late(device: Device) -> None:
    utterance = the_utterance(device.send(framed(1), started(), ended(2)))
    assert heard(utterance) == in_order(2)
    assert utterance.link == LinkCounts(late=1)


def test_the_idle_limit_ends_a_turn_whose_end_was_lost(device: Device) -> None:
    device.send(started())
    device.now += 0.9
    device.send(framed(2))
    assert device.assembler.deadline == pytest.approx(101.9)
    assert device.wait(0.99) == []
    (closed,) = device.wait(0.02)
    assert isinstance(closed, Closed)
    assert closed.utterance.ended_by is EndedBy.IDLE
    assert closed.utterance.link.lost == 1
    assert closed.received_s == pytest.approx(1.9)
    assert device.assembler.deadline is None
    assert device.send(framed(3)) == [], "what follows of a turn that has ended is ignored"


def test_a_message_after_the_idle_limit_finds_the_turn_ended_even_if_nobody_ticked(device: Device) -> None:
    device.send(started())
    device.now += 3.0
    steps = device.send(started(turn=2))
    assert [type(step) for step in steps] == [Closed, Opened]
    assert the_utterance(steps).ended_by is EndedBy.IDLE


def test_neither_duplicates_nor_bad_frames_keep_a_turn_open(device: Device) -> None:
    device.send(started())
    for _ in range(3):
        device.now += 0.3
        device.send(started(), framed(0, b"x"))
    assert utterances(device.wait(0.2))
