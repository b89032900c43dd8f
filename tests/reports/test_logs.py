"""The log."""

import logging
from collections import Counter

import pytest

from gateway.errors import ErrorCode, Stage
from gateway.events import Failed, Listening, PresenceChanged, ToolCalled
from gateway.reports.logs import DEVICE_LINES, DEVICE_WINDOW_S, DEVICES_WATCHED, LogListener
from gateway.values import DeviceAddress, parse_device_id


def address(spelling: str) -> DeviceAddress:
    return DeviceAddress(parse_device_id(spelling), spelling)


def lines(caplog: pytest.LogCaptureFixture) -> Counter[tuple[str, str]]:
    """How often each line was logged for each session."""
    return Counter((record.getMessage(), record.__dict__["fields"]["session"]) for record in caplog.records)


def test_a_flood_of_one_device_is_logged_in_part_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    now = 0.0
    listener = LogListener(with_text=False, monotonic=lambda: now)
    for number in range(10_000):
        now = number * 0.001
        listener(Listening(address("flood"), number))
    listener(PresenceChanged(address("quiet"), online=True))
    assert lines(caplog) == {("listening", "flood"): DEVICE_LINES, ("online", "quiet"): 1}

    caplog.clear()
    now += DEVICE_WINDOW_S
    listener(Listening(address("flood"), 1))
    assert lines(caplog) == {("lines_left_out", "flood"): 1, ("listening", "flood"): 1}
    assert caplog.records[0].__dict__["fields"]["lines"] == 10_000 - DEVICE_LINES


def test_no_number_of_devices_takes_ever_more_memory(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    listener = LogListener(with_text=False, monotonic=lambda: 0.0)
    for number in range(2 * DEVICES_WATCHED):
        listener(Failed(None, None, ErrorCode.BAD_TOPIC, Stage.RECEIVE, "no id", False, f"no id {number}"))
    assert len(caplog.records) == 2 * DEVICES_WATCHED
    assert len(listener._windows) == DEVICES_WATCHED


def test_what_a_tool_was_given_is_private(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    event = ToolCalled(address("hall"), 3, "home_control", True, 12, '{"entity_ids": ["light.x"]}', "done")
    for with_text in (False, True):
        LogListener(with_text=with_text, monotonic=lambda: 0.0)(event)
    plain = {"session": "hall", "turn": 3, "tool": "home_control", "ok": True, "ms": 12}
    assert [record.__dict__["fields"] for record in caplog.records] == [
        plain,
        plain | {"arguments": '{"entity_ids": ["light.x"]}', "result": "done"},
    ]
