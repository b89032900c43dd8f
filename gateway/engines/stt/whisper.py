"""Whisper as its steps: find the speech, its spectrogram, encode, detect the language, decode.

faster-whisper loads the model and brings the mel filters, the tokenizer and the Silero model; encoding and decoding are
CTranslate2's own. What `WhisperModel.transcribe` adds (the 30 s window whatever the length, timestamps, one utterance
at a time) is what this leaves out. Every method blocks and may be called from several threads at once.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gateway.engines.stt.windows import FULL_FRAMES

_LONGEST_TEXT: Final = 448
"""Positions of the decoder: prompt and text."""

_MULTIPLIED: Final = 16
"""Frames that are multiplied at once: few enough for the matrix library to stay in one thread."""

Rows = NDArray[np.generic]
"""What the encoder gives for one window, shape (1, positions, width), in the memory of the processor."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """What the decoder wrote for one window, and how sure it was.

    `log_probability` is the average of a token, the end included; `repetition` is how many times smaller the text
    gets when it is compressed; `at_limit` tells that the text did not end by itself.
    """

    text: str
    tokens: tuple[int, ...]
    log_probability: float
    repetition: float
    at_limit: bool


@dataclass(frozen=True, slots=True)
class Window:
    """An encoded window with what its decoding needs."""

    rows: Rows
    language: str
    token_limit: int


class Whisper:
    """A loaded model."""

    def __init__(self, model: Any, *, beam_size: int) -> None:
        """`model` is a `faster_whisper.WhisperModel`; a `beam_size` of 1 is greedy."""
        from faster_whisper.tokenizer import Tokenizer
        from faster_whisper.transcribe import get_suppressed_tokens

        self._model = model
        self._beam_size = beam_size
        features = model.feature_extractor
        self._hop: int = features.hop_length
        self._taper = np.hanning(features.n_fft + 1)[:-1].astype(np.float32)
        self._filters: NDArray[np.float32] = features.mel_filters.astype(np.float32)
        self._special = Tokenizer(model.hf_tokenizer, model.model.is_multilingual, task="transcribe", language="en")
        self._suppressed = list(get_suppressed_tokens(self._special, [-1]))
        self._end_of_text: int = self._special.eot

    @property
    def languages(self) -> frozenset[str]:
        """The codes of the languages that the model knows."""
        if not self._model.model.is_multilingual:
            return frozenset({"en"})
        # faster-whisper names also those that came with later models.
        return frozenset(code for code in self._model.supported_languages if self._language_token(code) is not None)

    @property
    def mels(self) -> int:
        """How many values a frame of the spectrogram has."""
        return int(self._model.model.n_mels)

    @property
    def device(self) -> str:
        """Where it computes: `cpu` or `cuda`."""
        return str(self._model.model.device)

    def speech_in(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """The parts of `samples` (16 kHz) in which somebody speaks, joined; empty if nobody does."""
        from faster_whisper.vad import collect_chunks, get_speech_timestamps

        if not len(samples):
            return samples
        chunks, _ = collect_chunks(samples, get_speech_timestamps(samples))
        return np.concatenate(chunks)

    def spectrogram(self, speech: NDArray[np.float32]) -> NDArray[np.float32]:
        """The log-mel spectrogram of at most 30 s of `speech`, shape (mels, frames).

        To a rounding the one of faster-whisper's feature extractor, without the threads of the matrix library: for
        so little work they cost seven times what it takes, on cores that other utterances could have.
        """
        size = len(self._taper)
        padded = np.pad(np.pad(speech, (0, self._hop)), size // 2, mode="reflect")
        frames = np.lib.stride_tricks.sliding_window_view(padded, size)[:: self._hop][:-1]
        spectrum = np.fft.rfft(frames * self._taper)
        power = spectrum.real**2 + spectrum.imag**2
        mels = np.concatenate(
            [power[at : at + _MULTIPLIED] @ self._filters.T for at in range(0, len(power), _MULTIPLIED)]
        )
        logarithm = np.log10(np.maximum(mels, 1e-10))
        scaled: NDArray[np.float32] = (np.maximum(logarithm, logarithm.max() - 8) + 4) / 4
        return scaled[:-1].T[:, :FULL_FRAMES]

    def encode(self, spectrograms: Sequence[NDArray[np.float32]], window: int) -> list[Rows]:
        """Encode spectrograms together, each padded to `window` frames, as many as the longest has or more."""
        from ctranslate2 import DataType, StorageView

        # Zeros, as faster-whisper pads; models answer to it as they do there.
        stacked = np.zeros((len(spectrograms), self.mels, window), np.float32)
        for row, spectrogram in zip(stacked, spectrograms, strict=True):
            row[:, : spectrogram.shape[1]] = spectrogram
        # To the processor's memory also from a GPU: windows that were encoded apart are joined for decoding there.
        encoded = self._model.model.encode(StorageView.from_array(stacked), to_cpu=True)
        if encoded.dtype == DataType.bfloat16:
            encoded = encoded.to(DataType.float32)
        return list(np.array(encoded)[:, np.newaxis])

    def detect(self, rows: Rows) -> str:
        """The most probable language of an encoded window."""
        from ctranslate2 import StorageView

        if not self._model.model.is_multilingual:
            return "en"
        (languages,) = self._model.model.detect_language(StorageView.from_array(rows))
        token: str = languages[0][0]
        return token.removeprefix("<|").removesuffix("|>")

    def decode(self, windows: Sequence[Window]) -> list[Decoded]:
        """Decode windows of equal length together; each gives what it would give alone."""
        from ctranslate2 import StorageView

        longest = max(window.token_limit for window in windows)
        prompts = [self._prompt(window.language) for window in windows]
        rows = windows[0].rows if len(windows) == 1 else np.concatenate([window.rows for window in windows])
        results = self._model.model.generate(
            StorageView.from_array(rows),
            prompts,
            beam_size=self._beam_size,
            max_length=_max_length(longest, prompts[0]),
            return_scores=True,
            suppress_tokens=self._suppressed,
        )
        return [self._decoded(result, window.token_limit) for result, window in zip(results, windows, strict=True)]

    def no_speech(self, window: Window) -> float:
        """The probability that nobody speaks in a window. Apart from `decode`, for which it would be a token more of
        every utterance, and is of interest where the words are improbable."""
        from ctranslate2 import StorageView

        prompt = self._prompt(window.language)
        (result,) = self._model.model.generate(
            StorageView.from_array(window.rows),
            [prompt],
            beam_size=1,
            max_length=_max_length(1, prompt),
            return_no_speech_prob=True,
        )
        return float(result.no_speech_prob)

    def _prompt(self, language: str) -> list[int]:
        tokenizer = self._special
        if not self._model.model.is_multilingual:
            return [tokenizer.sot, tokenizer.no_timestamps]
        return [tokenizer.sot, self._language_token(language), tokenizer.transcribe, tokenizer.no_timestamps]

    def _language_token(self, code: str) -> Any:
        return self._model.hf_tokenizer.token_to_id(f"<|{code}|>")

    def _decoded(self, result: Any, limit: int) -> Decoded:
        tokens = result.sequences_ids[0]
        # The score is the average without the end, of which the sum has it nevertheless.
        log_probability = result.scores[0] * len(tokens) / (len(tokens) + 1)
        at_limit = len(tokens) >= limit
        # In a batch a window is decoded up to the limit of the longest.
        tokens = tuple(token for token in tokens[:limit] if token < self._end_of_text)
        text: str = self._model.hf_tokenizer.decode(list(tokens))
        encoded = text.strip().encode()
        repetition = len(encoded) / len(zlib.compress(encoded))
        return Decoded(text, tokens, log_probability, repetition, at_limit)


def _max_length(tokens: int, prompt: Sequence[int]) -> int:
    """What CTranslate2 has to be told for a text of `tokens`: it takes half of this, or this less the prompt, for the
    text, whichever is less."""
    return min(_LONGEST_TEXT, max(2 * tokens, tokens + len(prompt)))
