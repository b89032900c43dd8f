"""Raw PCM: where utterances begin and end, however the stream is cut into messages."""

import itertools

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.errors import ErrorCode
from gateway.pipeline.assemble import (
    Assembler,
    AssemblyLimits,
    Cancelled,
    Closed,
    NeedsSpeechProbability,
    Opened,
    Paused,
    Refused,
    Rejected,
    Resumed,
    Step,
)
from gateway.values import Codec, EndedBy, ReplyForm, Utterance
from tests.pipeline.uplink import Device, heard, opened, started, the_utterance, tone, utterances

WINDOW = 512
PAUSE_WINDOWS = 22
"""700 ms, in whole windows."""
PRE_ROLL_WINDOWS = 9


@pytest.fixture
def device() -> Device:
    return Device()


def voice(windows: float) -> bytes:
    return tone(8000, int(windows * WINDOW))


def quiet(windows: float, value: int = 3) -> bytes:
    return tone(value, int(windows * WINDOW))


def test_anything_else_is_raw_and_ends_with_an_empty_message(device: Device) -> None:
    assert device.send(voice(2)) == [Opened(0x8000, ReplyForm.STREAM)]
    device.now += 0.5
    device.send(voice(2.25))
    device.now += 0.5
    (closed,) = device.send(b"")
    assert isinstance(closed, Closed)
    assert closed.received_s == pytest.approx(1.0)
    utterance = closed.utterance
    assert heard(utterance) == voice(4.25)
    assert (utterance.turn, utterance.codec, utterance.rate) == (0x8000, Codec.PCM, 16000)
    assert (utterance.ended_by, utterance.largest_message) == (EndedBy.MARKER, len(voice(2.25)))


def test_an_empty_message_when_nothing_is_open_is_ignored(device: Device) -> None:
    assert device.send(b"", b"") == []
    device.send(voice(2), b"")
    assert device.send(b"", b"") == []


def test_the_idle_limit_ends_it(device: Device) -> None:
    device.send(voice(2))
    assert device.assembler.deadline == device.now + 1.0
    assert device.wait(0.99) == []
    utterance = the_utterance(device.wait(0.01))
    assert (heard(utterance), utterance.ended_by) == (voice(2), EndedBy.IDLE)


def test_a_sample_may_straddle_two_messages_and_half_a_sample_at_the_end_is_dropped(device: Device) -> None:
    pcm = voice(3)
    device.send(pcm[:7], pcm[7:100], pcm[100:] + b"\x7f")
    assert heard(the_utterance(device.send(b""))) == pcm


def test_an_utterance_of_half_a_sample_has_no_audio(device: Device) -> None:
    steps = device.send(b"\x01", b"")
    assert opened(steps) == [0x8000]
    assert the_utterance(steps).parts == ()


def test_the_end_of_speech_ends_it_and_silence_that_goes_on_opens_nothing(device: Device) -> None:
    steps = device.send(quiet(5), voice(10), quiet(PAUSE_WINDOWS))
    utterance = the_utterance(steps)
    assert utterance.ended_by is EndedBy.SILENCE
    assert heard(utterance) == quiet(5) + voice(10) + quiet(PAUSE_WINDOWS)
    for _ in range(100):
        device.now += 0.5
        assert device.send(quiet(10)) == []


def test_a_stream_in_which_nothing_is_open_is_listened_to_until_nothing_comes_any_more(device: Device) -> None:
    device.send(voice(10), quiet(PAUSE_WINDOWS))
    assert device.wait(0.5) == []
    assert device.assembler.deadline == device.now + 0.5
    assert device.wait(0.5) == []
    assert device.assembler.deadline is None
    assert opened(device.send(voice(10)))


def test_only_speech_opens_the_next_utterance_and_it_keeps_what_came_just_before(device: Device) -> None:
    device.send(voice(10), quiet(PAUSE_WINDOWS), quiet(50, value=4))
    assert device.send(quiet(20, value=5), voice(3)) == [Opened(0x8001, ReplyForm.STREAM)]
    device.now += 0.4
    (closed,) = device.send(voice(1), b"")
    assert isinstance(closed, Closed)
    assert heard(closed.utterance) == quiet(PRE_ROLL_WINDOWS, value=5) + voice(4)
    assert closed.utterance.largest_message == len(voice(3)), "that of the message which it began in"
    assert closed.received_s == pytest.approx(0.4)


def test_audio_after_the_end_point_belongs_to_what_follows(device: Device) -> None:
    steps = device.send(voice(10) + quiet(PAUSE_WINDOWS) + quiet(4, value=4) + voice(6), b"")
    assert [type(step) for step in steps] == [Opened, Closed, Opened, Closed]
    first, second = utterances(steps)
    assert heard(first) == voice(10) + quiet(PAUSE_WINDOWS)
    assert heard(second) == quiet(4, value=4) + voice(6)


@pytest.mark.parametrize("how", ["empty message", "gap"])
def test_after_an_end_of_speech_an_empty_message_or_a_gap_makes_the_next_message_a_fresh_one(
    device: Device, how: str
) -> None:
    device.send(voice(10), quiet(PAUSE_WINDOWS + 3))
    if how == "gap":
        device.now += 1.0
    else:
        assert device.send(b"") == []
    assert opened(device.send(quiet(2))) == [0x8001]
    assert heard(the_utterance(device.send(b""))) == quiet(2)


def test_an_utterance_without_speech_closes_all_the_same(device: Device) -> None:
    assert heard(the_utterance(device.send(quiet(100), b""))) == quiet(100)
    device.send(quiet(10))
    assert the_utterance(device.wait(1.0)).ended_by is EndedBy.IDLE


def test_the_detector_begins_anew_with_each_stream() -> None:
    assembler = Assembler(AssemblyLimits())

    def asked(payload: bytes, now: float) -> list[tuple[bytes, int, bool]]:
        steps = assembler.receive(payload, now)
        needs = [step for step in steps if isinstance(step, NeedsSpeechProbability)]
        assembler.hear([0.1] * sum(step.windows for step in needs), now)
        return [(step.pcm, step.windows, step.fresh) for step in needs]

    assert asked(quiet(0.5), 0.0) == []
    assert asked(quiet(2), 0.1) == [(quiet(2), 2, True)]
    assert asked(quiet(1), 0.2) == [(quiet(1), 1, False)]
    assert asked(quiet(1), 1.2) == [(quiet(1), 1, True)]


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 44100, 48000])
def test_the_rate_is_that_of_the_hello_and_windows_count_in_time(rate: int) -> None:
    device = Device()
    device.assembler.hello_said(rate)
    speech, pause = tone(8000, rate), tone(3, rate)
    utterance = the_utterance(device.send(speech, pause))
    assert utterance.rate == rate
    assert utterance.ended_by is EndedBy.SILENCE
    assert 1.7 <= len(heard(utterance)) / 2 / rate < 1.7 + 2 * 0.032


def test_a_hello_without_a_rate_means_16_khz_and_does_not_change_what_is_open(device: Device) -> None:
    device.assembler.hello_said(8000)
    device.send(voice(1))
    device.assembler.hello_said(None)
    assert the_utterance(device.send(b"")).rate == 8000
    assert the_utterance(device.send(voice(1), b"")).rate == 16000


# The form is fixed


@pytest.mark.parametrize("payload", [started(), b"RIFF" + bytes(40), b"fLaC"], ids=["frame", "WAV", "FLAC"])
def test_within_an_utterance_every_message_is_raw(device: Device, payload: bytes) -> None:
    device.send(voice(1))
    assert device.send(payload) == []
    assert heard(the_utterance(device.send(b""))) == (voice(1) + payload)[: len(voice(1) + payload) // 2 * 2]


def test_a_frame_may_come_when_nothing_is_open(device: Device) -> None:
    device.send(voice(10), quiet(PAUSE_WINDOWS))
    assert opened(device.send(started(turn=5))) == [5]


# Limits


def test_a_stream_that_never_pauses_is_closed_at_the_limit_and_the_rest_of_it_ignored() -> None:
    device = Device(AssemblyLimits(utterance_max_s=1.0))
    steps = device.send(*[voice(1)] * 100)
    (closed,) = [step for step in steps if isinstance(step, Closed)]
    assert closed.too_long
    assert closed.utterance.ended_by is EndedBy.LIMIT
    assert len(heard(closed.utterance)) == 2 * 16000
    assert opened(steps) == [0x8000]
    assert opened(device.send(quiet(PAUSE_WINDOWS), voice(1))) == [0x8001], "a pause makes it a new utterance"


@pytest.mark.parametrize("limit", [16_000, 32 * WINDOW])
def test_exactly_the_limit_is_not_too_long(limit: int) -> None:
    device = Device(AssemblyLimits(utterance_max_s=limit / 16_000))
    (_, closed) = device.send(tone(8000, limit), b"")
    assert isinstance(closed, Closed)
    assert (closed.too_long, closed.utterance.ended_by) == (False, EndedBy.MARKER)
    (_, closed) = device.send(tone(8000, limit + 1), b"")
    assert isinstance(closed, Closed)
    assert (closed.too_long, closed.utterance.ended_by) == (True, EndedBy.LIMIT)
    assert heard(closed.utterance) == tone(8000, limit)


def test_a_message_too_large_becomes_a_turn_that_fails_and_the_rest_of_the_stream_is_ignored() -> None:
    device = Device(AssemblyLimits(message_max_bytes=1000))
    (refused,) = device.send(bytes(1001))
    assert isinstance(refused, Refused)
    assert (refused.turn, refused.reply_form, refused.fault.code) == (
        0x8000,
        ReplyForm.STREAM,
        ErrorCode.AUDIO_TOO_LONG,
    )
    assert device.send(bytes(100), bytes(1001), b"") == []
    assert opened(device.send(bytes(100))) == [0x8001]


def test_a_message_too_large_within_an_utterance_is_dropped_and_told() -> None:
    device = Device(AssemblyLimits(message_max_bytes=1000))
    device.send(tone(1, 100))
    (rejected,) = device.send(bytes(1001))
    assert isinstance(rejected, Rejected)
    assert (rejected.fault.code, rejected.turn) == (ErrorCode.AUDIO_TOO_LONG, 0x8000)
    assert heard(the_utterance(device.send(b""))) == tone(1, 100)


def test_memory_is_bounded_while_nothing_is_open_and_without_a_detector() -> None:
    limits = AssemblyLimits(utterance_max_s=2.0)
    assembler = Assembler(limits)
    steps: list[Step] = []
    for message in range(2000):
        steps += assembler.receive(voice(1), message * 0.032)
    closed = [step for step in steps if isinstance(step, Closed)]
    assert [step.too_long for step in closed] == [True], "an unheard stream counts as quiet"
    assert len(heard(closed[0].utterance)) == 2 * 2 * 16000
    assert len(assembler._raw._audio) < 64 * 1024  # type: ignore[union-attr]


# Interruptions from the gateway's side


def test_a_dropped_utterance_goes_on_being_ignored_until_it_pauses(device: Device) -> None:
    device.send(voice(5.5))
    assert device.assembler.cancel() == [Cancelled(0x8000)]
    assert device.send(voice(5.5), quiet(PAUSE_WINDOWS - 1), voice(5), quiet(PAUSE_WINDOWS)) == []
    assert opened(device.send(voice(1))) == [0x8001]


def test_what_was_dropped_is_not_what_came_just_before_the_next_speech(device: Device) -> None:
    device.send(quiet(20, value=5))
    device.assembler.cancel()
    assert opened(device.send(quiet(2, value=6), voice(2))) == [0x8001]
    assert heard(the_utterance(device.send(b""))) == quiet(2, value=6) + voice(2)


# The end of speech by device


def test_the_end_of_speech_is_that_of_the_hello_and_counts_at_once(device: Device) -> None:
    device.send(voice(3), quiet(10))
    device.assembler.hello_said(None, 300)
    assert heard(the_utterance(device.send(quiet(5)))) == voice(3) + quiet(11)
    device.assembler.hello_said(None)
    assert utterances(device.send(voice(3), quiet(PAUSE_WINDOWS - 1))) == []


# Pauses

PAUSE = 4
"""Windows."""


@pytest.fixture
def told() -> Device:
    """A device whose pauses are told."""
    return Device(AssemblyLimits(pauses=True))


def test_a_pause_that_holds_is_told_once_and_then_comes_the_end(told: Device) -> None:
    steps = told.send(quiet(2), voice(5), *[quiet(1)] * PAUSE_WINDOWS)
    assert [type(step) for step in steps] == [Opened, Paused, Closed]
    assert isinstance(paused := steps[1], Paused)
    assert heard(paused.utterance) == quiet(2) + voice(5) + quiet(PAUSE)
    assert (paused.utterance.turn, paused.utterance.rate, paused.utterance.codec) == (0x8000, 16000, Codec.PCM)


def test_speech_that_goes_on_after_a_pause_is_told(told: Device) -> None:
    steps = told.send(voice(5), quiet(PAUSE), voice(2), quiet(PAUSE + 1), voice(1), quiet(PAUSE - 1), voice(1), b"")
    assert [type(step) for step in steps] == [Opened, Paused, Resumed, Paused, Resumed, Closed]
    assert isinstance(second := steps[3], Paused)
    assert heard(second.utterance) == voice(5) + quiet(PAUSE) + voice(2) + quiet(PAUSE)


def test_silence_alone_is_no_pause_and_neither_is_what_follows_an_end(told: Device) -> None:
    assert [type(step) for step in told.send(quiet(50))] == [Opened]
    assert [type(step) for step in told.send(voice(3), quiet(PAUSE_WINDOWS))] == [Paused, Closed]
    assert told.send(quiet(50)) == []


@pytest.mark.parametrize(
    ("sound", "goes_on"), [(0.1, False), (0.34, False), (0.4, True), (0.9, True), (None, True)], ids=str
)
def test_only_silence_that_was_heard_confirms_a_pause(sound: float | None, goes_on: bool) -> None:
    device = Device(AssemblyLimits(pauses=True))
    device.send(voice(3), quiet(PAUSE))
    steps = device.assembler.receive(quiet(1), device.now)
    assert [type(step) for step in steps] == [NeedsSpeechProbability]
    assert device.assembler.hear([sound], device.now) == ([Resumed()] if goes_on else [])


@pytest.mark.parametrize(("windows", "goes_on"), [(0.5, False), (2, False), (2.1, True)])
@pytest.mark.parametrize("how", ["empty message", "idle limit"])
def test_an_end_confirms_a_pause_unless_too_much_came_that_nobody_listened_to(
    told: Device, windows: float, goes_on: bool, how: str
) -> None:
    told.send(voice(3), quiet(PAUSE))
    # The detector lags behind.
    told.assembler.receive(quiet(windows), told.now)
    told.assembler.hear([], told.now)
    steps = told.send(b"") if how == "empty message" else told.wait(1.0)
    assert [type(step) for step in steps] == ([Resumed] if goes_on else []) + [Closed]


def test_a_detector_that_cannot_keep_up_confirms_nothing() -> None:
    device = Device(AssemblyLimits(pauses=True))
    device.send(voice(3))
    steps: list[Step] = []
    for _ in range(100):
        steps += device.assembler.receive(quiet(1), device.now)
    assert [type(step) for step in steps if not isinstance(step, NeedsSpeechProbability)] == [Closed]


@given(
    st.lists(st.tuples(st.sampled_from([8000, 3]), st.integers(1, 6 * WINDOW)), min_size=1, max_size=14),
    st.booleans(),
)
def test_a_pause_that_is_confirmed_holds_every_word(sounds: list[tuple[int, int]], marked: bool) -> None:
    device = Device(AssemblyLimits(utterance_max_s=2.0, end_of_speech_ms=300, pauses=True))
    steps = device.send(*[tone(value, samples) for value, samples in sounds], *([b""] if marked else []))
    steps += device.wait(2.0)
    paused: Utterance | None = None
    for step in steps:
        if isinstance(step, Paused):
            assert paused is None, "one at a time"
            paused = step.utterance
        elif isinstance(step, Closed) and paused is not None:
            whole = heard(step.utterance)
            assert whole.startswith(heard(paused))
            rest = np.frombuffer(whole[len(heard(paused)) :], "<i2")
            # A part of a window at the end is too short for a word.
            assert np.abs(rest[: len(rest) // WINDOW * WINDOW]).max(initial=0) < 1000
        if not isinstance(step, Paused):
            paused = None


# However it is cut


def cuts_of(pcm: bytes, cuts: list[int]) -> list[bytes]:
    bounds = sorted({0, len(pcm), *(cut % len(pcm) for cut in cuts)})
    return [pcm[a:b] for a, b in itertools.pairwise(bounds)]


def comparable(utterance: Utterance) -> tuple[object, ...]:
    return utterance.turn, utterance.rate, heard(utterance), utterance.ended_by


@given(
    st.lists(st.tuples(st.booleans(), st.integers(1, 6 * WINDOW)), min_size=1, max_size=12),
    st.lists(st.integers(0, 1 << 20), max_size=30),
    st.sampled_from([16000, 11025, 48000]),
    st.booleans(),
)
@example([(True, 2000), (False, 3000), (True, 700)], list(range(1, 12000)), 16000, True)
def test_the_result_does_not_depend_on_how_the_stream_was_cut(
    sounds: list[tuple[bool, int]], cuts: list[int], rate: int, marked: bool
) -> None:
    pcm = b"".join(tone(8000 if loud else 3, samples) for loud, samples in sounds)

    def result(messages: list[bytes]) -> tuple[list[tuple[object, ...]], list[str]]:
        device = Device(AssemblyLimits(utterance_max_s=0.6, end_of_speech_ms=200, pauses=True))
        device.assembler.hello_said(rate)
        steps = device.send(*messages, *([b""] if marked else [])) + device.wait(2.0)
        told = [step.utterance for step in steps if isinstance(step, Closed | Paused)]
        return [comparable(utterance) for utterance in told], [type(step).__name__ for step in steps]

    assert result(cuts_of(pcm, cuts)) == result([pcm])


@given(st.lists(st.tuples(st.binary(max_size=3000), st.floats(0, 2)), max_size=20), st.randoms(use_true_random=False))
def test_whatever_comes_and_is_heard_every_turn_opens_and_ends_once(
    messages: list[tuple[bytes, float]], random: np.random.Generator
) -> None:
    limits = AssemblyLimits(utterance_max_s=0.3, end_of_speech_ms=160, message_max_bytes=2500, pauses=True)
    assembler = Assembler(limits)
    now = 0.0
    steps: list[Step] = []
    for payload, pause in messages:
        for step in assembler.receive(payload, now):
            steps.append(step)
            if isinstance(step, NeedsSpeechProbability):
                steps += assembler.hear([random.random() for _ in range(step.windows)], now)
        now += pause
        steps += assembler.tick(now)
    steps += assembler.tick(now + 10)
    is_open: int | None = None
    for step in steps:
        match step:
            case Opened(turn=turn):
                assert is_open is None
                is_open = turn
            case Closed(utterance=utterance):
                assert is_open == utterance.turn
                is_open = None
    assert is_open is None
