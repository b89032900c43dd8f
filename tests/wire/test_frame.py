"""Frames against the golden vectors."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import DeviceFault, ErrorCode
from gateway.pipeline.framed import audio_of
from gateway.wire import frame
from gateway.wire.frame import RATES, Flag, Frame, FrameCodec
from tests.vectors import load, named

FRAMES = load("frames", "frames")
DOWNLINK = load("frames", "downlink_frames")


def as_frame(row: Any) -> Frame:
    audio = bytes.fromhex(row["audio"])
    return Frame(row["turn"], row["seq"], Flag(row["flags"]), FrameCodec(row["codec"]), row["rate"], audio)


@pytest.mark.parametrize("row", FRAMES + DOWNLINK, ids=named)
def test_a_frame_is_read_and_written_byte_for_byte(row: Any) -> None:
    payload = bytes.fromhex(row["hex"])
    assert frame.is_frame(payload)
    assert frame.decode(payload) == as_frame(row)
    assert frame.encode(as_frame(row)) == payload


@pytest.mark.parametrize("row", FRAMES, ids=named)
def test_a_device_may_send_it(row: Any) -> None:
    assert frame.decode_uplink(bytes.fromhex(row["hex"])) == as_frame(row)


@pytest.mark.parametrize("row", load("rejected_frames", "bad_frame"), ids=named)
def test_a_frame_out_of_range_is_bad_in_both_directions(row: Any) -> None:
    payload = bytes.fromhex(row["hex"])
    assert frame.is_frame(payload)
    for decode in (frame.decode, frame.decode_uplink):
        with pytest.raises(DeviceFault) as caught:
            decode(payload)
        assert caught.value.code is ErrorCode.BAD_FRAME


@pytest.mark.parametrize("row", load("rejected_frames", "bad_frame_uplink_only"), ids=named)
def test_what_only_the_gateway_may_send(row: Any) -> None:
    payload = bytes.fromhex(row["hex"])
    frame.decode(payload)
    with pytest.raises(DeviceFault) as caught:
        frame.decode_uplink(payload)
    assert caught.value.code is ErrorCode.BAD_FRAME


@pytest.mark.parametrize("row", load("rejected_frames", "bad_audio"), ids=named)
def test_audio_that_cannot_be_of_its_codec(row: Any) -> None:
    good_header = frame.decode_uplink(bytes.fromhex(row["hex"]))
    with pytest.raises(DeviceFault) as caught:
        audio_of(good_header)
    assert caught.value.code is ErrorCode.BAD_FRAME


@pytest.mark.parametrize("row", load("rejected_frames", "not_a_frame"), ids=named)
def test_what_is_no_frame(row: Any) -> None:
    assert not frame.is_frame(bytes.fromhex(row["hex"]))


@pytest.mark.parametrize("row", load("turns", "newer"), ids=str)
def test_newer_goes_round_the_end_of_the_numbers(row: Any) -> None:
    assert frame.newer(row["new"], row["old"]) is row["newer"]


@pytest.mark.parametrize("row", load("turns", "after"), ids=str)
def test_the_next_turn(row: Any) -> None:
    assert frame.turn_after(row["turn"]) == row["after"]
    assert frame.newer(frame.turn_after(row["turn"]), row["turn"])


@given(
    st.builds(
        Frame,
        turn=st.integers(1, 0xFFFF),
        seq=st.integers(0, 0xFFFF),
        flags=st.integers(0, 7).map(Flag),
        codec=st.sampled_from(FrameCodec),
        rate=st.sampled_from(RATES),
        audio=st.binary(max_size=40),
    )
)
def test_every_frame_survives_the_wire(sent: Frame) -> None:
    payload = frame.encode(sent)
    assert frame.is_frame(payload)
    assert frame.decode(payload) == sent


@given(st.binary(max_size=40))
def test_garbage_is_a_frame_or_a_device_fault(garbage: bytes) -> None:
    with suppress(DeviceFault):
        assert frame.decode(b"VG\x01" + garbage).audio == garbage[9:]
