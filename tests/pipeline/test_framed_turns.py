"""Turns that follow each other, are begun anew by a device that restarted, or are cancelled."""

import pytest

from gateway.pipeline.assemble import Cancelled, Opened
from gateway.values import LinkCounts, ReplyForm
from gateway.wire.frame import Flag
from tests.pipeline.uplink import (
    Device,
    cancelled,
    ended,
    framed,
    opened,
    started,
    the_utterance,
    utterances,
)


@pytest.fixture
def device() -> Device:
    return Device()


def test_start_of_a_newer_turn_ends_the_open_one_unanswered(device: Device) -> None:
    device.send(started(turn=7))
    assert device.send(started(turn=8)) == [Cancelled(7), Opened(8, ReplyForm.FRAMES)]
    assert device.send(framed(1, turn=7), ended(2, turn=7)) == [], "frames of an older turn are ignored"
    assert the_utterance(device.send(ended(1, turn=8))).turn == 8


def test_turns_go_round_the_end_of_the_numbers(device: Device) -> None:
    device.send(framed(0, turn=0x7FFF, flags=Flag.START | Flag.END))
    assert opened(device.send(started(turn=1))) == [1]


def test_start_of_the_turn_that_has_just_run_is_a_duplicate(device: Device) -> None:
    device.send(started(), ended(1))
    device.now += 4.9
    assert device.send(started()) == []


@pytest.mark.parametrize("turn", [3, 7], ids=["an older number", "the same number"])
class TestRestartedDevice:
    def test_start_without_a_hello_is_ignored(self, device: Device, turn: int) -> None:
        device.send(started(turn=7), ended(1, turn=7))
        device.now += 4.9
        assert device.send(started(turn=turn), framed(1, turn=turn), ended(2, turn=turn)) == []

    def test_start_after_a_hello_opens(self, device: Device, turn: int) -> None:
        device.send(started(turn=7), ended(1, turn=7))
        device.assembler.hello_said(None)
        assert opened(device.send(started(turn=turn))) == [turn]

    def test_start_after_five_quiet_seconds_opens(self, device: Device, turn: int) -> None:
        device.send(started(turn=7), ended(1, turn=7))
        device.now += 5.0
        assert opened(device.send(started(turn=turn))) == [turn]

    def test_only_start_with_seq_0_opens(self, device: Device, turn: int) -> None:
        device.send(started(turn=7), ended(1, turn=7))
        device.assembler.hello_said(None)
        device.now += 60.0
        assert device.send(framed(0, turn=turn), framed(1, turn=turn, flags=Flag.START)) == []

    def test_a_hello_counts_once(self, device: Device, turn: int) -> None:
        device.assembler.hello_said(None)
        device.send(started(turn=7), ended(1, turn=7))
        assert device.send(started(turn=turn)) == []


def test_start_of_the_open_turn_is_a_duplicate_even_after_a_hello(device: Device) -> None:
    device.send(started())
    device.assembler.hello_said(None)
    assert device.send(started()) == []
    assert the_utterance(device.send(ended(1))).link == LinkCounts(duplicate=1)


# Cancel


def test_cancel_during_recording_ends_it_unanswered(device: Device) -> None:
    device.send(started(turn=7), framed(1, turn=7))
    assert device.send(cancelled(7)) == [Cancelled(7)]
    assert device.send(framed(2, turn=7), ended(3, turn=7)) == []
    assert device.assembler.deadline is None


def test_cancel_during_the_reply_stops_what_runs(device: Device) -> None:
    device.send(started(turn=7), ended(1, turn=7))
    assert device.send(cancelled(7)) == [Cancelled(None)]


def test_cancel_of_a_newer_turn_stops_the_old_one_and_the_newer_never_opens(device: Device) -> None:
    device.send(started(turn=7))
    assert device.send(cancelled(8)) == [Cancelled(7)]
    assert device.send(started(turn=8)) == []


def test_cancel_of_an_older_turn_is_ignored(device: Device) -> None:
    device.send(started(turn=7))
    assert device.send(cancelled(6)) == []
    assert utterances(device.send(ended(1, turn=7)))


def test_a_device_never_heard_of_may_cancel(device: Device) -> None:
    assert device.send(cancelled(3)) == [Cancelled(None)]


def test_the_gateway_may_drop_the_open_utterance(device: Device) -> None:
    assert device.assembler.cancel() == []
    device.send(started(turn=7))
    assert device.assembler.cancel() == [Cancelled(7)]
    assert device.send(framed(1, turn=7), ended(2, turn=7)) == []
    assert opened(device.send(started(turn=8))) == [8]
