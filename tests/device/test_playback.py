"""What a board would have heard, by a clock that the test turns."""

import pytest

from gateway.device.playback import Playback
from tests.device.peer import mp3_of

SECOND = 6000
"""Bytes of a second at 48 kbit/s."""
MP3 = mp3_of(6.0)


def test_audio_that_comes_in_time_never_runs_dry() -> None:
    playback = Playback(2000)
    for second in range(5):
        playback.receive(MP3[second * SECOND : (second + 1) * SECOND], float(second))
    report = playback.report
    assert (report.dry_count, report.audio_ms, report.peak_ms) == (0, 5000, 1000)
    assert not report.overflowed
    assert playback.ends_at == 5.0


def test_a_late_chunk_is_a_gap_as_long_as_it_was_late() -> None:
    playback = Playback(2000)
    playback.receive(MP3[:SECOND], 10.0)
    playback.receive(MP3[SECOND : 2 * SECOND], 11.25)
    report = playback.report
    assert (report.dry_count, report.dry_ms) == (1, pytest.approx(250))
    assert playback.ends_at == 12.25


def test_more_than_the_board_holds_is_seen() -> None:
    playback = Playback(2000)
    for second in range(3):
        playback.receive(MP3[second * SECOND : (second + 1) * SECOND], 0.5 * second)
    assert playback.report.peak_ms == 2000
    assert not playback.report.overflowed
    playback.receive(MP3[3 * SECOND : 4 * SECOND], 1.5)
    assert playback.report.overflowed


def test_what_is_no_mp3_lasts_no_time() -> None:
    playback = Playback(2000)
    playback.receive(b"no audio at all", 0.0)
    playback.receive(b"", 1.0)
    assert playback.report.audio_ms == 0


def test_a_board_with_a_pre_buffer_begins_later_and_forgives_a_late_chunk() -> None:
    quarter = SECOND // 4
    at_once, pre_buffered = Playback(2000), Playback(2000, pre_buffer_ms=300)
    for playback in (at_once, pre_buffered):
        playback.receive(MP3[:quarter], 0.0)
        assert (playback.ends_at is None) is (playback is pre_buffered)
        playback.receive(MP3[quarter : 2 * quarter], 0.2)
        playback.receive(MP3[2 * quarter : 3 * quarter], 0.6)
    assert (at_once.report.dry_count, at_once.report.dry_ms) == (1, pytest.approx(100))
    assert pre_buffered.report.dry_count == 0
    assert pre_buffered.ends_at == pytest.approx(0.95)
    # What it holds is counted from the first chunk on, as the gateway counts it.
    assert pre_buffered.report.peak_ms == pytest.approx(300)


def test_a_reply_shorter_than_the_pre_buffer_is_played_at_its_end() -> None:
    playback = Playback(2000, pre_buffer_ms=300)
    playback.receive(MP3[: SECOND // 4], 0.0)
    playback.finish(0.1)
    assert playback.ends_at == pytest.approx(0.35)
    playback.finish(9.0)
    assert playback.ends_at == pytest.approx(0.35)
