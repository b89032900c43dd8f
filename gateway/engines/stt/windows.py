"""How much of Whisper's 30 s window is computed for an utterance, and where a longer one is cut. Pure.

Whisper was trained on windows of 30 s, the rest of them padded; its encoder takes shorter ones too, at a fraction of
the cost. Too short a window makes it repeat itself (docs/recognition.md has the risk of each mode). Lengths are rounded
up to buckets, so that utterances of about the same length can be decoded together.

A frame is 10 ms of the log-mel spectrogram; the encoder gives one position for two of them.
"""

from collections.abc import Iterator
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gateway.audio import SPEECH_RATE

FRAMES_PER_SECOND: Final = 100
FULL_FRAMES: Final = 30 * FRAMES_PER_SECOND
LONGEST_S: Final = 30.0

SAFE_LEAST_FRAMES: Final = 10 * FRAMES_PER_SECOND
SAFE_MARGIN_FRAMES: Final = 2 * FRAMES_PER_SECOND
FAST_MARGIN_FRAMES: Final = 128
"""1.28 s, which another project ships; with 0.16 s the words go wrong."""

BUCKET_FRAMES: Final = 50
"""Half a second: at most 10 ms more work on one core for `base`."""

_TOKENS_BASE, _TOKENS_PER_SECOND = 8, 10
_TOKENS_MOST: Final = 224
"""As many as Whisper's decoder takes after its prompt."""

_CUT_SEARCH_S: Final = 8.0
_CUT_BLOCK: Final = SPEECH_RATE // 10


class WindowMode(StrEnum):
    """How much longer than the utterance the window is."""

    FULL = "full"
    SAFE = "safe"
    FAST = "fast"


def window_frames(mode: WindowMode, frames: int, mels: int) -> int:
    """The window for an utterance of `frames` frames, for a model that takes `mels` values a frame."""
    if mode is WindowMode.FULL:
        return FULL_FRAMES
    if mode is WindowMode.SAFE:
        wanted = max(SAFE_LEAST_FRAMES, frames + SAFE_MARGIN_FRAMES)
    else:
        wanted = frames + FAST_MARGIN_FRAMES
    window = -(-wanted // BUCKET_FRAMES) * BUCKET_FRAMES
    if positions(window) == mels:
        # CTranslate2 takes an encoder's output with as many rows as a spectrogram has for a spectrogram.
        window += BUCKET_FRAMES
    return min(window, FULL_FRAMES)


def positions(frames: int) -> int:
    """How many rows the encoder gives for a window of `frames` frames."""
    return (frames + 1) // 2


def token_limit(frames: int) -> int:
    """The most tokens that an utterance of `frames` frames is written with.

    Nobody speaks faster; the limit ends a repetition that would otherwise go on to the decoder's end.
    """
    return min(_TOKENS_MOST, _TOKENS_BASE + round(_TOKENS_PER_SECOND * frames / FRAMES_PER_SECOND))


def cut(speech: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
    """Cut `speech` (16 kHz) into parts of at most 30 s that are all of it when put together.

    A part ends in the quietest tenth of a second of the last 8 s that it could have: a cut through a word loses it.
    """
    longest = int(LONGEST_S * SPEECH_RATE)
    while len(speech) > longest:
        first = longest - int(_CUT_SEARCH_S * SPEECH_RATE)
        blocks = speech[first:longest].reshape(-1, _CUT_BLOCK)
        end = first + int(np.argmin(np.square(blocks).sum(axis=1))) * _CUT_BLOCK + _CUT_BLOCK // 2
        yield speech[:end]
        speech = speech[end:]
    if len(speech):
        yield speech
