"""Sorting what arrives, without a broker or a clock, and its bounds."""

import pytest

from gateway.device import exchange as exchange_module
from gateway.device.downlink import EXCHANGES_MAX, Downlink
from gateway.device.exchange import EVENTS_MAX, Ended, Exchange, Signal
from gateway.device.playback import Playback
from gateway.values import ReplyForm
from gateway.wire.frame import Flag, Frame, FrameCodec, encode


def new_exchange(turn: int | None, form: ReplyForm | None) -> Exchange:
    return Exchange(Signal(), turn, form, Playback(2000), 0.0)


def frame(turn: int, seq: int, audio: bytes = b"x", flags: Flag = Flag.NONE) -> bytes:
    return encode(Frame(turn, seq, flags, FrameCodec.MP3, 24_000, audio))


def test_a_reply_without_end_is_kept_up_to_its_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange_module, "REPLY_MAX_BYTES", 100)
    downlink = Downlink(new_exchange)
    asked = new_exchange(1, ReplyForm.FRAMES)
    downlink.add(asked)
    for seq in range(10):
        downlink.receive(frame(1, seq, bytes(30)), 1.0)
    assert (len(asked.received.mp3), asked.oversized) == (90, 7)
    downlink.receive(frame(1, 10, b"", Flag.END), 2.0)
    assert asked.ended is Ended.END


def test_events_without_end_are_kept_up_to_their_bound_and_done_is_never_lost() -> None:
    downlink = Downlink(new_exchange)
    asked = new_exchange(1, ReplyForm.FRAMES)
    downlink.add(asked)
    for index in range(EVENTS_MAX + 5):
        downlink.receive_event({"event": "sentence", "turn": 1, "index": index}, 1.0)
    downlink.receive_event({"event": "done", "turn": 1}, 2.0)
    assert (len(asked.events), asked.events_dropped, asked.events[-1]["event"]) == (EVENTS_MAX + 1, 5, "done")


def test_what_comes_for_a_turn_long_past_is_stale() -> None:
    downlink = Downlink(new_exchange)
    for turn in range(1, EXCHANGES_MAX + 2):
        downlink.add(new_exchange(turn, ReplyForm.FRAMES))
    downlink.receive(frame(1, 0), 1.0)
    assert downlink.stale == 1
    downlink.receive(frame(EXCHANGES_MAX + 1, 0), 1.0)
    assert downlink.stale == 1


def test_frames_after_the_end_are_stale() -> None:
    downlink = Downlink(new_exchange)
    asked = new_exchange(1, ReplyForm.FRAMES)
    downlink.add(asked)
    downlink.receive(frame(1, 0, b"all", Flag.END), 1.0)
    downlink.receive(frame(1, 1, b"more"), 2.0)
    assert (asked.received.mp3, downlink.stale) == (b"all", 1)


def test_events_that_name_no_turn_of_this_device_open_nothing() -> None:
    downlink = Downlink(new_exchange)
    for turn in (None, "one", 7):
        downlink.receive_event({"event": "listening", "turn": turn}, 1.0)
    assert not downlink.announced


@pytest.mark.parametrize("form", [ReplyForm.STREAM, ReplyForm.MESSAGE, None])
def test_the_next_answer_is_not_taken_for_one_that_was_given_up(form: ReplyForm | None) -> None:
    kind = "thinking" if form is None else "listening"
    downlink = Downlink(new_exchange)
    unanswered, asked = new_exchange(None, form), new_exchange(None, form)
    downlink.add(unanswered)
    downlink.leave(1.0)
    downlink.add(asked)
    downlink.receive_event({"event": kind, "turn": 0x8001}, 2.0)
    downlink.receive(b"\xff\xfbanswer", 3.0)
    assert (unanswered.ended, unanswered.turn, unanswered.received.chunks) == (Ended.LEFT, None, ())
    assert (asked.turn, asked.received.mp3) == (0x8001, b"\xff\xfbanswer")


def test_the_next_answer_is_not_taken_for_one_that_was_heard_and_left() -> None:
    downlink = Downlink(new_exchange)
    heard, asked = new_exchange(None, ReplyForm.STREAM), new_exchange(None, ReplyForm.STREAM)
    downlink.add(heard)
    downlink.receive(b"", 1.0)
    downlink.leave(1.0)
    downlink.add(asked)
    downlink.receive_event({"event": "listening", "turn": 0x8001}, 2.0)
    assert (heard.turn, asked.turn) == (None, 0x8001)


def test_a_reply_that_has_ended_before_its_first_event_comes_still_gets_its_events() -> None:
    downlink = Downlink(new_exchange)
    first, second = new_exchange(None, ReplyForm.STREAM), new_exchange(None, ReplyForm.STREAM)
    downlink.add(first)
    downlink.receive(b"\xff\xfbrefused", 1.0)
    downlink.receive(b"", 1.0)
    downlink.add(second)
    for turn in (0x8001, 0x8002):
        for kind in ("listening", "done"):
            downlink.receive_event({"event": kind, "turn": turn}, 2.0)
    assert [(each.turn, len(each.events)) for each in (first, second)] == [(0x8001, 2), (0x8002, 2)]
    assert not downlink.announced


def test_what_was_left_is_known_without_its_sound() -> None:
    downlink = Downlink(new_exchange)
    asked = new_exchange(1, ReplyForm.FRAMES)
    downlink.add(asked)
    downlink.receive(frame(1, 0, b"all", Flag.END), 1.0)
    downlink.receive_event({"event": "done", "turn": 1}, 1.0)
    downlink.leave(2.0)
    downlink.receive(frame(1, 1, b"more"), 3.0)
    assert (asked.received.mp3, asked.events, asked.ended) == (b"", [], Ended.END)
    assert (downlink.stale, list(downlink.unknown_turns)) == (1, [])
