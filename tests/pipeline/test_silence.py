import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from gateway.audio import Pcm
from gateway.engines.tts.espeak_library import EspeakLibrary
from gateway.pipeline.silence import PRE_ROLL_MS, SilenceTrimmer, longest_pause_ms

RATE = 1000
"""One sample a millisecond."""

Samples = NDArray[np.int16]


def silence(ms: int) -> Samples:
    return np.zeros(ms, np.int16)


def sound(ms: int) -> Samples:
    return np.full(ms, 5000, np.int16)


def said(trimmer: SilenceTrimmer, text: str, audio: Samples, size: int = 60, rate: int = RATE) -> Samples:
    """What `trimmer` gives of a piece that comes in blocks of `size` samples."""
    trimmer.begin(text)
    given = [pcm for at in range(0, len(audio), size) for pcm in trimmer.feed(Pcm(audio[at : at + size], rate))]
    given += trimmer.end()
    return np.concatenate([silence(0), *(pcm.samples for pcm in given)])


def runs(samples: Samples) -> list[int]:
    """How long each stretch of sound (above 0) and of silence (below 0) is."""
    edges = np.flatnonzero(np.diff(samples != 0)) + 1
    return [len(run) if run[0] else -len(run) for run in np.split(samples, edges) if len(run)]


def test_a_reply_begins_with_its_first_sound() -> None:
    given = said(SilenceTrimmer(), "Hola.", np.concatenate([silence(430), sound(500)]))
    assert runs(given) == [-round(PRE_ROLL_MS), 500]


def test_the_pause_between_two_pieces_is_not_longer_than_their_text_wants() -> None:
    trimmer = SilenceTrimmer()
    piece = np.concatenate([silence(300), sound(400), silence(700)])
    texts = ["Buenos días,", "hoy hace mucho", "sol. ¿Y mañana?", "Llueve."]
    given = [said(trimmer, text, piece) for text in texts]
    assert runs(np.concatenate(given)) == [
        -round(PRE_ROLL_MS), 400, -200, 400, -60, 400, -370, 400, -350,
    ]  # fmt: skip


def test_a_pause_that_is_short_already_is_left_as_the_voice_made_it() -> None:
    trimmer = SilenceTrimmer()
    first = said(trimmer, "Buenos días,", np.concatenate([silence(5), sound(400), silence(30)]))
    second = said(trimmer, "Ana.", np.concatenate([silence(90), sound(400), silence(10)]))
    assert runs(np.concatenate([first, second])) == [-5, 400, -120, 400, -10]


def test_pauses_inside_a_piece_are_kept() -> None:
    piece = np.concatenate([sound(300), silence(900), sound(300)])
    assert runs(said(SilenceTrimmer(), "Uno. Dos.", piece)) == [300, -900, 300]


def test_silence_that_stays_is_not_held_back() -> None:
    trimmer = SilenceTrimmer()
    trimmer.begin("Hola.")
    list(trimmer.feed(Pcm(sound(100), RATE)))
    assert sum(len(pcm.samples) for pcm in trimmer.feed(Pcm(silence(200), RATE))) == 200


def test_what_is_held_back_is_bounded() -> None:
    trimmer = SilenceTrimmer()
    trimmer.begin("Hola.")
    list(trimmer.feed(Pcm(sound(100), RATE)))
    given = sum(len(pcm.samples) for _ in range(100) for pcm in trimmer.feed(Pcm(silence(100), RATE)))
    assert given == 100 * 100 - 2000


@pytest.mark.parametrize("audio", [silence(400), silence(1700), np.full(400, 60, np.int16)])
def test_a_piece_without_any_loud_sound_is_given_whole(audio: Samples) -> None:
    assert len(said(SilenceTrimmer(), "Shh", audio)) == len(audio)


def test_very_long_silence_before_the_sound_is_passed_on_as_it_comes() -> None:
    trimmer = SilenceTrimmer()
    trimmer.begin("Hola.")
    given = [sum(len(pcm.samples) for pcm in trimmer.feed(Pcm(silence(300), RATE))) for _ in range(6)]
    assert given == [0, 0, 0, 1200, 300, 300]


def test_another_voice_at_another_rate_goes_on_with_the_piece() -> None:
    trimmer = SilenceTrimmer()
    trimmer.begin("Hola.")
    given = [*trimmer.feed(Pcm(np.concatenate([sound(100), silence(800)]), RATE))]
    given += [*trimmer.feed(Pcm(sound(400), 2 * RATE)), *trimmer.end()]
    assert [(pcm.rate, len(pcm.samples)) for pcm in given] == [(1000, 100), (1000, 350), (1000, 450), (2000, 400)]


@given(
    st.lists(st.tuples(st.booleans(), st.integers(1, 1500)), max_size=8),
    st.lists(st.integers(20, 400), min_size=1, max_size=2),
)
def test_what_is_given_does_not_depend_on_the_cuts(parts: list[tuple[bool, int]], sizes: list[int]) -> None:
    audio = np.concatenate([silence(0), *(sound(ms) if loud else silence(ms) for loud, ms in parts)])
    ways = []
    for size in (*sizes, 10_000):
        trimmer = SilenceTrimmer()
        ways.append([said(trimmer, "Hola,", audio, size), said(trimmer, "Ana.", audio, size)])
    for way in ways:
        assert all(map(np.array_equal, way, ways[-1]))
        # No sound is lost.
        assert np.count_nonzero(way[0]) == np.count_nonzero(audio)


@pytest.mark.parametrize("text", ["Frío.", "Sí.", "Jamón.", "Zapato.", "Hay.", "¿Quién?", "Pues."])
@pytest.mark.parametrize("level", [1.0, 0.25])
def test_soft_consonants_are_kept(text: str, level: float) -> None:
    espeak = EspeakLibrary()
    espeak.start()
    blocks: list[Samples] = []

    def take(block: Samples) -> bool:
        blocks.append(block)
        return True

    espeak.speak(text, "es", on_audio=take)
    rate = espeak.sample_rate
    spoken = (np.concatenate(blocks) * level).astype(np.int16)
    padded = np.concatenate([np.zeros(rate // 3, np.int16), spoken])
    trimmed = said(SilenceTrimmer(), text, padded, size=rate // 16, rate=rate)
    lost = padded[: padded.tobytes().index(trimmed.tobytes()) // 2]
    # What was cut away at the beginning is silence, not the quiet start of a consonant.
    assert len(lost) > rate // 4
    assert np.abs(lost.astype(int)).max() <= 10


@pytest.mark.parametrize(("text", "ms"), [("Ya.", 350), ("«¿Ya?»", 350), ("Ya,", 180), ("ya", 40), ("", 40)])
def test_a_pause_is_as_long_as_the_text_wants(text: str, ms: float) -> None:
    assert longest_pause_ms(text) == ms
