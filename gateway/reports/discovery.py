"""Keeps what Home Assistant is told by discovery true: after each change, when it has begun, and when a device goes."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from gateway.broker.protocol import Broker, Incoming
from gateway.errors import BrokerUnavailable, StoreError
from gateway.events import (
    CLEANUP,
    AssistantChosen,
    Event,
    HelloErased,
    HelloSaid,
    Listening,
    PresenceChanged,
    SessionsErased,
    TurnEnded,
)
from gateway.reports.home_assistant import Board, Discovery
from gateway.values import RESERVED_DEVICE_ID, DeviceAddress, DeviceId, is_unnamed
from gateway.wire.topics import ONLINE

log = logging.getLogger(__name__)

BOARDS_MAX = 200
"""Devices that are announced, some 14 messages of 1 KB each; further ones are counted."""
TOPICS_MAX = 20_000
"""Discovery messages of this gateway at the broker that are known; further ones are not removed."""
SETTLE_S = 0.5
"""What happens together is told together: a device that comes says what it is and that it is there."""
STRAYS_AFTER_S = 10.0
"""After a connection devices have this long to say what they are, before what is left of others is removed."""

GATEWAY = DeviceId(RESERVED_DEVICE_ID)


@dataclass(frozen=True, slots=True)
class Choices:
    """What may be chosen for a device in Home Assistant, and what is known of devices at the start."""

    languages: Sequence[str]
    personas: Sequence[str]
    chosen: Callable[[DeviceId], Awaitable[tuple[str, str]]]
    """Reads the language and the persona (or "") of a device. It may raise `StoreError`."""
    known: Callable[[DeviceId], Awaitable[bool]]
    """Whether the store has anything of a device. It may raise `StoreError`."""


class DiscoveryPublisher:
    """A listener to events. One task publishes, a device at a time; nobody waits for it."""

    def __init__(
        self,
        broker: Broker,
        discovery: Discovery,
        choices: Choices,
        emit: Callable[[Event], None],
        boards: Iterable[tuple[DeviceAddress, Mapping[str, Any]]],
    ) -> None:
        """`boards` are those of earlier runs with their `hello`, the most recently active first. What is chosen for a
        device is told by `emit`, where it has changed."""
        self._broker = broker
        self._discovery = discovery
        self._choices = choices
        self._emit = emit
        self._boards: dict[DeviceId, Board] = {}
        self._published: dict[DeviceId, dict[str, bytes]] = {}
        self._there: defaultdict[DeviceId, set[str]] = defaultdict(set)
        self._there_count = 0
        self._chosen: dict[DeviceId, tuple[str, str]] = {}
        self._due: dict[DeviceId, bool] = {}
        self._wake = asyncio.Event()
        self._connected = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self.refused = 0
        """How often something of a device was left out, as `BOARDS_MAX` others are announced."""
        for device, info in boards:
            self._change(device, info=info)

    def __call__(self, event: Event) -> None:
        match event:
            case HelloSaid():
                self._change(event.device, info=event.info)
            case PresenceChanged():
                self._change(event.device, tells_presence=True)
            case Listening():
                self._change(event.device)
            case AssistantChosen():
                self._chosen[event.device.id] = (event.language, event.persona)
            case TurnEnded() if event.record.device.id in self._boards:
                # Between turns somebody may have chosen otherwise, on the command line too.
                self._mark(event.record.device.id)
            case HelloErased():
                self._take_back(event.device.id)
            case SessionsErased():
                for device in event.devices:
                    self._chosen.pop(device.id, None)
                    if event.reason == CLEANUP:
                        self._take_back(device.id)

    def route(self, incoming: Incoming) -> bool:
        """Take what Home Assistant says, and what comes back of what is told to it; False if it is neither."""
        if incoming.topic == self._discovery.birth:
            if incoming.payload == ONLINE and not incoming.retained:
                self.again()
            return True
        device = self._discovery.device_of(incoming.topic)
        if device is None:
            return False
        self._note_kept(DeviceId(device), incoming.topic, kept=bool(incoming.payload))
        if not incoming.payload:
            self._note_erased(DeviceId(device), incoming.topic)
        return True

    def again(self) -> None:
        """Tell everything once more."""
        for device in (GATEWAY, *self._boards):
            self._mark(device, anew=True)

    def connected(self) -> None:
        """The broker has been reached, and tells what it keeps."""
        self._connected.set()

    async def start(self) -> None:
        self._mark(GATEWAY)
        self._tasks = [
            asyncio.create_task(self._work(), name="publish discovery"),
            asyncio.create_task(self._look_for_strays(), name="look for strays of discovery"),
        ]

    async def stop(self, within_s: float) -> None:
        """Take back, for at most `within_s` seconds, what was told of devices that have just gone."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        try:
            async with asyncio.timeout(within_s):
                for device in [one for one in self._due if one != GATEWAY and one not in self._boards]:
                    await self._tell(device, anew=False)
        except TimeoutError:
            log.warning("what Home Assistant was told of devices that are gone is taken back at the next start")

    # What is known

    def _keep(self, device: DeviceAddress) -> Board | None:
        board = self._boards.get(device.id)
        if board is None and not is_unnamed(device.id):
            if len(self._boards) >= BOARDS_MAX:
                self.refused += 1
                if self.refused == 1:
                    log.warning("%d devices are in Home Assistant already: further ones are left out", BOARDS_MAX)
                return None
            board = Board(device, languages=self._choices.languages, personas=self._choices.personas)
            self._boards[device.id] = board
        return board

    def _change(self, device: DeviceAddress, **changes: Any) -> None:
        known = device.id in self._boards
        board = self._keep(device)
        if board is None:
            return
        changed = replace(board, device=device, **changes)
        if changed != board or not known:
            self._boards[device.id] = changed
            self._mark(device.id)

    def _take_back(self, device: DeviceId) -> None:
        # Not for each of the thousands that a clean-up may be of.
        if self._boards.pop(device, None) or device in self._published or device in self._there:
            self._mark(device)

    def _mark(self, device: DeviceId, *, anew: bool = False) -> None:
        self._due[device] = self._due.get(device, False) or anew
        self._wake.set()

    def _note_kept(self, device: DeviceId, topic: str, *, kept: bool) -> None:
        topics = self._there[device]
        if kept and topic not in topics and self._there_count < TOPICS_MAX:
            topics.add(topic)
            self._there_count += 1
        elif not kept and topic in topics:
            topics.remove(topic)
            self._there_count -= 1
        if not topics:
            del self._there[device]

    def _note_erased(self, device: DeviceId, topic: str) -> None:
        """Somebody has removed a device in Home Assistant, or cleaned up: it stays removed until it is heard of."""
        if self._published.get(device, {}).pop(topic, None) is not None:
            self._broker.forget_retained(topic)
            if device != GATEWAY:
                self._boards.pop(device, None)

    # Publishing

    async def _work(self) -> None:
        while True:
            await self._wake.wait()
            await asyncio.sleep(SETTLE_S)
            self._wake.clear()
            while self._due:
                device = next(iter(self._due))
                anew = self._due.pop(device)
                try:
                    await self._tell(device, anew=anew)
                except asyncio.CancelledError:
                    # In the middle of it: `stop` has to go on.
                    self._mark(device)
                    raise
                except Exception:
                    # Whatever one device makes us say, the others are told of all the same.
                    log.exception("%s could not be told to Home Assistant", device)

    async def _tell(self, device: DeviceId, *, anew: bool) -> None:
        """Bring what the broker keeps of a device to what it is."""
        wanted = self._wanted(device)
        published = self._published.setdefault(device, {})
        left = self._there.get(device, set()) | published.keys()
        # One by one, as this may be broken off; and before each is on its way, as what comes back of it is no news.
        for topic in left - wanted.keys():
            published.pop(topic, None)
            await self._publish(topic, b"")
        for topic, payload in wanted.items():
            if anew or published.get(topic) != payload:
                published[topic] = payload
                await self._publish(topic, payload)
        if not published:
            self._published.pop(device, None)
        if device in self._boards:
            await self._tell_choice(self._boards[device].device)

    def _wanted(self, device: DeviceId) -> dict[str, bytes]:
        if device == GATEWAY:
            return self._discovery.gateway()
        return self._discovery.board(self._boards[device]) if device in self._boards else {}

    async def _tell_choice(self, device: DeviceAddress) -> None:
        try:
            chosen = await self._choices.chosen(device.id)
        except StoreError as exc:
            log.warning("what is chosen for %s could not be read: %s", device.id, exc)
            return
        if chosen != self._chosen.get(device.id) and device.id in self._boards:
            self._emit(AssistantChosen(device, *chosen))

    async def _publish(self, topic: str, payload: bytes) -> None:
        try:
            await self._broker.publish(topic, payload, qos=1, retain=True)
        except BrokerUnavailable as exc:
            log.debug("discovery was not published: %s", exc)

    async def _look_for_strays(self) -> None:
        """Remove what an earlier run, or an earlier version, has left: of devices that nobody knows any more, and
        entities that there are no longer."""
        while True:
            await self._connected.wait()
            await asyncio.sleep(STRAYS_AFTER_S)
            self._connected.clear()
            for device in [*self._there]:
                try:
                    if device == GATEWAY or device in self._boards or not await self._choices.known(device):
                        self._mark(device)
                except StoreError as exc:
                    log.warning("it could not be read whether %s is known: %s", device, exc)
