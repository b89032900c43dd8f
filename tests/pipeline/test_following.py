"""Frames of a device that ends them itself by silence: in a pause it is known what has been said so far."""

import random
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.pipeline.assemble import (
    AssemblyLimits,
    Cancelled,
    Closed,
    NeedsSpeechProbability,
    Opened,
    Paused,
    Resumed,
    Step,
)
from gateway.values import Codec
from gateway.wire.adpcm import Encoder
from gateway.wire.frame import Flag, FrameCodec
from tests.pipeline.uplink import Device, cancelled, framed, heard, tone

WINDOW = 512
VOICE, QUIET = 8000, 3


def listening(limits: AssemblyLimits | None = None) -> Device:
    """A device that has said that it ends by silence."""
    device = Device(limits or AssemblyLimits(pauses=True))
    device.assembler.hello_said(None, 700)
    return device


def frames(*values: int, end: bool = False, windows: int = 1, codec: FrameCodec = FrameCodec.PCM) -> list[bytes]:
    """A frame of `windows` windows for each of `values`; with `end` the last is the END."""
    encoder = Encoder()
    made = []
    for seq, value in enumerate(values):
        flags = Flag.START if seq == 0 else Flag.NONE
        if end and seq == len(values) - 1:
            flags |= Flag.END
        pcm = tone(value, windows * WINDOW)
        audio = encoder.encode(np.frombuffer(pcm, "<i2").astype(np.int16)) if codec is FrameCodec.ADPCM else pcm
        made.append(framed(seq, audio, flags=flags, codec=codec))
    return made


def kinds(steps: Sequence[Step]) -> list[type]:
    return [type(step) for step in steps]


@pytest.mark.parametrize("codec", [FrameCodec.PCM, FrameCodec.ADPCM])
def test_a_pause_before_the_end_is_told_and_confirmed_by_the_end(codec: FrameCodec) -> None:
    steps = listening().send(*frames(VOICE, VOICE, *[QUIET] * 6, end=True, codec=codec))
    assert kinds(steps) == [Opened, Paused, Closed]
    assert isinstance(paused := steps[1], Paused)
    assert (paused.utterance.codec, paused.utterance.rate, paused.utterance.turn) == (Codec.PCM, 16000, 1)
    # ADPCM takes a while to come down.
    assert len(heard(paused.utterance)) in (2 * 6 * WINDOW, 2 * 7 * WINDOW)


def test_speech_after_a_pause_is_told_even_in_the_last_frame() -> None:
    values = [VOICE, *[QUIET] * 4, VOICE, *[QUIET] * 4, VOICE]
    assert kinds(listening().send(*frames(*values, end=True))) == [Opened, Paused, Resumed, Paused, Resumed, Closed]


def test_an_end_without_audio_costs_nothing() -> None:
    device = listening()
    device.send(*frames(VOICE, *[QUIET] * 4))
    steps = device.assembler.receive(framed(5, b"", flags=Flag.END), device.now)
    assert kinds(steps) == [Closed]


def test_the_end_of_speech_that_goes_on_is_not_listened_to() -> None:
    device = listening()
    device.send(*frames(VOICE, QUIET))
    steps = device.assembler.receive(framed(2, tone(QUIET, WINDOW), flags=Flag.END), device.now)
    assert kinds(steps) == [Closed]


def test_at_the_end_too_much_that_nobody_listened_to_confirms_nothing() -> None:
    device = listening()
    device.send(*frames(VOICE, *[QUIET] * 4))
    steps = device.assembler.receive(framed(5, tone(QUIET, 3 * WINDOW), flags=Flag.END), device.now)
    assert kinds(steps) == [NeedsSpeechProbability, Closed]
    assert device.assembler.hear([], device.now) == [Resumed()]


def test_the_idle_limit_confirms_a_pause() -> None:
    device = listening()
    assert kinds(device.send(*frames(VOICE, *[QUIET] * 4))) == [Opened, Paused]
    assert kinds(device.wait(1.0)) == [Closed]


@pytest.mark.parametrize("lost", [1, 3, 6])
def test_frames_of_which_one_is_missing_confirm_nothing(lost: int) -> None:
    sent = frames(VOICE, VOICE, *[QUIET] * 14, end=True)
    del sent[lost]
    kept = kinds(listening().send(*sent))
    confirmed = False
    for kind in kept:
        confirmed = kind is Paused or (confirmed and kind is Closed)
    assert not confirmed
    assert kept[-1] is Closed


def test_a_late_frame_is_waited_for() -> None:
    sent = frames(VOICE, VOICE, *[QUIET] * 8, end=True)
    sent[3], sent[5] = sent[5], sent[3]
    assert kinds(listening().send(*sent)) == [Opened, Paused, Closed]


def test_a_cancelled_utterance_is_not_listened_to_any_more() -> None:
    device = listening()
    device.send(*frames(VOICE, *[QUIET] * 4))
    assert device.send(cancelled(1)) == [Cancelled(1)]
    assert kinds(device.send(framed(0, tone(VOICE, WINDOW), turn=2, flags=Flag.START))) == [Opened]


@pytest.mark.parametrize("why", ["no hello", "a hello that does not say so", "pauses are not told", "opus"])
def test_nobody_listens_along_with(why: str) -> None:
    device = Device(AssemblyLimits(pauses=why != "pauses are not told"))
    if why != "no hello":
        device.assembler.hello_said(None, None if why == "a hello that does not say so" else 700)
    codec = FrameCodec.OPUS if why == "opus" else FrameCodec.PCM
    steps = []
    for frame in frames(VOICE, *[QUIET] * 8, end=True, codec=codec):
        steps += device.assembler.receive(frame, device.now)
    assert kinds(steps) == [Opened, Closed]


@given(
    st.lists(st.tuples(st.sampled_from([VOICE, QUIET]), st.integers(1, 9)), min_size=1, max_size=10),
    st.integers(1, 4),
    st.randoms(use_true_random=False),
    st.floats(0, 0.2),
)
def test_a_confirmed_pause_holds_every_word_whatever_the_link_does(
    sounds: list[tuple[int, int]], windows: int, link: random.Random, loss: float
) -> None:
    values = [value for value, count in sounds for _ in range(count)]
    sent = frames(*values, end=True, windows=windows)
    order = sorted(range(len(sent)), key=lambda at: at + link.choice([0, 0, 0, 2, 5]))
    sent = [sent[at] for at in order if at == 0 or link.random() >= loss]
    sent += [frame for frame in sent if link.random() < 0.1]
    device = listening()
    steps = device.send(*sent)
    steps += device.wait(2.0)
    paused: Paused | None = None
    for step in steps:
        if isinstance(step, Closed) and paused is not None:
            whole = heard(step.utterance)
            assert step.utterance.link.lost == 0
            assert whole.startswith(heard(paused.utterance))
            rest = np.frombuffer(whole[len(heard(paused.utterance)) :], "<i2")
            assert np.abs(rest).max(initial=0) < 1000
        paused = step if isinstance(step, Paused) else None
