"""Frames that are refused, and what becomes of the turn that they are of."""

import numpy as np
import pytest

from gateway.errors import ErrorCode
from gateway.pipeline.assemble import AssemblyLimits, Closed, Rejected, Step
from gateway.values import Codec, EndedBy, LinkCounts
from gateway.wire import adpcm
from gateway.wire.frame import Flag, FrameCodec
from tests.pipeline.uplink import (
    PCM_20_MS,
    Device,
    ended,
    fault_codes,
    framed,
    heard,
    in_order,
    opened,
    started,
    the_utterance,
    tone,
)


@pytest.fixture
def device() -> Device:
    return Device()


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
