"""Reading sound files."""

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile

from gateway.device import read_sound
from gateway.errors import ConfigurationError
from tests.device.peer import mp3_of, tone


def test_any_rate_and_channels_become_what_a_microphone_hears(tmp_path: Path) -> None:
    mono = tone(0.5, 44_100).samples
    file = tmp_path / "stereo.flac"
    soundfile.write(file, np.stack([mono, mono], axis=1), 44_100)
    speech = read_sound(file)
    assert (speech.rate, len(speech.samples)) == (16_000, 8000)
    assert np.abs(speech.samples[100:-100] - tone(0.5).samples[100:-100]).max() < 100


def test_a_reply_is_read_from_its_bytes() -> None:
    assert 0.5 <= read_sound(mp3_of(0.5), 24_000).seconds < 0.6


def test_what_is_no_sound_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"missing\.wav cannot be read as sound: there is no such file"):
        read_sound(tmp_path / "missing.wav")
    with pytest.raises(ConfigurationError, match="7 bytes cannot be read as sound"):
        read_sound(b"nothing")
    empty = io.BytesIO()
    soundfile.write(empty, np.zeros(0, dtype=np.int16), 16_000, format="WAV")
    assert read_sound(empty.getvalue()).seconds == 0
