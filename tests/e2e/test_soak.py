"""The soak test, made short (`make firmware-soak` asks a hundred questions), and what it takes sounds for."""

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from benchmarks.soak.__main__ import soak, table
from benchmarks.soak.board import Sound
from benchmarks.soak.sounds import END, END_S, LANGUAGE, MESSAGE, stretches, tone
from benchmarks.soak.turns import Turn, judge
from gateway.audio import SPEECH_RATE, Pcm
from gateway.engines.clips import CLIP_TEXTS, clip
from gateway.engines.encoder import Mp3Encoder
from tests.e2e.board import build_board
from tests.e2e.questions import QUESTIONS, recording
from tests.fakes.openai_server import SPEECH_RATE as ANSWER_RATE

REPLY_RATE = 24_000
"""Hz, of what the board asks for, at 32 kbit/s."""


@pytest.mark.timeout(400)  # it may have to build the board
async def test_questions_with_a_link_that_drops_all_the_time(tmp_path: Path) -> None:
    told: list[str] = []
    result = await soak(build_board(), turns=6, drop_every_s=8, seed=1, folder=tmp_path, tell=told.append)
    if result["defects"]:
        # All of it: an assertion would show the beginning of a list.
        pytest.fail("\n".join([*told, "defects:", *result["defects"]]), pytrace=False)
    assert result["whole"] == 6
    assert result["drops"]
    assert "answered whole 6, " in " ".join(table(result).split())


def answer(number: int, seconds: float) -> Pcm:
    return Pcm(np.frombuffer(tone(number, seconds, last=True).body, "<i2").astype(np.int16), ANSWER_RATE)


def played(*parts: Pcm) -> NDArray[np.int16]:
    """What a board plays of a reply of these parts."""
    encoder = Mp3Encoder(REPLY_RATE, 32)
    mp3 = b"".join(encoder.feed(part) for part in parts) + encoder.finish()
    samples, rate = soundfile.read(io.BytesIO(mp3), dtype="int16")
    assert rate == REPLY_RATE
    return np.asarray(samples, np.int16)


def judged(*sounds: NDArray[np.int16], disturbed: bool = True) -> Turn:
    """A turn whose question was heard, in which the board then played this."""
    heard = tuple(Sound(1.0, 2.0, tuple(stretches(each, REPLY_RATE))) for each in sounds)
    sentences = ["Answer 7 at its end."]
    turn = Turn(7, sentences, 0.0, heard_whole=True, asked=0.5, idle=3.0, sounds=list(heard), disturbed=disturbed)
    judge(turn)
    return turn


@pytest.mark.parametrize("name", CLIP_TEXTS[LANGUAGE])
def test_a_spoken_message_of_the_gateway_is_no_silence_and_not_garbled(name: str) -> None:
    turn = judged(played(clip(name, LANGUAGE)))
    assert (turn.outcome, turn.defects) == ("the gateway said that something failed", [])
    assert judged(played(clip(name, LANGUAGE)), disturbed=False).defects == [f"without a drop: {turn.outcome}"]


def test_a_message_within_an_answer_is_heard_beside_it() -> None:
    heard = stretches(played(answer(7, 1.5), clip("internal", LANGUAGE)), REPLY_RATE)
    assert [each.what for each in heard if each.what != MESSAGE] == [7, END]
    assert sum(each.seconds for each in heard if each.what == MESSAGE) > 2


def test_an_answer_is_heard_to_its_length() -> None:
    first, last = stretches(played(answer(7, 3.0)), REPLY_RATE)
    assert (first.what, last.what) == (7, END)
    assert first.seconds == pytest.approx(3 - END_S, abs=0.1)
    assert judged(played(answer(7, 1.05))).outcome == "whole"


@pytest.mark.parametrize("number", range(len(QUESTIONS)))
def test_other_speech_is_no_message_of_the_gateway(number: int) -> None:
    heard = stretches(played(Pcm(recording(number), SPEECH_RATE)), REPLY_RATE)
    assert MESSAGE not in [each.what for each in heard]


def test_silence_and_noise_are_defects() -> None:
    assert judged().defects == ["silence"]
    assert judged(np.zeros(REPLY_RATE, np.int16)).defects == ["silence"]
    noise = np.random.default_rng(1).integers(-8000, 8000, REPLY_RATE, np.int16)
    assert "garbled" in judged(noise).defects[0]
