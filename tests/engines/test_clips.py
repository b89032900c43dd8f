"""Whatever fails, there is something to hear."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from gateway.audio import SPEECH_RATE
from gateway.engines.clips import CLIP_NOTES, CLIP_TEXTS, clip, clip_file
from gateway.errors import ErrorCode


@pytest.mark.parametrize("language", CLIP_TEXTS)
@pytest.mark.parametrize("name", CLIP_TEXTS["en"])
def test_every_text_has_been_spoken(name: str, language: str) -> None:
    pcm = clip(name, language)
    assert pcm.rate == SPEECH_RATE
    assert pcm.samples.dtype == np.int16
    # espeak says 10 to 20 characters in a second: the clip is this text's, or at least one as long.
    assert 9 < len(CLIP_TEXTS[language][name]) / pcm.seconds < 25
    assert np.abs(pcm.samples).max() > 20_000


def test_every_language_has_the_same_clips_and_no_file_is_left_over() -> None:
    for language, texts in CLIP_TEXTS.items():
        assert texts.keys() == CLIP_TEXTS["en"].keys()
        folder = Path(str(clip_file("busy", language))).parent
        assert {file.name for file in folder.iterdir()} == {f"{name}.flac" for name in texts}


@pytest.mark.parametrize("code", ErrorCode)
@pytest.mark.parametrize("language", ["es", "en", "de"])
def test_every_error_can_be_heard(code: ErrorCode, language: str) -> None:
    assert clip(code, language).seconds > 0.5


def test_another_language_is_answered_in_english() -> None:
    assert clip("busy", "de") is clip("busy", "en")
    assert clip("busy", "de") is not clip("busy", "es")


def test_codes_without_a_clip_of_their_own_share_one() -> None:
    assert clip(ErrorCode.STORE_FAILED, "es") is clip("internal", "es")
    assert clip(ErrorCode.NO_SPEECH, "es") is clip("nothing_heard", "es")


@pytest.mark.parametrize("name", CLIP_NOTES)
def test_a_sound_is_short_soft_and_the_same_in_every_language(name: str) -> None:
    pcm = clip(name, "es")
    assert pcm is clip(name, "de")
    assert 0.5 < pcm.seconds < 1
    assert 3_000 < np.abs(pcm.samples).max() < 15_000
    # An encoder that gets no more holds back what comes last: here that is silence.
    assert np.abs(pcm.samples[-int(0.17 * pcm.rate) :]).max() == 0


def test_a_name_that_is_nothing_is_refused() -> None:
    with pytest.raises(KeyError, match="no clip 'hurray'"):
        clip("hurray", "es")


def test_a_clip_is_a_file_that_any_player_plays() -> None:
    with clip_file("nothing_heard", "es").open("rb") as file:
        assert soundfile.info(file).format == "FLAC"
