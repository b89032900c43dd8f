"""What the first message of an utterance is."""

from typing import Any

import lameenc
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.pipeline.wav import is_whole
from gateway.wire.forms import Form, WavHeader, form_of
from tests.vectors import load, named

ROWS = load("forms", "first_messages")


@pytest.mark.parametrize("row", ROWS, ids=named)
def test_the_first_message_decides_the_form(row: Any) -> None:
    payload = bytes.fromhex(row["hex"])
    assert form_of(payload) == row["form"]
    if payload.startswith(b"RIFF"):
        assert is_whole(payload) is row["complete"]


@pytest.mark.parametrize(("rate", "kbps"), [(16000, 24), (22050, 64), (24000, 48), (44100, 128), (48000, 32)])
def test_an_mp3_as_lame_makes_it_is_a_file(rate: int, kbps: int) -> None:
    encoder = lameenc.Encoder()
    encoder.set_in_sample_rate(rate)
    encoder.set_out_sample_rate(rate)
    encoder.set_bit_rate(kbps)
    encoder.set_channels(1)
    encoder.silence()
    mp3 = bytes(encoder.encode(np.zeros(rate, np.int16).tobytes()) + encoder.flush())
    assert form_of(mp3) is Form.FILE


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=800))
def test_quiet_pcm_is_never_a_file(samples: list[int]) -> None:
    assert form_of(np.array(samples, "<i2").tobytes()) is Form.RAW


@pytest.mark.parametrize("row", [row for row in ROWS if row["hex"].startswith("52494646")], ids=named)
def test_a_wav_header_reads_the_same_byte_by_byte(row: Any) -> None:
    wav = bytes.fromhex(row["hex"])
    at_once, by_bytes = WavHeader(), WavHeader()
    at_once.read(wav)
    for end in range(1, len(wav) + 1):
        by_bytes.read(wav[:end])
    assert (by_bytes.length, by_bytes.data_at, by_bytes.byte_rate) == (
        at_once.length,
        at_once.data_at,
        at_once.byte_rate,
    )


@given(st.binary(max_size=80))
def test_garbage_never_raises(garbage: bytes) -> None:
    form_of(garbage)
    is_whole(b"RIFF" + garbage)
    is_whole(b"RIFF\x00\x00\x00\x00WAVE" + garbage)
