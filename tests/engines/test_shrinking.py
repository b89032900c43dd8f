import io

import numpy as np
import pytest
import soundfile

from gateway.audio import Pcm
from gateway.engines.encoder import Mp3Encoder
from gateway.engines.shrinking import shrink


def reply(rate: int, seconds: float) -> bytes:
    encoder = Mp3Encoder(rate, 64)
    tone = (8000 * np.sin(np.arange(int(rate * seconds)) * 0.1)).astype(np.int16)
    return encoder.feed(Pcm(tone, rate)) + encoder.finish()


@pytest.mark.parametrize("rate", [16_000, 24_000, 44_100])
@pytest.mark.parametrize("share", [0.9, 0.6])
def test_a_reply_becomes_small_enough_and_keeps_its_length(rate: int, share: float) -> None:
    mp3 = reply(rate, 3.0)
    smaller = shrink(mp3, rate, int(len(mp3) * share))
    assert smaller is not None
    assert len(mp3) * share / 2 < len(smaller) <= len(mp3) * share
    info = soundfile.info(io.BytesIO(smaller))
    assert info.samplerate == rate
    assert info.duration == pytest.approx(3.0, abs=0.2)


def test_what_no_bit_rate_makes_small_enough_is_left_alone() -> None:
    assert shrink(reply(24_000, 3.0), 24_000, 500) is None


def test_what_is_no_mp3_is_left_alone() -> None:
    assert shrink(bytes(100), 24_000, 50) is None
