"""All sessions: which message is whose, and how many there may be."""

import asyncio
import logging
from collections.abc import Iterable, KeysView

from gateway.broker.protocol import Incoming
from gateway.errors import ErrorCode, Stage, StoreError
from gateway.events import Failed, HelloErased
from gateway.limits import SlidingWindow
from gateway.session import FAULT_WINDOW_S, FAULTS_TOLD, DirectQuestion, Session, SessionServices
from gateway.values import Announcement, DeviceAddress, DeviceId, parse_device_id
from gateway.wire.topics import UPLINK, Leaf

log = logging.getLogger(__name__)

_KEPT_BY_BROKER = (Leaf.HELLO, Leaf.ONLINE)

TURNED_AWAY_MAX = 100
"""Devices beyond the limit that may be in memory at a time, to be told so audibly."""

SPELLING_MAX = 256
"""A longer thing in place of a device's id is not answered: the topic to do it on might not even be possible."""


class Sessions:
    """Routes what arrives to the session of its device, making and putting away sessions as needed."""

    def __init__(self, services: SessionServices) -> None:
        self._services = services
        self._sessions: dict[DeviceId, Session] = {}
        self._faults = SlidingWindow(FAULTS_TOLD, FAULT_WINDOW_S)
        self._retained = SlidingWindow(FAULTS_TOLD, FAULT_WINDOW_S)
        self._closed = False

    def route(self, incoming: Incoming) -> bool:
        """Hand a message to its session; False if its topic is no device's. Never blocks."""
        parsed = self._services.topics.parse_device(incoming.topic)
        if parsed is None or parsed[1] not in UPLINK:
            return False
        spelling, leaf = parsed
        try:
            device = parse_device_id(spelling)
        except ValueError as exc:
            if len(spelling) <= SPELLING_MAX:
                self._refuse(spelling, ErrorCode.BAD_TOPIC, str(exc))
            return True
        if incoming.retained and leaf not in _KEPT_BY_BROKER:
            self._ignore_retained(device, incoming.topic)
            return True
        if not incoming.payload and leaf in _KEPT_BY_BROKER:
            if leaf is Leaf.HELLO:
                self._services.turns.emit(HelloErased(DeviceAddress(device, spelling)))
            return True
        session = None if self._closed else self._sessions.get(device) or self._make(device, spelling)
        if session is not None:
            session.post(leaf, incoming.payload, spelling)
        return True

    def __len__(self) -> int:
        return len(self._sessions)

    @property
    def known(self) -> KeysView[DeviceId]:
        """The devices in memory."""
        return self._sessions.keys()

    async def forget(self, device: DeviceId) -> int | None:
        """Erase a conversation, ending its turn; return how many messages it had, or None if there was none.

        Raises:
            StoreError: it could not be erased.
        """
        if self._closed:
            raise StoreError("the gateway is ending; ask again when it is back")
        session = self._sessions.get(device) or self._make(device, device)
        return await session.forget() if session is not None else None

    def ask(self, device: DeviceId, question: DirectQuestion) -> bool:
        """Have `question` answered as if `device` had asked it; False if there is no room for one more device."""
        session = None if self._closed else self._sessions.get(device) or self._make(device, device)
        if session is not None:
            session.ask(question)
        return session is not None

    async def announce(self, device: DeviceId, announcement: Announcement) -> str | None:
        """Have a device speak; return why it will not, if there is no room for it."""
        if self._closed:
            return "the gateway is ending"
        session = self._sessions.get(device) or self._make(device, device)
        if session is None:
            return "as many devices as the gateway serves are busy"
        return await session.announce(announcement)

    def abort(self, device: DeviceId) -> None:
        """End what is done for a device, as its own `abort` does."""
        session = self._sessions.get(device)
        if session is not None:
            session.post(Leaf.CONTROL, b'{"type":"abort"}', device)

    def put_away(self, devices: Iterable[DeviceId]) -> None:
        """Drop what is in memory of devices that were cleaned up."""
        for device in devices:
            session = self._sessions.get(device)
            if session is not None and session.idle:
                del self._sessions[device]

    async def close(self) -> None:
        """End every session's turn and write its record. What arrives from now on is ignored."""
        self._closed = True
        await asyncio.gather(*(session.close() for session in self._sessions.values()))

    def _make(self, device: DeviceId, spelling: str) -> Session | None:
        limit = self._services.turns.settings.sessions_max + TURNED_AWAY_MAX
        if len(self._sessions) >= limit:
            # Insertion order: the oldest idle one goes; it comes back from the store when its device speaks again.
            idle = next((known for known, session in self._sessions.items() if session.idle), None)
            if idle is None:
                self._refuse(spelling, ErrorCode.BUSY, f"{limit} sessions are busy")
                return None
            del self._sessions[idle]
        session = self._sessions[device] = Session(device, spelling, self._services)
        return session

    def _ignore_retained(self, device: DeviceId, topic: str) -> None:
        if not self._retained.allows(self._services.turns.monotonic()):
            return
        untold = self._retained.take_refused()
        more = f" (and {untold} before it that were not told)" if untold else ""
        log.warning("session=%s ignored a retained message on %s: it may be hours old%s", device, topic, more)

    def _refuse(self, spelling: str, code: ErrorCode, message: str) -> None:
        turns = self._services.turns
        if self._faults.allows(turns.monotonic()):
            turns.emit(Failed(None, None, code, Stage.RECEIVE, message, code is ErrorCode.BUSY, spelling))
