"""What the page is shown, as JSON. Pure. What was said is left out unless it may be shown."""

import json
from dataclasses import asdict
from datetime import datetime
from typing import Any

from gateway.events import EnginePassedOver, Event, Failed, Thinking
from gateway.reports.live import DeviceState
from gateway.store import SessionSummary
from gateway.values import DeviceAddress, TurnRecord
from gateway.wire.messages import event_json

_TEXTS = ("text", "reply", "heard", "said")


def shown_event(event: Event, at: datetime, *, with_text: bool) -> dict[str, Any] | None:
    """`event` as it is told over MQTT; None if it is none of a turn's."""
    if isinstance(event, Thinking):
        # Over MQTT this is a state only.
        return {"event": "thinking", "turn": event.turn, "session_id": event.device.id, "ts": at.isoformat()}
    told = event_json(event, at)
    if told is None:
        return None
    body: dict[str, Any] = json.loads(told)
    if not with_text:
        body.update({name: None for name in _TEXTS if name in body})
    return body


def shown_turn(record: TurnRecord, *, with_text: bool) -> dict[str, Any]:
    """A turn that has ended."""
    return {
        "session_id": record.device.id,
        "turn": record.turn,
        "kind": record.kind.value,
        "outcome": record.outcome.value,
        "started_at": record.started_at.isoformat(),
        "language": record.language,
        "error": record.error,
        "cached": record.cached,
        "heard": record.heard if with_text else None,
        "said": record.said if with_text else None,
        "bytes": record.bytes,
        "timings_ms": asdict(record.timings),
    }


def shown_error(event: Failed | EnginePassedOver, at: datetime) -> dict[str, Any]:
    """Something that went wrong."""
    common = {"ts": at.isoformat(), "turn": event.turn, "stage": event.stage.value, "message": event.message}
    if isinstance(event, EnginePassedOver):
        more = {"code": "engine_passed_over", "retryable": True, "engine": event.engine, "rest_s": event.rest_s}
        return {**common, "session_id": event.device.id, **more}
    session_id = event.device.id if event.device is not None else None
    return {**common, "session_id": session_id, "code": event.code.value, "retryable": event.retryable}


def shown_state(state: DeviceState, *, online: bool, with_text: bool) -> dict[str, Any]:
    """What a device is doing."""
    last = state.last
    return {
        "session_id": state.device.id,
        "spelling": state.device.spelling,
        "state": state.activity.value,
        "turn": state.turn,
        "online": online,
        "last": last
        and {
            "turn": last.turn,
            "outcome": last.outcome.value,
            "heard": last.heard if with_text else None,
            "said": last.said if with_text else None,
            "total_ms": last.timings.total,
        },
    }


def shown_device(
    state: DeviceState | None, session: SessionSummary | None, *, online: bool, with_text: bool
) -> dict[str, Any]:
    """A device: what it is doing, and what is kept of it. One of the two must be known."""
    if state is None:
        assert session is not None
        state = DeviceState(DeviceAddress(session.session_id, session.spelling))
    info = dict(session.device_info) if session is not None else {}
    return {
        **shown_state(state, online=online, with_text=with_text),
        "name": str(info.get("name") or ""),
        "device_info": info,
        "message_count": session.message_count if session is not None else 0,
        "created_at": session.created_at.isoformat() if session is not None else None,
        "updated_at": session.updated_at.isoformat() if session is not None else None,
    }


def shown_conversation(turns: list[TurnRecord]) -> list[dict[str, Any]]:
    """What was said in `turns`, oldest first."""
    return [
        {"role": role, "text": text, "created_at": turn.started_at.isoformat()}
        for turn in turns
        for role, text in (("user", "" if turn.kind == "say" else turn.heard), ("assistant", turn.said))
        if text
    ]
