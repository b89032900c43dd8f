"""What an operator may have done while the gateway runs, whoever asks: over MQTT, over HTTP, or the gateway itself."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from gateway.config import Settings
from gateway.errors import OperationRefused
from gateway.events import CLEANUP, FORGET, AssistantChosen, Event, SessionsErased
from gateway.personalities import Personalities, Shown, Target
from gateway.recipients import Directory
from gateway.session import DirectQuestion, new_announcement_id
from gateway.sessions import Sessions
from gateway.store import ErasedSession, SessionSummary, Store
from gateway.values import DeviceAddress, DeviceId, TurnKind, TurnRecord, parse_device_id
from gateway.wire.announcements import AnnouncementRequest

SESSIONS_LISTED = 100
"""In one answer, unless the request says otherwise; up to `SESSIONS_LISTED_MAX`."""
SESSIONS_LISTED_MAX = 1000
OFFSET_MAX = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Announced:
    """An announcement that was taken: its id, for how many seconds it may wait, the devices that will speak it, and why
    others will not, by the name that they were called."""

    id: str
    ttl_s: float
    devices: tuple[DeviceId, ...]
    refused: Mapping[str, str]


class Operations:
    """Each method may raise `OperationRefused`, and `StoreError` when the database fails."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        sessions: Sessions,
        statistics: Callable[[], Awaitable[dict[str, Any]]],
        online: Callable[[DeviceId], bool],
        emit: Callable[[Event], None],
        tell_home_assistant: Callable[[], None] | None,
    ) -> None:
        """`online` says whether a device is connected now. `tell_home_assistant` has everything told to it anew; None:
        it is told nothing."""
        self._settings = settings
        self._store = store
        self._sessions = sessions
        self.statistics = statistics
        self._online = online
        self._emit = emit
        self._tell_home_assistant = tell_home_assistant
        self._personalities = Personalities(settings, store)
        self._directory = Directory(settings, store, sessions, online)

    async def list_sessions(self, limit: int = SESSIONS_LISTED, offset: int = 0) -> list[SessionSummary]:
        """Conversations, the most recently active first."""
        return await self._store.sessions(limit, offset)

    async def forget(self, spelling: str) -> tuple[DeviceId, int]:
        """Erase a device's conversation; return its id and how many messages it had."""
        device = named_device(spelling)
        messages = await self._sessions.forget(device)
        if messages is None:
            raise OperationRefused(f"there is no session {device}")
        return device, messages

    async def conversation(self, spelling: str, limit: int) -> list[TurnRecord]:
        """The newest `limit` turns of a device, oldest first."""
        device = named_device(spelling)
        if await self._store.session(device) is None:
            raise OperationRefused(f"there is no session {device}")
        return await self._store.turns(device, limit)

    def ask(self, spelling: str, audio: bytes) -> tuple[DeviceId, DirectQuestion]:
        """Have a sound file answered as if the device had sent it; the reply comes back here."""
        device = named_device(spelling)
        question = DirectQuestion(audio)
        if not self._sessions.ask(device, question):
            raise OperationRefused("the gateway is ending, or as many devices as it serves are busy; ask again")
        return device, question

    def abort(self, spelling: str) -> None:
        """End what the gateway does for a device: it falls silent."""
        self._sessions.abort(named_device(spelling))

    async def announce(self, kind: TurnKind, request: AnnouncementRequest) -> Announced:
        """Have several devices speak (`say`), or answer as if it had been asked there (`ask`). What becomes of it is
        told by the event `announcement` of each device."""
        announcement = request.announcement(kind, new_announcement_id(), self._settings.announcement_ttl_s)
        found = await self._directory.find(request.to)
        devices = tuple(found.devices)
        reasons = await asyncio.gather(*(self._sessions.announce(device, announcement) for device in devices))
        refused = {str(device): reason for device, reason in zip(devices, reasons, strict=True) if reason is not None}
        refused |= found.refused
        reached = tuple(device for device in devices if device not in refused)
        if not reached:
            raise OperationRefused("; ".join(f"{name}: {reason}" for name, reason in refused.items()))
        return Announced(announcement.id, announcement.ttl_s, reached, refused)

    async def personality(self, target: Target) -> Shown:
        """Who answers on a device, or on those of a group, and where that is said."""
        return await self._personalities.show(target)

    async def change_personality(self, target: Target, changes: Mapping[str, Any]) -> Shown:
        """Say who answers, from the next turn on; a value that is None is no longer said."""
        shown = await self._personalities.change(target, changes)
        if target.device is not None:
            self._emit(AssistantChosen(DeviceAddress(target.device, target.device), *shown.assistant))
        return shown

    def discover(self) -> None:
        """Have Home Assistant told of every entity once more."""
        if self._tell_home_assistant is None:
            raise OperationRefused("Home Assistant is told nothing: set home_assistant_discovery, to homeassistant say")
        self._tell_home_assistant()

    async def clean_up(self, days: float, *, dry_run: bool = False) -> list[ErasedSession]:
        """Erase what has been idle for `days`, and what is in memory and on the broker of those devices. One that is
        online stays known: it has lost its conversation only."""
        try:
            erased = await self._store.cleanup(days, dry_run, datetime.now(UTC))
        except ValueError as exc:
            raise OperationRefused(str(exc)) from exc
        if erased and not dry_run:
            addresses = [DeviceAddress(session.session_id, session.spelling) for session in erased]
            here = tuple(device for device in addresses if self._online(device.id))
            gone = tuple(device for device in addresses if not self._online(device.id))
            self._sessions.put_away(device.id for device in gone)
            for devices, reason in ((here, FORGET), (gone, CLEANUP)):
                if devices:
                    self._emit(SessionsErased(devices, reason))
        return erased


def named_device(spelling: str) -> DeviceId:
    """The device that somebody means by `spelling`.

    Raises:
        OperationRefused: no device can be called so.
    """
    try:
        return parse_device_id(spelling)
    except ValueError as exc:
        raise OperationRefused(f"session_id {spelling!r}: {exc}") from exc
