"""What is true of the running gateway and is not in the store: who is online, what each device is doing."""

from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

from gateway.events import (
    AnnouncementChanged,
    AssistantChosen,
    Event,
    Listening,
    PresenceChanged,
    SessionsErased,
    Speaking,
    Thinking,
    TurnEnded,
)
from gateway.values import AnnouncementStatus, DeviceAddress, DeviceId, Outcome, TurnRecord

LATENCIES_KEPT = 500


class Activity(StrEnum):
    """What a device is doing; the values are those of its state topic."""

    IDLE = "idle"
    LISTENING = "listening"
    THINKING = "thinking"
    SPEAKING = "speaking"


@dataclass(frozen=True, slots=True)
class DeviceState:
    """One device, for its state topic: what it does, in which turn, and the last turn that ended."""

    device: DeviceAddress
    activity: Activity = Activity.IDLE
    turn: int | None = None
    last: TurnRecord | None = None
    turns: int = 0
    """Turns that have ended since the gateway began."""
    language: str = ""
    persona: str = ""
    """Of the assistant that answers; empty where it is not known, or none is chosen."""


class LiveState:
    """Follows the events. Pure: no clock, no input or output; memory is bounded by `devices_max` devices."""

    def __init__(
        self, devices_max: int, latencies_ms: tuple[int, ...] = (), earlier: Iterable[DeviceState] = ()
    ) -> None:
        """From the store: `latencies_ms`, first audio of earlier turns, newest first; `earlier`, how devices were left
        when the gateway ended, the longest inactive first."""
        self._devices_max = devices_max
        self._states: dict[DeviceId, DeviceState] = {state.device.id: state for state in earlier}
        self._online: dict[DeviceId, bool] = {}
        self.latencies_ms = deque(reversed(latencies_ms), maxlen=LATENCIES_KEPT)
        self.announcements: Counter[AnnouncementStatus] = Counter()
        """How often an announcement has come to each status since the gateway began."""

    def apply(self, event: Event) -> DeviceState | None:
        """Take in `event`; return the new state of the device if its state has changed."""
        match event:
            case Listening():
                return self._set(event.device, Activity.LISTENING, event.turn)
            case Thinking():
                return self._set(event.device, Activity.THINKING, event.turn)
            case Speaking():
                return self._set(event.device, Activity.SPEAKING, event.turn)
            case TurnEnded():
                return self._end(event.record)
            case AssistantChosen():
                known = self._states.get(event.device.id)
                return known and self._keep(replace(known, language=event.language, persona=event.persona))
            case PresenceChanged():
                self._online[event.device.id] = event.online
                _bound(self._online, self._devices_max)
                return None if event.device.id in self._states else self._keep(DeviceState(event.device))
            case AnnouncementChanged():
                self.announcements[event.status] += 1
            case SessionsErased():
                for device in event.devices:
                    self.forget_last(device.id)
        return None

    @property
    def states(self) -> tuple[DeviceState, ...]:
        """Every device that is known, the longest unchanged first."""
        return tuple(self._states.values())

    def state(self, device: DeviceId) -> DeviceState | None:
        """What is known of one device."""
        return self._states.get(device)

    def forget_last(self, device: DeviceId) -> None:
        """Know nothing any more of the device's last turn."""
        known = self._states.pop(device, None)
        if known is not None and known.activity is not Activity.IDLE:
            self._states[device] = replace(known, last=None)

    def online(self, device: DeviceId) -> bool:
        """Whether the device says so; one that never said anything about it is while it is in a turn."""
        state = self._states.get(device)
        return self._online.get(device, state is not None and state.activity is not Activity.IDLE)

    @property
    def devices_online(self) -> int:
        return sum(self.online(device) for device in {*self._states, *self._online})

    def forget_presence(self, device: DeviceAddress) -> None:
        self._online.pop(device.id, None)

    def _set(self, device: DeviceAddress, activity: Activity, turn: int) -> DeviceState:
        known = self._states.get(device.id, DeviceState(device))
        return self._keep(replace(known, device=device, activity=activity, turn=turn))

    def _end(self, record: TurnRecord) -> DeviceState:
        # The same turns as in the store, so that a restart changes nothing.
        if record.timings.first_audio_out is not None and record.outcome is Outcome.COMPLETED:
            self.latencies_ms.append(record.timings.first_audio_out)
        known = self._states.get(record.device.id, DeviceState(record.device))
        known = replace(known, turns=known.turns + 1)
        if known.turn in (record.turn, None):
            return self._keep(replace(known, device=record.device, activity=Activity.IDLE, turn=None, last=record))
        # The record of an interrupted turn may come after its successor has begun.
        return self._keep(replace(known, last=record))

    def _keep(self, state: DeviceState) -> DeviceState:
        self._states.pop(state.device.id, None)
        self._states[state.device.id] = state
        _bound(self._states, self._devices_max)
        return state


def _bound(entries: dict[DeviceId, DeviceState] | dict[DeviceId, bool], limit: int) -> None:
    if len(entries) > limit:
        del entries[next(iter(entries))]
