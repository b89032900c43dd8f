"""IMA ADPCM against hand-computed vectors and against libsndfile."""

import io
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import DeviceFault, ErrorCode
from gateway.wire import adpcm
from tests.vectors import load, named


@pytest.mark.parametrize("row", load("adpcm", "decode"), ids=named)
def test_a_block_is_decoded(row: Any) -> None:
    block = bytes.fromhex(row["hex"])
    assert adpcm.decode(block).tolist() == row["samples"]
    assert adpcm.samples(block) == len(row["samples"])


@pytest.mark.parametrize("row", load("adpcm", "encode"), ids=named)
def test_a_block_is_encoded(row: Any) -> None:
    encoder = adpcm.Encoder(row["predictor"], row["index"])
    assert encoder.encode(np.array(row["samples"], np.int16)).hex() == row["hex"]
    assert (encoder.predictor, encoder.index) == (row["next_predictor"], row["next_index"])


@pytest.mark.parametrize("row", load("adpcm", "rejected"), ids=named)
def test_a_bad_header_is_a_bad_frame(row: Any) -> None:
    with pytest.raises(DeviceFault) as caught:
        adpcm.decode(bytes.fromhex(row["hex"]))
    assert caught.value.code is ErrorCode.BAD_FRAME


def test_an_odd_number_of_samples_is_no_block() -> None:
    with pytest.raises(ValueError, match="even"):
        adpcm.Encoder().encode(np.zeros(3, np.int16))


def test_blocks_decode_as_libsndfile_decodes_them() -> None:
    rng = np.random.default_rng(1)
    signal = (rng.standard_normal(8000) * rng.choice([30, 3000, 20000], 8000)).clip(-32768, 32767).astype(np.int16)
    file = io.BytesIO()
    soundfile.write(file, signal, 16000, format="WAV", subtype="IMA_ADPCM")
    wav = file.getvalue()
    expected, _ = soundfile.read(io.BytesIO(wav), dtype="int16")
    data_at = wav.index(b"data") + 8
    block_bytes = int.from_bytes(wav[32:34], "little")
    first = adpcm.decode(wav[data_at : data_at + block_bytes])
    second = adpcm.decode(wav[data_at + block_bytes : data_at + 2 * block_bytes])
    # In a WAV the predictor is the first sample of its block; on our wire it is state only.
    assert first.tolist() == expected[1 : 1 + len(first)].tolist()
    assert second.tolist() == expected[len(first) + 2 : 2 * len(first) + 2].tolist()


def test_speech_like_sound_survives_block_by_block() -> None:
    t = np.arange(16000) / 16000
    signal = (9000 * np.sin(2 * np.pi * 180 * t) * np.sin(2 * np.pi * 3 * t)).astype(np.int16)
    encoder = adpcm.Encoder()
    blocks = [encoder.encode(signal[at : at + 320]) for at in range(0, len(signal), 320)]
    assert sum(map(len, blocks)) == 50 * (4 + 160)
    heard = np.concatenate([adpcm.decode(block) for block in blocks]).astype(float)
    noise = heard - signal
    assert 10 * np.log10(np.mean(signal.astype(float) ** 2) / np.mean(noise**2)) > 20


@given(st.binary(max_size=60))
def test_garbage_is_samples_or_a_device_fault(garbage: bytes) -> None:
    with suppress(DeviceFault):
        assert len(adpcm.decode(garbage)) == 2 * (len(garbage) - 4)
