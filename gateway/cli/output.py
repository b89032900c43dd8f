"""What commands print for scripts."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from gateway.values import TurnRecord

if TYPE_CHECKING:
    from gateway.store import SessionSummary


def print_json(data: object) -> None:
    """Print `data` on standard output. Times are ISO 8601, in UTC."""
    typer.echo(json.dumps(data, ensure_ascii=False, indent=2, default=_encode))


def session_data(session: "SessionSummary") -> dict[str, Any]:
    """A conversation as the request topic tells it, and how the device spells itself."""
    return {
        "session_id": session.session_id,
        "spelling": session.spelling,
        "created_at": session.created_at,
        "updated_at": session.updated_at,
        "message_count": session.message_count,
        "device_info": session.device_info,
    }


def turn_data(turn: TurnRecord) -> dict[str, Any]:
    """A turn, with everything that is known of it."""
    data = asdict(turn)
    del data["device"]
    return data | {"timings_ms": data.pop("timings"), "audio": data.pop("link")}


def _encode(value: object) -> object:
    match value:
        case datetime():
            return value.isoformat()
        case Mapping():
            return dict(value)
        case Path():
            return str(value)
    raise TypeError(f"{type(value).__name__} has no form in JSON")
