"""How long a window is, and where a long utterance is cut."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.audio import SPEECH_RATE
from gateway.engines.stt.windows import (
    BUCKET_FRAMES,
    FULL_FRAMES,
    LONGEST_S,
    WindowMode,
    cut,
    positions,
    token_limit,
    window_frames,
)


@pytest.mark.parametrize(
    ("mode", "seconds", "window_s"),
    [
        ("full", 0.0, 30.0),
        ("full", 3.0, 30.0),
        ("safe", 0.0, 10.0),
        ("safe", 8.0, 10.0),
        ("safe", 8.2, 10.5),
        ("safe", 29.0, 30.0),
        ("fast", 0.0, 1.5),
        ("fast", 3.0, 4.5),
        ("fast", 3.2, 4.5),
        ("fast", 3.3, 5.0),
        ("fast", 29.0, 30.0),
        ("fast", 30.0, 30.0),
    ],
)
def test_windows(mode: str, seconds: float, window_s: float) -> None:
    assert window_frames(WindowMode(mode), round(seconds * 100), 80) == window_s * 100


@given(st.sampled_from(WindowMode), st.integers(0, FULL_FRAMES), st.integers(20, 400))
def test_a_window_holds_its_utterance_fits_others_and_is_never_as_long_as_a_spectrogram_is_high(
    mode: WindowMode, frames: int, mels: int
) -> None:
    window = window_frames(mode, frames, mels)
    assert frames <= window <= FULL_FRAMES
    assert window % BUCKET_FRAMES == 0
    assert positions(window) != mels


@given(st.floats(0, 100), st.integers(0, 1000))
def test_parts_are_all_of_an_utterance_and_none_is_too_long(seconds: float, seed: int) -> None:
    speech = np.random.default_rng(seed).standard_normal(round(seconds * SPEECH_RATE), np.float32)
    parts = list(cut(speech))
    assert all(0 < len(part) <= LONGEST_S * SPEECH_RATE for part in parts)
    if parts:
        np.testing.assert_array_equal(np.concatenate(parts), speech)
    else:
        assert not len(speech)


def test_a_long_utterance_is_cut_in_a_pause() -> None:
    speech = np.random.default_rng(1).standard_normal(40 * SPEECH_RATE, np.float32)
    speech[25 * SPEECH_RATE : 25 * SPEECH_RATE + SPEECH_RATE // 2] *= 0.01
    first, second = cut(speech)
    assert 25 <= len(first) / SPEECH_RATE <= 25.5
    assert len(second) / SPEECH_RATE == pytest.approx(40 - len(first) / SPEECH_RATE)


def test_longer_utterances_may_be_written_with_more_tokens_up_to_a_limit() -> None:
    assert [token_limit(frames) for frames in (0, 300, 1000, 3000)] == [8, 38, 108, 224]
