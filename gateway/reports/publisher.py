"""Tells over MQTT what happens: each device's events and state, and the gateway's statistics."""

import asyncio
import contextlib
import json
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from gateway.broker.protocol import Broker, Incoming
from gateway.errors import BrokerUnavailable, StoreError
from gateway.events import CLEANUP, Event, Failed, HelloSaid, PresenceChanged, SessionsErased, TurnEnded
from gateway.reports.live import DeviceState, LiveState
from gateway.values import DeviceAddress, parse_device_id
from gateway.wire.messages import event_json, state_json
from gateway.wire.topics import RETAINED, Leaf, Topics

log = logging.getLogger(__name__)

WAITING_MAX = 10_000
"""Messages that may wait for the broker; beyond it the newest is dropped and counted."""

AT_A_TIME = 50
"""Messages at QoS 1 that are under way and not acknowledged."""

AUDIO_FIRST_S = 0.005
"""What happens is told this much later, all of it at once: the answer's first audio, which somebody waits for, does not
stand behind the news of it."""

TOLD_S = 1.0

STATISTICS_AGE_S = 60.0
"""The statistics are published again after this even if nothing happened: midnight passes, engines have rested."""

Statistics = Callable[[], Awaitable[dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class _Message:
    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False


_Telling = Callable[[], _Message | None]
"""Makes a message when its turn to be published has come; None if there is nothing to tell."""


class Publisher:
    """A listener to events. One task publishes, so that a device gets its events in order and nobody waits for it."""

    def __init__(
        self,
        broker: Broker,
        topics: Topics,
        live: LiveState,
        statistics: Statistics,
        *,
        interval_s: float,
        now: Callable[[], datetime],
    ) -> None:
        """`statistics` makes what the statistics topic says, published after each turn and whenever else
        something changed, at most every `interval_s` seconds."""
        self._broker = broker
        self._topics = topics
        self._live = live
        self._statistics = statistics
        self._interval_s = interval_s
        self._now = now
        self._waiting: deque[_Telling] = deque()
        self._erasing: dict[str, None] = {}
        self._wake = asyncio.Event()
        self._waking: asyncio.TimerHandle | None = None
        self._emptied = asyncio.Event()
        self._emptied.set()
        self._changed = asyncio.Event()
        self._unacknowledged: set[asyncio.Task[None]] = set()
        self._tasks: list[asyncio.Task[None]] = []
        self.dropped = 0

    def __call__(self, event: Event) -> None:
        state, at = self._live.apply(event), self._now()
        self._put(partial(self._event, event, at))
        if state is not None:
            self._put(partial(self._state, state, at))
        match event:
            case SessionsErased():
                self._erase(event)
            case HelloSaid():
                self._keep(event.device, Leaf.HELLO)
            case PresenceChanged():
                self._keep(event.device, Leaf.ONLINE)
        if state is not None:
            self._keep(state.device, Leaf.STATE)
        self._changed.set()

    async def start(self) -> None:
        """Begin; first of all tell of every device that it is idle. If the last run was killed while one was speaking,
        the broker still has that as its state."""
        for state in self._live.states:
            self._put(partial(self._state, state, self._now()))
        self._tasks = [
            asyncio.create_task(self._publish_waiting(), name="publish events"),
            asyncio.create_task(self._publish_statistics(), name="publish statistics"),
        ]
        self._changed.set()

    async def stop(self, within_s: float) -> None:
        """Publish what waits and the last statistics, for at most `within_s` seconds."""
        if not self._tasks:
            return
        publishing, statistics = self._tasks
        statistics.cancel()
        await asyncio.wait({statistics})
        try:
            async with asyncio.timeout(within_s):
                await self._publish_statistics_once()
                await self._emptied.wait()
        except TimeoutError:
            waiting = len(self._waiting) + len(self._erasing)
            log.warning("%d events were not published before the end", waiting)
        for task in (publishing, *self._unacknowledged):
            task.cancel()
        await asyncio.wait({publishing, *self._unacknowledged})
        self._tasks = []

    def connected(self) -> None:
        """The broker has been reached: what is to be taken back there can be."""
        self._wake.set()

    async def told(self) -> None:
        """Wait until what has been emitted so far is published, for at most `TOLD_S`: for what must come before the
        audio."""
        reached: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def mark() -> None:
            if not reached.done():
                reached.set_result(None)

        self._put(mark)
        self._wake.set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(TOLD_S):
                await reached

    def route(self, incoming: Incoming) -> bool:
        """Take notice of what others do with `state` topics; False if it is no such topic.

        One that is erased there (`voice-gateway sessions forget`, say) does not come back, neither with the next turn
        nor after a reconnect.
        """
        parsed = self._topics.parse_device(incoming.topic)
        if parsed is None or parsed[1] is not Leaf.STATE:
            return False
        if not incoming.payload:
            with contextlib.suppress(ValueError):  # no device's
                self._live.forget_last(parse_device_id(parsed[0]))
                self._broker.forget_retained(incoming.topic)
        return True

    def _event(self, event: Event, at: datetime) -> _Message | None:
        spelling = _spelling(event)
        payload = event_json(event, at) if spelling else None
        return None if payload is None else _Message(self._topics.device(spelling, Leaf.EVENT), payload)

    def _state(self, state: DeviceState, at: datetime) -> _Message:
        topic = self._topics.device(state.device.spelling, Leaf.STATE)
        known = {"language": state.language, "persona": state.persona}
        payload = state_json(state.activity, state.device, state.last, at, turns=state.turns, **known)
        return _Message(topic, payload, qos=1, retain=True)

    def _erase(self, event: SessionsErased) -> None:
        """Take back what the broker keeps of conversations that are no more: their last words are in the state.

        They may be as many as there are conversations, so all else goes first, and none of it is dropped."""
        for device in event.devices:
            gone = event.reason == CLEANUP
            if gone:
                self._live.forget_presence(device)
            for leaf in RETAINED if gone else (Leaf.STATE,):
                self._erasing[self._topics.device(device.spelling, leaf)] = None
        self._wake_soon()

    def _keep(self, device: DeviceAddress, leaf: Leaf) -> None:
        """Something new was said on a topic: that is not what was to be taken back."""
        self._erasing.pop(self._topics.device(device.spelling, leaf), None)

    def _put(self, telling: _Telling) -> None:
        if len(self._waiting) >= WAITING_MAX:
            self.dropped += 1
            if self.dropped % WAITING_MAX == 1:
                log.warning("%d messages wait for the broker; dropped %d so far", WAITING_MAX, self.dropped)
            return
        self._waiting.append(telling)
        self._wake_soon()

    def _wake_soon(self) -> None:
        self._emptied.clear()
        if self._waking is None:
            # By a timer, not by the task: to wake it now, only to wait, would be before the first audio as well.
            self._waking = asyncio.get_running_loop().call_later(AUDIO_FIRST_S, self._wake.set)

    async def _publish_waiting(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            if self._waking is not None:
                self._waking.cancel()
                self._waking = None
            # While the broker is away, what is to be taken back waits here: there it would push out what is to stay.
            while self._waiting or (self._erasing and self._broker.connected):
                message = self._next()
                if message is None:
                    continue
                if message.qos == 0:
                    await self._publish(message)
                    continue
                # In a task of its own: what waits for its acknowledgement does not hold up the next.
                if len(self._unacknowledged) >= AT_A_TIME:
                    await asyncio.wait(self._unacknowledged, return_when=asyncio.FIRST_COMPLETED)
                publishing = asyncio.create_task(self._publish(message), name="publish state")
                self._unacknowledged.add(publishing)
                publishing.add_done_callback(self._note_acknowledged)
            self._note_if_emptied()

    def _next(self) -> _Message | None:
        if not self._waiting:
            topic = next(iter(self._erasing))
            del self._erasing[topic]
            return _Message(topic, b"", qos=1, retain=True)
        try:
            return self._waiting.popleft()()
        except Exception:
            # Whatever a device makes us say, the others go on hearing their events.
            self.dropped += 1
            log.exception("an event could not be told")
            return None

    def _note_acknowledged(self, publishing: "asyncio.Task[None]") -> None:
        self._unacknowledged.discard(publishing)
        self._note_if_emptied()

    def _note_if_emptied(self) -> None:
        if not self._waiting and not self._erasing and not self._unacknowledged:
            self._emptied.set()

    async def _publish(self, message: _Message) -> None:
        try:
            await self._broker.publish(message.topic, message.payload, qos=message.qos, retain=message.retain)
        except BrokerUnavailable as exc:
            # An event is news; by the time the broker is back it no longer is.
            self.dropped += 1
            log.debug("an event was not published: %s", exc)
        except Exception:
            self.dropped += 1
            log.exception("an event could not be published")

    async def _publish_statistics(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STATISTICS_AGE_S):
                    await self._changed.wait()
            self._changed.clear()
            await self._publish_statistics_once()
            await asyncio.sleep(self._interval_s)

    async def _publish_statistics_once(self) -> None:
        try:
            statistics = await self._statistics()
        except StoreError as exc:
            log.warning("the statistics could not be read: %s", exc)
            return
        await self._publish(_Message(self._topics.stats, json.dumps(statistics).encode(), qos=1, retain=True))


def _spelling(event: Event) -> str:
    """How the device that `event` is about spells itself; empty for an event about none or several."""
    match event:
        case TurnEnded():
            return event.record.device.spelling
        case SessionsErased():
            return ""
        case Failed(device=None):
            return event.topic_spelling
        case _:
            return event.device.spelling if event.device else ""
