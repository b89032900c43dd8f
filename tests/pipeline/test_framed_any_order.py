"""Whatever the link does to frames, it must not change what is heard."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import ErrorCode
from gateway.pipeline.assemble import Cancelled, Closed, Opened, Rejected, Step
from gateway.wire.frame import HEADER, Flag
from tests.pipeline.uplink import (
    PCM_20_MS,
    Device,
    ended,
    framed,
    heard,
    in_order,
    opened,
    the_utterance,
    tone,
)


@st.composite
def shuffled_frames(draw: st.DrawFn) -> tuple[int, list[int]]:
    """How many frames, and the order in which they arrive: none more than 8 late, some twice."""
    frames = draw(st.integers(1, 40))
    keys = [seq + draw(st.floats(0, 8.9)) for seq in range(frames)]
    arrival = sorted(range(frames), key=lambda seq: keys[seq])
    for seq in draw(st.lists(st.sampled_from(range(frames)), max_size=10)):
        arrival.insert(draw(st.integers(arrival.index(seq) + 1, len(arrival))), seq)
    return frames, arrival


@given(shuffled_frames())
def test_shuffled_and_duplicated_frames_are_heard_as_if_in_order(case: tuple[int, list[int]]) -> None:
    frames, arrival = case
    device = Device()
    flags = [Flag.START] + [Flag.NONE] * frames
    steps = device.send(*[framed(seq, flags=flags[seq]) for seq in arrival], ended(frames))
    utterance = the_utterance(steps)
    assert opened(steps) == [1]
    assert heard(utterance) == in_order(frames)
    assert utterance.link.lost == 0
    assert utterance.link.duplicate == len(arrival) - frames


@given(st.sets(st.integers(1, 39)))
def test_every_frame_is_heard_or_counted_lost(lost: set[int]) -> None:
    device = Device()
    frames = [framed(seq, flags=Flag.START if seq == 0 else Flag.NONE) for seq in range(40) if seq not in lost]
    utterance = the_utterance(device.send(*frames, ended(40)))
    assert utterance.link.lost == len(lost)
    expected = b"".join(tone(0 if seq in lost else seq + 1, PCM_20_MS) for seq in range(40))
    assert heard(utterance) == expected


@given(
    st.lists(
        st.tuples(
            st.integers(0, 0xFFFF) | st.integers(0, 3),
            st.integers(0, 0xFFFF) | st.integers(0, 20),
            st.integers(0, 8),
            st.integers(0, 4),
            st.sampled_from([0, 8000, 16000, 48000]),
            st.binary(max_size=20),
            st.floats(0, 6),
        ),
        max_size=30,
    )
)
def test_whatever_frames_come_every_turn_opens_and_ends_once(
    messages: list[tuple[int, int, int, int, int, bytes, float]],
) -> None:
    device = Device()
    steps: list[Step] = []
    for turn, seq, flags, codec, rate, audio, pause in messages:
        steps += device.send(HEADER.pack(b"VG", 1, flags, codec, 0, turn, seq, rate) + audio)
        steps += device.wait(pause)
    steps += device.wait(10)
    is_open: int | None = None
    for step in steps:
        match step:
            case Opened(turn=turn):
                assert is_open is None
                is_open = turn
            case Closed(utterance=utterance):
                assert is_open == utterance.turn
                is_open = None
            case Cancelled(turn=turn):
                assert is_open == turn
                is_open = None
            case Rejected(fault=fault):
                assert fault.code is ErrorCode.BAD_FRAME
    assert is_open is None
