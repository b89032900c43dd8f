"""Files, WAVs over several messages, and what all forms have in common."""

import io
import itertools
import struct
import wave

import numpy as np
import pytest
import soundfile
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.errors import ErrorCode
from gateway.pipeline.assemble import (
    Assembler,
    AssemblyLimits,
    Cancelled,
    Closed,
    Opened,
    Refused,
    Rejected,
    Step,
)
from gateway.values import Codec, EndedBy, ReplyForm
from tests.pipeline.uplink import Device, opened, started, the_utterance, tone, utterances


@pytest.fixture
def device() -> Device:
    return Device()


def wav(samples: int = 800, *, trailer: bytes = b"") -> bytes:
    """A WAV of 16 kHz mono s16; `trailer` is a chunk after the data."""
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(16000)
        writer.writeframes(tone(7, samples))
    whole = file.getvalue() + trailer
    return whole[:4] + struct.pack("<I", len(whole) - 8) + whole[8:]


def sized(whole: bytes, riff_size: int, data_size: int) -> bytes:
    """The same WAV with other sizes in its header."""
    return whole[:4] + struct.pack("<I", riff_size) + whole[8:40] + struct.pack("<I", data_size) + whole[44:]


def open_ended(whole: bytes, size: int) -> bytes:
    """The same WAV from a writer that could not seek."""
    return sized(whole, size, size)


def cut_to(whole: bytes, length: int) -> bytes:
    """The first `length` bytes, with a header that says so."""
    return sized(whole[:length], length - 8, length - 44)


def content(steps: list[Step]) -> bytes:
    (part,) = the_utterance(steps).parts
    assert isinstance(part, bytes)
    return part


# A file in one message


@pytest.mark.parametrize("format_", ["WAV", "FLAC", "OGG", "MP3"])
def test_a_file_in_one_message_is_an_utterance(device: Device, format_: str) -> None:
    file = io.BytesIO()
    soundfile.write(file, np.zeros(8000, np.float32), 16000, format=format_)
    payload = file.getvalue()
    (began, closed) = device.send(payload)
    assert began == Opened(0x8000, ReplyForm.MESSAGE)
    assert isinstance(closed, Closed)
    assert (closed.received_s, closed.too_long) == (0.0, False)
    utterance = closed.utterance
    assert utterance.parts == (payload,)
    assert (utterance.turn, utterance.reply_form, utterance.codec, utterance.rate) == (
        0x8000,
        ReplyForm.MESSAGE,
        Codec.FILE,
        0,
    )
    assert utterance.largest_message == len(payload)
    assert device.send(b"") == [], "an empty message right after it is ignored"
    assert device.assembler.deadline is None


def test_a_file_within_an_utterance_in_frames_is_no_utterance(device: Device) -> None:
    device.send(started())
    (rejected,) = device.send(wav())
    assert isinstance(rejected, Rejected)
    assert rejected.fault.code is ErrorCode.BAD_FRAME


def test_a_file_too_large_becomes_a_turn_that_fails_in_its_own_form() -> None:
    device = Device(AssemblyLimits(message_max_bytes=1000))
    (refused,) = device.send(wav(800))
    assert isinstance(refused, Refused)
    assert (refused.turn, refused.reply_form, refused.fault.code) == (
        0x8000,
        ReplyForm.MESSAGE,
        ErrorCode.AUDIO_TOO_LONG,
    )
    assert opened(device.send(wav(100))) == [0x8001]


# A WAV over several messages


def test_a_wav_that_promises_more_goes_on_until_its_promised_length(device: Device) -> None:
    whole = wav(800)
    assert device.send(whole[:600]) == [Opened(0x8000, ReplyForm.STREAM)]
    device.now += 0.5
    assert device.send(whole[600:700]) == []
    device.now += 0.5
    (closed,) = device.send(whole[700:])
    assert isinstance(closed, Closed)
    assert closed.received_s == pytest.approx(1.0)
    utterance = closed.utterance
    assert utterance.parts == (whole,)
    assert (utterance.reply_form, utterance.codec, utterance.rate) == (ReplyForm.STREAM, Codec.FILE, 0)
    assert (utterance.ended_by, utterance.largest_message) == (EndedBy.MARKER, len(whole) - 700)
    assert device.send(b"") == [], "an empty message right after it is ignored"


def test_chunks_after_the_data_belong_to_the_promise(device: Device) -> None:
    whole = wav(800, trailer=b"LIST" + struct.pack("<I", 4) + b"abcd")
    device.send(whole[:-12])
    assert device.assembler.deadline is not None
    assert content(device.send(whole[-12:])) == whole


def test_bytes_beyond_the_promise_are_dropped(device: Device) -> None:
    whole = wav(800)
    device.send(whole[:600])
    assert content(device.send(whole[600:] + b"more")) == whole


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF])
def test_a_wav_of_no_known_length_ends_with_an_empty_message(device: Device, size: int) -> None:
    whole = open_ended(wav(800), size)
    assert opened(device.send(whole)) == [0x8000]
    assert device.send(tone(7, 200)) == []
    sent = content(device.send(b""))
    assert sent == wav(1000)
    samples, rate = soundfile.read(io.BytesIO(sent), dtype="int16")
    assert (samples.tolist(), rate) == ([7] * 1000, 16000)


def test_a_wav_cut_short_ends_at_the_idle_limit_and_still_decodes(device: Device) -> None:
    whole = wav(800)
    device.send(whole[:600])
    assert device.wait(0.99) == []
    steps = device.wait(0.01)
    assert the_utterance(steps).ended_by is EndedBy.IDLE
    samples, _ = soundfile.read(io.BytesIO(content(steps)), dtype="int16")
    assert content(steps) == cut_to(whole, 600)
    assert samples.tolist() == [7] * ((600 - 44) // 2)


@pytest.mark.parametrize("size", [0xFFFFFFFF, 0x7FFFFFFF, 44 + 2 * 32_000])
def test_a_wav_longer_than_the_limit_ends_there_and_the_rest_is_ignored(size: int) -> None:
    device = Device(AssemblyLimits(utterance_max_s=1.0))
    whole = open_ended(wav(32_000), size)
    steps = device.send(*[whole[at : at + 1000] for at in range(0, len(whole), 1000)])
    (closed,) = [step for step in steps if isinstance(step, Closed)]
    assert closed.too_long
    assert closed.utterance.parts == (cut_to(whole, 44 + 32_000),)
    assert opened(steps) == [0x8000]
    device.send(b"")
    assert opened(device.send(tone(1, 100))) == [0x8001]


def test_after_the_rest_of_a_wav_that_was_too_long_the_next_message_is_a_new_one() -> None:
    device = Device(AssemblyLimits(utterance_max_s=1.0))
    whole = wav(32_000)
    device.send(whole[:40_000], whole[40_000:])
    assert opened(device.send(wav(100))) == [0x8001]


def test_a_gap_ends_what_is_ignored() -> None:
    device = Device(AssemblyLimits(utterance_max_s=1.0))
    device.send(open_ended(wav(32_000), 0))
    assert device.send(tone(1, 100)) == []
    device.now += 1.0
    assert opened(device.send(tone(1, 100))) == [0x8001]


def test_a_header_cannot_make_the_gateway_keep_more_than_a_bound() -> None:
    device = Device(AssemblyLimits(utterance_max_s=1.0))
    lying = bytearray(open_ended(wav(10), 0xFFFFFFFF))
    lying[28:32] = b"\xff" * 4
    device.send(bytes(lying))
    steps = device.send(*[bytes(100_000)] * 5)
    assert len(content(steps)) == 44 + 384_000


def test_a_header_without_data_is_bounded_too() -> None:
    device = Device(AssemblyLimits(utterance_max_s=1.0))
    device.send(b"RIFF" + struct.pack("<I", 0) + b"WAVE")
    chunk = b"junk" + struct.pack("<I", 99_992) + bytes(99_992)
    assert len(content(device.send(*[chunk] * 5))) == 384_000


def test_a_wav_that_goes_on_is_never_too_large_as_a_whole_but_a_message_of_it_may_be() -> None:
    device = Device(AssemblyLimits(message_max_bytes=1000))
    whole = wav(2000)
    device.send(whole[:900])
    (rejected,) = device.send(bytes(1001))
    assert isinstance(rejected, Rejected)
    assert (rejected.fault.code, rejected.turn) == (ErrorCode.AUDIO_TOO_LONG, 0x8000)
    assert content(device.send(*[whole[at : at + 900] for at in range(900, len(whole), 900)])) == whole


def test_a_first_message_of_a_wav_that_is_too_large_is_refused_as_a_stream_and_so_is_its_rest() -> None:
    device = Device(AssemblyLimits(message_max_bytes=1000))
    whole = wav(2000)
    (refused,) = device.send(whole[:2000])
    assert isinstance(refused, Refused)
    assert (refused.reply_form, refused.fault.code) == (ReplyForm.STREAM, ErrorCode.AUDIO_TOO_LONG)
    assert device.send(whole[2000:3000], whole[3000:4000], whole[4000:]) == []


def test_a_dropped_wav_is_ignored_to_its_end(device: Device) -> None:
    whole = wav(800)
    device.send(whole[:600])
    assert device.assembler.cancel() == [Cancelled(0x8000)]
    assert device.send(whole[600:1000], whole[1000:]) == []
    assert opened(device.send(whole)) == [0x8001]


@given(
    st.integers(0, 400),
    st.lists(st.integers(4, 1 << 16), max_size=20),
    st.sampled_from([None, 0, 0xFFFFFFFF]),
    st.booleans(),
)
@example(300, list(range(4, 700)), None, False)
@example(300, list(range(4, 700)), 0, True)
def test_the_result_does_not_depend_on_how_a_wav_was_cut(
    samples: int, cuts: list[int], size: int | None, trailer: bool
) -> None:
    whole = wav(samples, trailer=b"LIST\x04\0\0\0abcd" if trailer else b"")
    if size is not None:
        whole = open_ended(whole, size)
    bounds = sorted({0, len(whole), *(4 + cut % (len(whole) - 4) for cut in cuts)})
    device = Device(AssemblyLimits(utterance_max_s=0.015))
    steps = device.send(*[whole[a:b] for a, b in itertools.pairwise(bounds)], b"")
    utterance = the_utterance(steps)
    limit = 44 + 480
    if len(bounds) == 2 and size is None and samples > 0:
        assert utterance.reply_form is ReplyForm.MESSAGE
        assert utterance.parts == (whole,)
    elif len(whole) > limit:
        assert (utterance.parts, utterance.ended_by) == ((cut_to(whole, limit),), EndedBy.LIMIT)
    else:
        known = size is None and samples > 0
        assert utterance.parts == (whole if known else cut_to(whole, len(whole)),)
        assert utterance.ended_by is EndedBy.MARKER


# What all forms have in common


def test_gateway_turns_go_round() -> None:
    assembler = Assembler(AssemblyLimits())
    turns = [assembler.take_gateway_turn() for _ in range(0x8001)]
    assert turns[:2] == [0x8000, 0x8001]
    assert turns[-2:] == [0xFFFF, 0x8000]


def test_turns_of_every_form_share_the_gateways_numbers(device: Device) -> None:
    assert opened(device.send(wav())) == [0x8000]
    assert device.assembler.take_gateway_turn() == 0x8001
    assert opened(device.send(tone(1, 100), b"")) == [0x8002]
    assert opened(device.send(started(turn=9))) == [9]


def test_the_limits_are_settings() -> None:
    device = Device(AssemblyLimits(idle_limit_s=0.2))
    device.send(tone(1, 100))
    assert device.assembler.deadline == pytest.approx(device.now + 0.2)
    assert utterances(device.wait(0.2))


@given(
    st.lists(
        st.tuples(
            st.sampled_from([b"", b"RIFF", b"RIFF\0\0\0\0WAVE", b"VG\x01\x01\0\0", b"ID3", b"\xff\xfb", wav(40)[:60]]),
            st.binary(max_size=60),
            st.floats(0, 2),
        ),
        max_size=25,
    )
)
def test_garbage_never_raises_and_every_turn_opens_and_ends_once(messages: list[tuple[bytes, bytes, float]]) -> None:
    device = Device(AssemblyLimits(utterance_max_s=0.005, message_max_bytes=80))
    steps: list[Step] = []
    for start, rest, pause in messages:
        steps += device.send(start + rest)
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
            case Refused():
                assert is_open is None
    assert is_open is None


@pytest.mark.parametrize(("last", "following"), [(0x8000, 0x8021), (0xFFFF, 0x8020), (0xFFE0, 0x8001)])
def test_the_gateways_own_numbers_go_on_after_those_of_an_earlier_run(last: int, following: int) -> None:
    assembler = Assembler(AssemblyLimits())
    assembler.continue_after(last)
    assert assembler.take_gateway_turn() == following
