"""The log: one line an event, with its session and turn, for people or for machines. Private text only if asked."""

import json
import logging
import sys
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, Literal

from gateway.events import (
    AnnouncementChanged,
    EnginePassedOver,
    Event,
    Failed,
    Listening,
    PresenceChanged,
    SentenceReady,
    SessionsErased,
    Speaking,
    Thinking,
    ToolCalled,
    Transcribed,
    TurnEnded,
)
from gateway.limits import SlidingWindow

log = logging.getLogger("gateway.turns")

QUIET_LIBRARIES = (
    *("httpx", "httpx2", "httpcore", "httpcore2", "openai", "faster_whisper", "urllib3", "gtts", "huggingface_hub"),
    *("peewee", "uvicorn", "uvicorn.error"),
)
"""Libraries that speak up only when something is wrong: below that they log a line a request, or, with every SQL
statement, what people said."""

DEVICE_LINES = 300
DEVICE_WINDOW_S = 60.0
"""Half as much again as a device needs that begins as many turns as it may, `turns_per_minute` as it is by default."""
DEVICES_WATCHED = 1000
"""Devices whose lines are counted, those that were heard of last."""

LogFormat = Literal["human", "json"]


def configure(log_format: LogFormat, level: str) -> None:
    """Send the log of the whole process to standard error. Called once, by the command that is run."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonFormatter() if log_format == "json" else _HumanFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for library in QUIET_LIBRARIES:
        logging.getLogger(library).setLevel(logging.WARNING)


class LogListener:
    """Writes a line for each event, and no more than `DEVICE_LINES` in `DEVICE_WINDOW_S` for one device: a flood of
    utterances, or of faults, must not fill the disk. The next line of the device says how many were left out."""

    def __init__(self, *, with_text: bool, monotonic: Callable[[], float] = time.monotonic) -> None:
        """`with_text` logs what was heard and said; it is private, so it is left out unless asked for. `monotonic` is
        the clock, in seconds."""
        self._with_text = with_text
        self._monotonic = monotonic
        self._windows: OrderedDict[str, SlidingWindow] = OrderedDict()

    def __call__(self, event: Event) -> None:
        match event:
            case Listening():
                self._turn_line(logging.INFO, "listening", event)
            case Thinking():
                self._turn_line(logging.DEBUG, "thinking", event)
            case Transcribed():
                self._turn_line(
                    logging.INFO,
                    "transcript",
                    event,
                    language=event.language,
                    chars=len(event.text),
                    **self._text(event.text),
                )
            case SentenceReady():
                self._turn_line(
                    logging.DEBUG, "sentence", event, index=event.index, chars=len(event.text), **self._text(event.text)
                )
            case Speaking():
                self._turn_line(logging.INFO, "speaking", event)
            case EnginePassedOver():
                self._turn_line(
                    logging.WARNING,
                    "engine_passed_over",
                    event,
                    stage=event.stage,
                    engine=event.engine,
                    rest_s=event.rest_s,
                    message=event.message,
                )
            case ToolCalled():
                private = {"arguments": event.arguments, "result": event.result} if self._with_text else {}
                self._turn_line(logging.INFO, "tool", event, tool=event.name, ok=event.ok, ms=event.ms, **private)
            case Failed():
                self._line(
                    logging.WARNING,
                    "error",
                    session=event.device.id if event.device else event.topic_spelling or "",
                    turn=event.turn,
                    code=event.code,
                    stage=event.stage,
                    message=event.message,
                )
            case TurnEnded():
                self._ended(event)
            case PresenceChanged():
                self._line(logging.INFO, "online" if event.online else "offline", session=event.device.id)
            case AnnouncementChanged():
                announcement = event.announcement
                self._line(
                    logging.INFO,
                    "announcement",
                    session=event.device.id,
                    turn=event.turn,
                    id=announcement.id,
                    status=event.status,
                    priority=announcement.priority,
                    **({"reason": event.reason} if event.reason else {}),
                )
            case SessionsErased():
                for device in event.devices:
                    _line(logging.INFO, "erased", session=device.id, reason=event.reason)

    def _ended(self, event: TurnEnded) -> None:
        record = event.record
        timings = {f"{name}_ms": value for name, value in asdict(record.timings).items() if value is not None}
        details: dict[str, Any] = {"kind": record.kind, "outcome": record.outcome, "chunks": record.chunks}
        details["bytes"] = record.bytes
        if record.cached:
            details["cached"] = True
        if record.error:
            details["error"] = record.error
        details |= {name: count for name, count in asdict(record.link).items() if count}
        if self._with_text:
            details |= {"heard": record.heard, "said": record.said}
        self._line(logging.INFO, "done", session=record.device.id, turn=record.turn, **details, **timings)

    def _turn_line(
        self,
        level: int,
        name: str,
        event: Listening | Thinking | Transcribed | SentenceReady | Speaking | EnginePassedOver | ToolCalled,
        **details: Any,
    ) -> None:
        self._line(level, name, session=event.device.id, turn=event.turn, **details)

    def _line(self, level: int, name: str, *, session: str, **details: Any) -> None:
        if not log.isEnabledFor(level):
            return
        window = self._windows.pop(session, None) or SlidingWindow(DEVICE_LINES, DEVICE_WINDOW_S)
        self._windows[session] = window
        if len(self._windows) > DEVICES_WATCHED:
            self._windows.popitem(last=False)
        if not window.allows(self._monotonic()):
            return
        if left_out := window.take_refused():
            _line(logging.WARNING, "lines_left_out", session=session, lines=left_out)
        _line(level, name, session=session, **details)

    def _text(self, text: str) -> dict[str, str]:
        return {"text": text} if self._with_text else {}


def _line(level: int, name: str, **fields: Any) -> None:
    log.log(level, name, extra={"fields": fields})


class _HumanFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created).astimezone()
        fields: dict[str, Any] = getattr(record, "fields", {})
        parts = [f"{moment:%H:%M:%S}.{moment.microsecond // 1000:03d}", f"{record.levelname:<7}", record.getMessage()]
        parts += [f"{name}={_shown(value)}" for name, value in fields.items() if value is not None]
        line = " ".join(parts)
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "ts": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
        }
        line |= getattr(record, "fields", {})
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def _shown(value: Any) -> str:
    """Quote what would not read as one field, line breaks included: what a device sends cannot forge a log line."""
    text = str(value)
    return (
        text if text and all(c.isprintable() and c not in ' ="' for c in text) else json.dumps(text, ensure_ascii=False)
    )
