"""What an operator may ask over MQTT, by the verbs below, each answered once."""

import asyncio
import logging
from collections import deque
from typing import Any

from pydantic_core import from_json, to_json

from gateway.broker.protocol import Broker, Incoming
from gateway.config import Settings
from gateway.errors import BrokerUnavailable, DeviceFault, OperationRefused, StoreError
from gateway.operations import OFFSET_MAX, SESSIONS_LISTED, SESSIONS_LISTED_MAX, Operations
from gateway.personalities import Target, named_target
from gateway.store import SessionSummary
from gateway.values import TurnKind
from gateway.wire.announcements import parse_announcement_request
from gateway.wire.topics import Topics

log = logging.getLogger(__name__)

VERBS = ("stats", "sessions", "forget", "cleanup", "say", "ask", "set", "settings", "discover")
WAITING_MAX = 64
REQUEST_MAX_BYTES = 64 * 1024
LIST_MAX_BYTES = 512 * 1024
"""An answer's list ends before it is larger: brokers refuse large messages, and may end the connection for one."""
VERB_MAX = 64
"""Characters of a verb that is still answered: on the topic that it names."""
_NO_CHANGES = ("session_id", "group", "transaction")
"""What a `set` holds beside what it changes."""


class Requests:
    """Answers requests, one after the other."""

    def __init__(self, settings: Settings, broker: Broker, operations: Operations) -> None:
        self._settings = settings
        self._topics = Topics(settings.root_topic)
        self._broker = broker
        self._operations = operations
        self._waiting: deque[tuple[str, bytes]] = deque()
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.refused = 0

    def route(self, incoming: Incoming) -> bool:
        """Take a request for its turn; False if it is on no request's topic. Never blocks."""
        verb = self._topics.parse_request(incoming.topic)
        if verb is None:
            return False
        if incoming.retained:
            log.warning("ignored a retained request %r: it would be done anew at every start", verb[:VERB_MAX])
            return True
        if len(verb) > VERB_MAX:
            return True
        if len(self._waiting) >= WAITING_MAX:
            self.refused += 1
            log.warning("%d requests wait; one more for %r was dropped", WAITING_MAX, verb)
            return True
        self._waiting.append((verb, incoming.payload))
        self._wake.set()
        return True

    async def start(self) -> None:
        self._task = asyncio.create_task(self._work(), name="requests")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _work(self) -> None:
        while True:
            while self._waiting:
                verb, payload = self._waiting.popleft()
                await self._answer(verb, payload)
            self._wake.clear()
            await self._wake.wait()

    async def _answer(self, verb: str, payload: bytes) -> None:
        transaction: Any = None
        data: Any = None
        error: str | None = None
        try:
            body = _body(payload, REQUEST_MAX_BYTES)
            transaction = body.get("transaction")
            data = await self._do(verb, body)
        except (OperationRefused, StoreError) as exc:
            error = str(exc)
        except Exception:
            log.exception("the request %r broke", verb)
            error = "an unexpected defect; see the gateway's log"
        response = {"status": "error" if error else "ok", "data": data, "error": error, "transaction": transaction}
        try:
            await self._broker.publish(self._topics.response(verb), to_json(response), qos=1)
        except BrokerUnavailable as exc:
            log.warning("the answer to the request %r could not be sent: %s", verb, exc)
        except Exception:
            # An operator misses one answer; the next request is answered all the same.
            log.exception("the answer to the request %r could not be sent", verb)

    async def _do(self, verb: str, body: dict[str, Any]) -> Any:
        match verb:
            case "stats":
                return await self._operations.statistics()
            case "sessions":
                return await self._list_sessions(body)
            case "forget":
                return await self._forget(body)
            case "cleanup":
                return await self._cleanup(body)
            case "set":
                return await self._set(body)
            case "settings":
                return (await self._operations.personality(_target(verb, body))).report()
            case "discover":
                self._operations.discover()
                return None
            case "say" | "ask":
                return await self._announce(TurnKind(verb), body)
            case _:
                raise OperationRefused(f"unknown request {verb!r}; there are: {', '.join(VERBS)}")

    async def _list_sessions(self, body: dict[str, Any]) -> list[dict[str, Any]]:
        limit = _whole(body, "limit", SESSIONS_LISTED, 1, SESSIONS_LISTED_MAX)
        offset = _whole(body, "offset", 0, 0, OFFSET_MAX)
        listed: list[dict[str, Any]] = []
        size = 0
        for session in await self._operations.list_sessions(limit, offset):
            summary = _summary(session)
            size += len(to_json(summary))
            if listed and size > LIST_MAX_BYTES:
                break
            listed.append(summary)
        return listed

    async def _forget(self, body: dict[str, Any]) -> Any:
        spelling = body.get("session_id")
        if not isinstance(spelling, str):
            raise OperationRefused('forget needs {"session_id": "…"}')
        device, messages = await self._operations.forget(spelling)
        return {"session_id": device, "messages": messages}

    async def _announce(self, kind: TurnKind, body: dict[str, Any]) -> Any:
        try:
            request = parse_announcement_request(body, self._settings.text_max_chars)
        except DeviceFault as fault:
            raise OperationRefused(fault.message) from fault
        announced = await self._operations.announce(kind, request)
        return {
            "id": announced.id,
            "ttl_s": announced.ttl_s,
            "devices": list(announced.devices),
            "refused": dict(announced.refused),
        }

    async def _set(self, body: dict[str, Any]) -> Any:
        changes = {name: value for name, value in body.items() if name not in _NO_CHANGES}
        return (await self._operations.change_personality(_target("set", body), changes)).report()

    async def _cleanup(self, body: dict[str, Any]) -> Any:
        days = body.get("days", self._settings.cleanup_days)
        dry_run = body.get("dry_run", False)
        if isinstance(days, bool) or not isinstance(days, int | float) or not days >= 0:
            raise OperationRefused(f"days is a number of 0 or more, not {days!r}")
        if not isinstance(dry_run, bool):
            raise OperationRefused(f"dry_run is true or false, not {dry_run!r}")
        erased = await self._operations.clean_up(days, dry_run=dry_run)
        return {
            "days": days,
            "dry_run": dry_run,
            "removed": len(erased),
            "session_ids": [session.session_id for session in erased],
        }


def _body(payload: bytes, limit: int) -> dict[str, Any]:
    if len(payload) > limit:
        raise OperationRefused(f"a request of {len(payload)} bytes is larger than {limit}")
    if not payload.strip():
        return {}
    try:
        body = from_json(payload, allow_inf_nan=False)
    except ValueError as exc:
        raise OperationRefused(f"the request is not JSON: {exc}") from exc
    if not isinstance(body, dict):
        raise OperationRefused("a request is a JSON object, such as {}")
    return body


def _target(verb: str, body: dict[str, Any]) -> Target:
    device, group = body.get("session_id"), body.get("group")
    if not isinstance(device, str | None) or not isinstance(group, str | None) or (device is None) == (group is None):
        raise OperationRefused(f'{verb} needs {{"session_id": "…"}} or {{"group": "…"}}')
    return named_target(device, group)


def _whole(body: dict[str, Any], name: str, default: int, least: int, most: int) -> int:
    value = body.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise OperationRefused(f"{name} is a whole number from {least} to {most}, not {value!r}")
    return value


def _summary(session: SessionSummary) -> dict[str, Any]:
    return {
        "session_id": session.session_id,
        "created_at": session.created_at.isoformat(),
        "updated_at": session.updated_at.isoformat(),
        "message_count": session.message_count,
        "device_info": dict(session.device_info),
    }
