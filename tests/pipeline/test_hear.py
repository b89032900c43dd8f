"""What a recogniser gets of what arrived, where that is easy to get wrong."""

import io

import numpy as np
import pytest
import soundfile

from gateway.audio import SPEECH_RATE
from gateway.pipeline.hear import decode
from gateway.values import Codec, EndedBy, ReplyForm, Utterance


@pytest.mark.parametrize("factor", [1.0, 2.0, 1e18, 1e38])
def test_floating_point_files_never_exceed_full_scale(factor: float) -> None:
    """Whisper's spectrogram of louder speech overflows, and what it then writes down nobody has said."""
    said = np.sin(np.arange(SPEECH_RATE) / 10).astype(np.float32) * np.float32(factor)
    said[:3] = np.nan, np.inf, -np.inf
    file = io.BytesIO()
    soundfile.write(file, said, SPEECH_RATE, format="WAV", subtype="FLOAT")
    utterance = Utterance(1, ReplyForm.MESSAGE, Codec.FILE, 0, (file.getvalue(),), EndedBy.MARKER, 1)
    heard = decode(utterance, 30.0).samples
    assert np.array_equal(heard, np.clip(np.nan_to_num(said, posinf=0.0, neginf=0.0), -1.0, 1.0))
