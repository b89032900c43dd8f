"""How long a gap is, and where an utterance ends because it is too long."""

import pytest

from gateway.pipeline.assemble import AssemblyLimits, Closed
from gateway.values import EndedBy, Gap
from gateway.wire.frame import Flag, FrameCodec
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
