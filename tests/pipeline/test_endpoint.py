"""Where speech ends."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.pipeline.endpoint import WINDOW_MS, Endpoint, Phase

VOICE, UNSURE, QUIET = 0.9, 0.4, 0.1


def phases(endpoint: Endpoint, *probabilities: float) -> list[Phase]:
    return [endpoint.push(probability) for probability in probabilities]


def test_silence_alone_never_ends_anything() -> None:
    assert set(phases(Endpoint(700), *[QUIET] * 1000)) == {Phase.WAITING}


@pytest.mark.parametrize(("end_of_speech_ms", "windows"), [(700, 22), (704, 22), (705, 23), (32, 1), (1, 1)])
def test_speech_ends_after_that_much_silence(end_of_speech_ms: int, windows: int) -> None:
    endpoint = Endpoint(end_of_speech_ms)
    phases(endpoint, QUIET, VOICE)
    heard = phases(endpoint, *[QUIET] * windows)
    assert heard == [Phase.PAUSED] * (windows - 1) + [Phase.ENDED]
    assert windows * WINDOW_MS >= end_of_speech_ms > (windows - 1) * WINDOW_MS


def test_a_voice_in_the_pause_begins_it_anew() -> None:
    endpoint = Endpoint(700)
    heard = phases(endpoint, VOICE, *[QUIET] * 21, VOICE, *[QUIET] * 22)
    assert heard.index(Phase.ENDED) == len(heard) - 1


@pytest.mark.parametrize("probability", [0.35, 0.4, 0.5])
def test_what_is_neither_voice_nor_quiet_changes_nothing_but_takes_time(probability: float) -> None:
    assert phases(Endpoint(700), *[probability] * 50)[-1] is Phase.WAITING
    assert phases(Endpoint(700), VOICE, *[probability] * 50)[-1] is Phase.SPEAKING
    paused = phases(Endpoint(700), VOICE, QUIET, *[probability] * 21)
    assert paused[-1] is Phase.ENDED


def test_after_the_end_only_a_voice_begins_again() -> None:
    endpoint = Endpoint(64)
    assert phases(endpoint, VOICE, QUIET, QUIET)[-1] is Phase.ENDED
    assert phases(endpoint, QUIET, UNSURE, QUIET) == [Phase.WAITING] * 3
    assert phases(endpoint, VOICE, QUIET, QUIET) == [Phase.SPEAKING, Phase.PAUSED, Phase.ENDED]
    assert phases(endpoint, VOICE) == [Phase.SPEAKING]


def test_another_end_of_speech_counts_at_once() -> None:
    endpoint = Endpoint(1250)
    phases(endpoint, VOICE, *[QUIET] * 9)
    endpoint.wait_for(300)
    assert phases(endpoint, QUIET) == [Phase.ENDED]


def test_what_nobody_has_heard_ends_speech_but_is_not_known_to_be_quiet() -> None:
    endpoint = Endpoint(128)
    endpoint.push(VOICE)
    assert [(endpoint.push(None), endpoint.quiet_windows) for _ in range(3)] == [(Phase.PAUSED, 0)] * 3
    assert (endpoint.push(QUIET), endpoint.quiet_windows) == (Phase.ENDED, 1)


@given(st.lists(st.floats(0, 1)), st.integers(1, 2000))
def test_there_is_never_more_pause_than_the_limit(probabilities: list[float], end_of_speech_ms: int) -> None:
    endpoint = Endpoint(end_of_speech_ms)
    pause = 0
    for probability in probabilities:
        pause = pause + 1 if endpoint.push(probability) is Phase.PAUSED else 0
        assert pause * WINDOW_MS < end_of_speech_ms
