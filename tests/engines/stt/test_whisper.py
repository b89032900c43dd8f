"""Our steps against `WhisperModel.transcribe`: the same words and tokens, alone and together.

The models of the true sizes have random weights: what they write is nonsense, but it hangs on every part of the
computation. Their weights are in 8 bits, as shipped. On processors each row of a batch is then scaled by itself, and
what else is in the batch makes no difference. In float16 on a GPU the order of the sums may differ with the size of the
batch, and with it, now and then, which of two equally probable tokens is written.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from faster_whisper import WhisperModel
from numpy.typing import NDArray

from gateway.engines.choosing import MINIATURE_MODEL
from gateway.engines.stt.hearing import Hearing, Listener, better, doubtful
from gateway.engines.stt.whisper import Decoded, Whisper, Window
from gateway.engines.stt.windows import FULL_FRAMES, WindowMode, positions, token_limit, window_frames
from tests.conformance.speech import silence, spoken
from tests.fakes.random_whisper import SIZES, Size, random_whisper

PROMPT = 4
MINIATURE = "mini-whisper"
TINY_MELS = Size("tiny", 4, 384, 6, mels=128)
"""With the spectrogram of the large models."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def loaded(folder: Path) -> dict[str, WhisperModel]:
    return {
        name: WhisperModel(str(path), device="cpu", compute_type="int8", cpu_threads=1)
        for name, path in (
            (MINIATURE, MINIATURE_MODEL),
            ("tiny", random_whisper(folder, SIZES["tiny"])),
            ("base", random_whisper(folder, SIZES["base"])),
            ("128 mels", random_whisper(folder, TINY_MELS)),
        )
    }


MODELS = (MINIATURE, "tiny", "base", "128 mels")


def utterances() -> list[tuple[NDArray[np.float32], str]]:
    """Speech with its language; of different lengths, with and without silence around."""
    return [
        (spoken("What time is it?", "en-us"), "en"),
        (np.concatenate((silence(3.0), spoken("¿Qué hora es?", "es"), silence(3.0))), "es"),
        (np.concatenate([spoken("¿Qué hora es?", "es+f3")] * 3), "es"),
    ]


def transcribed(
    model: WhisperModel, speech: NDArray[np.float32], language: str, beam_size: int = 1
) -> tuple[str, list[int]]:
    """What faster-whisper itself makes of it, with as many tokens as we allow."""
    whisper = Whisper(model, beam_size=beam_size)
    limit = token_limit(whisper.spectrogram(whisper.speech_in(speech)).shape[1])
    segments, _ = model.transcribe(
        speech,
        language=language,
        beam_size=beam_size,
        temperature=0,
        without_timestamps=True,
        condition_on_previous_text=False,
        vad_filter=True,
        # CTranslate2 takes half of it for the text, the prompt included.
        max_new_tokens=2 * limit - PROMPT,
    )
    heard = list(segments)
    return "".join(segment.text for segment in heard).strip(), [token for segment in heard for token in segment.tokens]


def encoded(model: WhisperModel, speech: NDArray[np.float32], language: str, mode: WindowMode) -> Window:
    """The encoded window of `speech`.

    Of faster-whisper's own spectrogram: ours is the same to a rounding, but a rounding is now and then enough to have
    random weights go another way.
    """
    whisper = Whisper(model, beam_size=1)
    return window_of(whisper, model.feature_extractor(whisper.speech_in(speech))[:, :-1], language, mode)


def window_of(whisper: Whisper, spectrogram: NDArray[np.float32], language: str, mode: WindowMode) -> Window:
    length = window_frames(mode, spectrogram.shape[1], whisper.mels)
    (rows,) = whisper.encode([spectrogram], length)
    return Window(rows, language, token_limit(spectrogram.shape[1]))


def listen(whisper: Whisper, mode: WindowMode, *hearings: Hearing) -> Listener:
    """Take `hearings` through both steps together until they are done."""
    listener = Listener(whisper, mode)
    left = list(hearings)
    while left:
        listener.encode(left)
        for key in {hearing.key for hearing in left if not hearing.done}:
            listener.decode([hearing for hearing in left if not hearing.done and hearing.key == key])
        left = [hearing for hearing in left if not hearing.done]
    return listener


@pytest.mark.parametrize("name", [MINIATURE, "128 mels"])
@pytest.mark.parametrize("samples", [100, 161, 16_000, 480_000])
def test_the_spectrogram_is_faster_whisper_s(loaded: dict[str, WhisperModel], name: str, samples: int) -> None:
    speech = np.resize(spoken("What time is it?", "en-us"), samples)
    expected = loaded[name].feature_extractor(speech)[:, :-1]
    np.testing.assert_allclose(Whisper(loaded[name], beam_size=1).spectrogram(speech), expected, atol=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_the_full_window_gives_what_faster_whisper_gives(loaded: dict[str, WhisperModel], name: str) -> None:
    whisper = Whisper(loaded[name], beam_size=1)
    kinds: set[int] = set()
    for speech, language in utterances()[1:]:
        text, tokens = transcribed(loaded[name], speech, language)
        (decoded,) = whisper.decode([encoded(loaded[name], speech, language, WindowMode.FULL)])
        assert (decoded.text.strip(), list(decoded.tokens)) == (text, tokens)
        kinds.update(tokens)
    # One token for ever would be equal too, and say nothing.
    assert len(kinds) >= 6


def test_all_steps_in_the_full_window_hear_what_faster_whisper_hears(loaded: dict[str, WhisperModel]) -> None:
    for speech, language in utterances():
        hearing = Hearing(speech, language)
        listen(Whisper(loaded[MINIATURE], beam_size=1), WindowMode.FULL, hearing)
        assert hearing.transcript.text == transcribed(loaded[MINIATURE], speech, language)[0]


def test_wider_beams_give_what_faster_whisper_gives(loaded: dict[str, WhisperModel]) -> None:
    speech, language = utterances()[2]
    whisper = Whisper(loaded["tiny"], beam_size=3)
    (decoded,) = whisper.decode([encoded(loaded["tiny"], speech, language, WindowMode.FULL)])
    assert list(decoded.tokens) == transcribed(loaded["tiny"], speech, language, beam_size=3)[1]
    assert list(decoded.tokens) != transcribed(loaded["tiny"], speech, language)[1]


@pytest.mark.parametrize("name", MODELS)
def test_together_gives_what_alone_gives(loaded: dict[str, WhisperModel], name: str) -> None:
    """Different utterances, languages and limits in one batch; the limit of one does not hold for another."""
    whisper = Whisper(loaded[name], beam_size=1)
    windows = [encoded(loaded[name], speech, code, WindowMode.SAFE) for speech, code in utterances() * 2]
    together = whisper.decode(windows)
    alone = [whisper.decode([window])[0] for window in windows]
    assert [decoded.tokens for decoded in together] == [decoded.tokens for decoded in alone]
    assert len({decoded.tokens for decoded in alone}) == 3
    for one, other in zip(together, alone, strict=True):
        assert one.at_limit == other.at_limit
        if not one.at_limit:
            assert one.log_probability == pytest.approx(other.log_probability, abs=1e-3)


@pytest.mark.parametrize("name", ["tiny", MINIATURE])
def test_encoding_together_gives_what_encoding_alone_gives(loaded: dict[str, WhisperModel], name: str) -> None:
    whisper = Whisper(loaded[name], beam_size=1)
    spectrograms = [whisper.spectrogram(whisper.speech_in(speech)) for speech, _ in utterances()]
    together = whisper.encode(spectrograms, 1000)
    for rows, spectrogram in zip(together, spectrograms, strict=True):
        (alone,) = whisper.encode([spectrogram], 1000)
        np.testing.assert_allclose(rows, alone, atol=1e-3)


@pytest.mark.parametrize("name", ["tiny", "128 mels"])
def test_no_window_is_taken_for_a_spectrogram(loaded: dict[str, WhisperModel], name: str) -> None:
    """CTranslate2 would encode an output of as many rows as a spectrogram has a second time, and fail or write
    something else. No window of ours is so long, whatever the utterance."""
    whisper = Whisper(loaded[name], beam_size=1)
    trap = 2 * whisper.mels
    assert positions(trap) == whisper.mels
    for mode in WindowMode:
        assert trap not in {window_frames(mode, frames, whisper.mels) for frames in range(FULL_FRAMES + 1)}
    speech = np.concatenate([spoken("What time is it?", "en-us")] * 2)[:4000]
    spectrogram = whisper.spectrogram(speech)
    (rows,) = whisper.encode([spectrogram], trap + 50)
    assert whisper.decode([Window(rows, "en", 8)])[0].tokens


def test_a_doubtful_short_window_is_heard_again_in_full(loaded: dict[str, WhisperModel]) -> None:
    """Texts of random weights mostly do not end: a runaway, which the limit of tokens ends. So is that of the full
    window; which of the two is believed hangs on their probabilities."""
    whisper = Whisper(loaded["base"], beam_size=1)
    speech, language = utterances()[2]
    hearing = Hearing(speech, language)
    listener = listen(whisper, WindowMode.FAST, hearing)
    assert listener.retried == 1
    assert hearing.window == FULL_FRAMES
    spectrogram = whisper.spectrogram(whisper.speech_in(speech))
    full, short = (
        whisper.decode([window_of(whisper, spectrogram, language, mode)])[0]
        for mode in (WindowMode.FULL, WindowMode.FAST)
    )
    assert full.text != short.text
    assert hearing.transcript.text == better(full, short).text.strip()
    assert listen(whisper, WindowMode.FULL, Hearing(speech, language)).retried == 0


@pytest.mark.parametrize("mode", WindowMode)
def test_every_part_of_a_long_utterance_is_heard(loaded: dict[str, WhisperModel], mode: WindowMode) -> None:
    hearing = Hearing(np.zeros(0, np.float32), None)
    hearing.parts = deque([spoken("What time is it?", "en-us"), spoken("¿Qué hora es?", "es")])
    listen(Whisper(loaded[MINIATURE], beam_size=1), mode, hearing)
    # The second is taken to be in the language of the first, as in `transcribe`; the miniature writes it all the same.
    assert hearing.transcript.language == "en"
    assert hearing.transcript.text.startswith("What time is it? ")
    assert len(hearing.transcript.text) > len("What time is it? ")


class OneAtATime(Whisper):
    """As a GPU is whose memory holds no more."""

    def decode(self, windows: Sequence[Window]) -> list[Decoded]:
        if len(windows) > 1:
            raise RuntimeError("out of memory")
        return super().decode(windows)


def test_what_could_not_be_decoded_together_can_be_decoded_alone(loaded: dict[str, WhisperModel]) -> None:
    listener = Listener(OneAtATime(loaded[MINIATURE], beam_size=1), WindowMode.SAFE)
    hearings = [Hearing(speech, language) for speech, language in utterances()[:2]]
    listener.encode(hearings)
    with pytest.raises(RuntimeError):
        listener.decode(hearings)
    for hearing in hearings:
        listener.decode([hearing])
    assert [hearing.transcript.text for hearing in hearings] == ["What time is it?", "¿Qué hora es?"]


def said(text: str = "yes", *, log: float = -0.3, repetition: float = 1.0, limit: bool = False) -> Decoded:
    return Decoded(text, (1,), log, repetition, limit)


@pytest.mark.parametrize(
    ("decoded", "expected"),
    [
        (said(), False),
        (said(log=-1.1), True),
        (said(repetition=2.5), True),
        (said(limit=True), True),
    ],
)
def test_what_is_doubtful(decoded: Decoded, expected: bool) -> None:
    assert doubtful(decoded) is expected


def test_of_two_attempts_the_better_is_believed() -> None:
    good, improbable, babble = said("good"), said("improbable", log=-1.5), said("babble", log=-0.1, repetition=5.0)
    assert better(good, None) is good
    assert better(good, babble) is good
    assert better(improbable, babble) is improbable
    assert better(babble, improbable) is improbable
    assert better(improbable, said("less", log=-2.0)) is improbable


class Unsure(Whisper):
    """As if it was as sure of its words as `log`, and as sure that nobody spoke as `silent`."""

    def __init__(self, model: WhisperModel, *, log: float, silent: float) -> None:
        super().__init__(model, beam_size=1)
        self._log, self._silent = log, silent

    def decode(self, windows: Sequence[Window]) -> list[Decoded]:
        return [replace(decoded, log_probability=self._log) for decoded in super().decode(windows)]

    def no_speech(self, window: Window) -> float:
        return self._silent


@pytest.mark.parametrize(
    ("log", "silent", "text"),
    [(-1.2, 0.7, ""), (-0.5, 0.7, "What time is it?"), (-1.2, 0.1, "What time is it?")],
)
@pytest.mark.parametrize("mode", [WindowMode.FULL, WindowMode.SAFE])
def test_improbable_words_where_probably_nobody_speaks_are_silence(
    loaded: dict[str, WhisperModel], mode: WindowMode, log: float, silent: float, text: str
) -> None:
    hearing = Hearing(*utterances()[0])
    listen(Unsure(loaded[MINIATURE], log=log, silent=silent), mode, hearing)
    assert hearing.transcript.text == text


class FullAtFirst(Unsure):
    """As a GPU whose memory is full when it is asked for the second time whether anybody speaks."""

    asked = 0

    def no_speech(self, window: Window) -> float:
        self.asked += 1
        if self.asked == 2:
            raise RuntimeError("out of memory")
        return super().no_speech(window)


def test_what_could_not_be_judged_together_can_be_judged_alone(loaded: dict[str, WhisperModel]) -> None:
    listener = Listener(FullAtFirst(loaded[MINIATURE], log=-1.2, silent=0.1), WindowMode.FULL)
    hearings = [Hearing(speech, language) for speech, language in utterances()[:2]]
    listener.encode(hearings)
    with pytest.raises(RuntimeError):
        listener.decode(hearings)
    for hearing in hearings:
        listener.decode([hearing])
    assert [hearing.transcript.text for hearing in hearings] == ["What time is it?", "¿Qué hora es?"]


@pytest.mark.parametrize("name", MODELS)
def test_that_nobody_speaks_is_as_probable_as_faster_whisper_says(loaded: dict[str, WhisperModel], name: str) -> None:
    model, (speech, language) = loaded[name], utterances()[0]
    segments, _ = model.transcribe(
        speech,
        language=language,
        beam_size=1,
        temperature=0,
        without_timestamps=True,
        vad_filter=True,
        no_speech_threshold=None,
    )
    expected = next(iter(segments)).no_speech_prob
    window = encoded(model, speech, language, WindowMode.FULL)
    assert Whisper(model, beam_size=1).no_speech(window) == pytest.approx(expected, rel=0.02)
