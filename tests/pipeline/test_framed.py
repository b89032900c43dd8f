"""Frames in, utterances out: loss, duplicates, late frames, turns and their ends."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import ErrorCode
from gateway.pipeline.assemble import AssemblyLimits, Cancelled, Closed, Opened, Rejected, Step
from gateway.values import Codec, EndedBy, Gap, LinkCounts, ReplyForm
from gateway.wire import adpcm
from gateway.wire.frame import HEADER, Flag, FrameCodec
from tests.pipeline.uplink import (
    PCM_20_MS,
    Device,
    cancelled,
    ended,
    framed,
    heard,
    opened,
    started,
    the_utterance,
    tone,
    utterances,
)


@pytest.fixture
def device() -> Device:
    return Device()


def fault_codes(steps: list[Step]) -> list[ErrorCode]:
    return [step.fault.code for step in steps if isinstance(step, Rejected)]


def in_order(frames: int) -> bytes:
    return b"".join(tone(seq + 1, PCM_20_MS) for seq in range(frames))


# One turn


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


# What is refused


@pytest.mark.parametrize(
    "payload",
    [
        framed(1, codec=FrameCodec.ADPCM, audio=bytes(8)),
        framed(1, rate=8000),
        framed(1, codec=FrameCodec.ADPCM, audio=b"\0\0\0"),
        framed(1, codec=FrameCodec.MP3),
        framed(1, turn=0x8000),
        b"VG\x01",
        b"",
        b"RIFF",
        bytes(400),
    ],
    ids=["codec", "rate", "no ADPCM", "MP3", "gateway's turn", "cut short", "empty", "file", "raw"],
)
def test_a_bad_frame_is_told_and_dropped_and_the_turn_goes_on(device: Device, payload: bytes) -> None:
    device.send(started())
    steps = device.send(payload)
    assert fault_codes(steps) == [ErrorCode.BAD_FRAME]
    assert [step.turn for step in steps if isinstance(step, Rejected)] == [None]
    utterance = the_utterance(device.send(framed(1), ended(2)))
    assert heard(utterance) == in_order(2)
    assert utterance.link == LinkCounts()


def test_the_flags_of_a_frame_hold_even_where_its_audio_is_refused(device: Device) -> None:
    no_adpcm = bytes(3)
    steps = device.send(framed(0, no_adpcm, codec=FrameCodec.ADPCM, flags=Flag.START))
    assert fault_codes(steps) == [ErrorCode.BAD_FRAME]
    assert opened(steps) == [1]
    device.send(framed(1))
    steps = device.send(framed(2, rate=8000, flags=Flag.END))
    assert fault_codes(steps) == [ErrorCode.BAD_FRAME]
    utterance = the_utterance(steps)
    assert utterance.parts == (tone(2, PCM_20_MS),)
    assert utterance.ended_by is EndedBy.MARKER


def test_half_a_sample_at_the_end_of_a_frame_is_dropped(device: Device) -> None:
    device.send(started())
    assert the_utterance(device.send(framed(1, tone(7, 10) + b"x", flags=Flag.END))).parts[1] == tone(7, 10)


@pytest.mark.parametrize("flags", [Flag.START, Flag.NONE])
def test_codec_and_rate_are_those_of_the_first_frame_with_audio(device: Device, flags: Flag) -> None:
    device.send(framed(0, b"", flags=Flag.START))
    block = adpcm.Encoder().encode(np.zeros(160, np.int16))
    device.send(framed(1, block, codec=FrameCodec.ADPCM, rate=8000))
    utterance = the_utterance(device.send(framed(2, b"", flags=flags | Flag.END)))
    assert (utterance.codec, utterance.rate, utterance.parts) == (Codec.ADPCM, 8000, (block,))


def test_opus_that_cannot_be_measured_is_left_to_the_decoder(device: Device) -> None:
    garbage = b"\x0b"
    steps = device.send(framed(0, garbage, codec=FrameCodec.OPUS, flags=Flag.START | Flag.END))
    assert fault_codes(steps) == []
    assert the_utterance(steps).parts == (garbage,)


def test_a_frame_too_large_is_told_and_dropped() -> None:
    device = Device(AssemblyLimits(message_max_bytes=1000))
    large = framed(1, bytes(1000))
    assert [(s.fault.code, s.turn) for s in device.send(large) if isinstance(s, Rejected)] == [
        (ErrorCode.AUDIO_TOO_LONG, None)
    ]
    device.send(started())
    assert [(s.fault.code, s.turn) for s in device.send(large) if isinstance(s, Rejected)] == [
        (ErrorCode.AUDIO_TOO_LONG, 1)
    ]
    assert the_utterance(device.send(ended(2))).link.lost == 1


def test_packets_whose_length_cannot_be_read_end_the_utterance_by_their_size() -> None:
    device = Device(AssemblyLimits(utterance_max_s=1.0))
    no_length = b"\x03\x00" + bytes(20_000)
    steps: list[Step] = []
    for seq in range(100):
        steps += device.send(framed(seq, no_length, codec=FrameCodec.OPUS, flags=Flag.START if seq == 0 else Flag.NONE))
    (closed,) = [step for step in steps if isinstance(step, Closed)]
    assert closed.too_long
    assert sum(len(part) for part in closed.utterance.parts if isinstance(part, bytes)) <= 96_000


# Lengths


@pytest.mark.parametrize(
    ("codec", "audio", "samples"),
    [
        (FrameCodec.PCM, tone(5, 160), 160),
        (FrameCodec.ADPCM, bytes(4 + 80), 160),
        (FrameCodec.OPUS, b"\x08abc", 320),
    ],
)
def test_a_gap_has_the_length_that_the_codec_tells(
    device: Device, codec: FrameCodec, audio: bytes, samples: int
) -> None:
    def send(seq: int, flags: Flag = Flag.NONE) -> bytes:
        return framed(seq, audio, codec=codec, flags=flags)

    utterance = the_utterance(device.send(send(0, Flag.START), send(2, Flag.END)))
    assert utterance.parts == (audio, Gap(samples), audio)


def test_at_the_limit_the_turn_ends_with_what_was_heard_and_the_rest_is_ignored() -> None:
    device = Device(AssemblyLimits(utterance_max_s=1.0))
    assert not utterances(device.send(started(), *[framed(seq) for seq in range(1, 50)])), "50 x 20 ms is the limit"
    steps = device.send(framed(50))
    (closed,) = steps
    assert isinstance(closed, Closed)
    assert closed.too_long
    assert closed.utterance.ended_by is EndedBy.LIMIT
    assert heard(closed.utterance) == in_order(50)
    assert device.send(framed(51), ended(52)) == []
    assert opened(device.send(started(turn=2))) == [2]


@pytest.mark.parametrize(
    ("codec", "audio", "kept"),
    [
        (FrameCodec.PCM, bytes(2 * 50_000), 2 * 16_000),
        (FrameCodec.ADPCM, bytes(4 + 20_000), 4 + 8_000),
    ],
)
def test_a_frame_beyond_the_limit_is_cut_to_it(codec: FrameCodec, audio: bytes, kept: int) -> None:
    device = Device(AssemblyLimits(utterance_max_s=1.0))
    (_, closed) = device.send(framed(0, audio, codec=codec, flags=Flag.START))
    assert isinstance(closed, Closed)
    assert closed.too_long
    assert [len(part) for part in closed.utterance.parts if isinstance(part, bytes)] == [kept]


def test_silence_for_lost_frames_counts_for_the_limit() -> None:
    device = Device(AssemblyLimits(utterance_max_s=0.5))
    steps = device.send(started(), framed(1000))
    (closed,) = [step for step in steps if isinstance(step, Closed)]
    assert closed.too_long
    assert closed.utterance.parts == (tone(1, PCM_20_MS), Gap(8000 - PCM_20_MS))


# Several turns


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


# What the link does must not change what is heard


@st.composite
def shuffled_frames(draw: st.DrawFn) -> tuple[int, list[int]]:
    """How many frames, and the order in which they arrive: none more than 8 late, some twice."""
    frames = draw(st.integers(1, 40))
    keys = [seq + draw(st.floats(0, 8.9)) for seq in range(frames)]
    arrival = sorted(range(frames), key=lambda seq: keys[seq])
    for seq in draw(st.lists(st.sampled_from(range(frames)), max_size=10)):
        arrival.insert(draw(st.integers(arrival.index(seq) + 1, len(arrival))), seq)
    return frames, arrival


@given(shuffled_frames())
def test_shuffled_and_duplicated_frames_are_heard_as_if_in_order(case: tuple[int, list[int]]) -> None:
    frames, arrival = case
    device = Device()
    flags = [Flag.START] + [Flag.NONE] * frames
    steps = device.send(*[framed(seq, flags=flags[seq]) for seq in arrival], ended(frames))
    utterance = the_utterance(steps)
    assert opened(steps) == [1]
    assert heard(utterance) == in_order(frames)
    assert utterance.link.lost == 0
    assert utterance.link.duplicate == len(arrival) - frames


@given(st.sets(st.integers(1, 39)))
def test_every_frame_is_heard_or_counted_lost(lost: set[int]) -> None:
    device = Device()
    frames = [framed(seq, flags=Flag.START if seq == 0 else Flag.NONE) for seq in range(40) if seq not in lost]
    utterance = the_utterance(device.send(*frames, ended(40)))
    assert utterance.link.lost == len(lost)
    expected = b"".join(tone(0 if seq in lost else seq + 1, PCM_20_MS) for seq in range(40))
    assert heard(utterance) == expected


@given(
    st.lists(
        st.tuples(
            st.integers(0, 0xFFFF) | st.integers(0, 3),
            st.integers(0, 0xFFFF) | st.integers(0, 20),
            st.integers(0, 8),
            st.integers(0, 4),
            st.sampled_from([0, 8000, 16000, 48000]),
            st.binary(max_size=20),
            st.floats(0, 6),
        ),
        max_size=30,
    )
)
def test_whatever_frames_come_every_turn_opens_and_ends_once(
    messages: list[tuple[int, int, int, int, int, bytes, float]],
) -> None:
    device = Device()
    steps: list[Step] = []
    for turn, seq, flags, codec, rate, audio, pause in messages:
        steps += device.send(HEADER.pack(b"VG", 1, flags, codec, 0, turn, seq, rate) + audio)
        steps += device.wait(pause)
    steps += device.wait(10)
    is_open: int | None = None
    for step in steps:
        match step:
            case Opened(turn=turn):
                assert is_open is None
                is_open = turn
            case Closed(utterance=utterance):
                assert is_open == utterance.turn
                is_open = None
            case Cancelled(turn=turn):
                assert is_open == turn
                is_open = None
            case Rejected(fault=fault):
                assert fault.code is ErrorCode.BAD_FRAME
    assert is_open is None
