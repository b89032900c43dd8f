"""What Home Assistant is told by MQTT discovery: one message an entity, which every version takes. Pure.

The entities read the topics that are there for everybody: a device's `state`, `event`, `online` and `hello`, and the
gateway's `stats` and `status`.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway import __version__
from gateway.reports.home_assistant_names import names_in
from gateway.values import RESERVED_DEVICE_ID, DeviceAddress, Outcome
from gateway.wire.topics import Leaf, Topics

MANUFACTURER = "MQTT voice gateway"
STAGES = ("stt", "llm", "tts")
ACTIVITIES = ("idle", "listening", "thinking", "speaking")
STATE_CHARS = 255
"""A longer state is refused by Home Assistant."""
TEXT_CHARS = 255
"""The longest that its text entities take."""

NOBODY = "—"
"""Chooses no persona."""

_MAC = re.compile(r"[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class Board:
    """A device as Home Assistant is to see it.

    `info` is its `hello`. `tells_presence`: it uses its `online` topic. `languages` and `personas` are what may be
    chosen for it; where there is nothing to choose there is no entity.
    """

    device: DeviceAddress
    info: Mapping[str, Any] = field(default_factory=dict)
    tells_presence: bool = False
    languages: Sequence[str] = ()
    personas: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class _Entity:
    """`key` is its place in topics and ids; `config` what is particular to it."""

    platform: str
    key: str
    config: Mapping[str, Any]


class Discovery:
    """Makes the messages, by topic. Every topic has the root's node in it, so that all of one gateway can be asked for
    at once."""

    def __init__(self, prefix: str, topics: Topics, language: str) -> None:
        """`prefix` is where Home Assistant listens; the entities are named in `language`, or in English."""
        self._prefix = prefix
        self._topics = topics
        self._names = names_in(language)
        self._root = discovery_id(topics.root, dashes=False)

    @property
    def birth(self) -> str:
        """Where Home Assistant says `online` when it has begun."""
        return f"{self._prefix}/status"

    @property
    def every(self) -> str:
        """The filter of all messages that are made here."""
        return f"{self._prefix}/+/{self._root}-gateway/+/config"

    def device_of(self, topic: str) -> str | None:
        """The id of the device, or of the gateway, that a message on `topic` is about; None if it is not from here."""
        node = f"/{self._root}-gateway/"
        if not topic.startswith(f"{self._prefix}/") or not topic.endswith("/config") or node not in topic:
            return None
        device_id, _, _ = topic.partition(node)[2].removesuffix("/config").rpartition("-")
        try:
            return re.sub("_([0-9a-f]+)_", lambda found: bytes.fromhex(found[1]).decode(), device_id)
        except ValueError:
            return None

    def gateway(self) -> dict[str, bytes]:
        """The gateway's own entities."""
        about = {
            "identifiers": [self._identifier(RESERVED_DEVICE_ID)],
            "name": self._names["gateway"],
            "manufacturer": MANUFACTURER,
            "sw_version": __version__,
        }
        available = {"availability": [{"topic": self._topics.status}]}
        return dict(
            self._message(RESERVED_DEVICE_ID, RESERVED_DEVICE_ID, entity, about, available)
            for entity in self._of_gateway()
        )

    def board(self, board: Board) -> dict[str, bytes]:
        """The entities of one device."""
        spelling, info = board.device.spelling, board.info
        device_id = discovery_id(board.device.id)
        about: dict[str, Any] = {
            "identifiers": [self._identifier(device_id)],
            "name": _text(info, "name") or board.device.id,
            "manufacturer": MANUFACTURER,
            "via_device": self._identifier(RESERVED_DEVICE_ID),
        }
        for key, said in (("model", _text(info, "board")), ("sw_version", _text(info, "firmware"))):
            if said:
                about[key] = said
        if _MAC.fullmatch(board.device.id):
            about["connections"] = [["mac", ":".join(re.findall("..", board.device.id))]]
        here = {"topic": self._topics.device(spelling, Leaf.ONLINE)}
        gateway_is_there = [{"topic": self._topics.status}]
        both = [*gateway_is_there, here] if board.tells_presence else gateway_is_there
        made = {}
        for entity in self._of_board(board):
            # Whether it is there is known also when it is not.
            needed = gateway_is_there if entity.key == "online" else both
            available = {"availability": needed, "availability_mode": "all"}
            topic, payload = self._message(device_id, board.device.id, entity, about, available)
            made[topic] = payload
        return made

    def _identifier(self, device_id: str) -> str:
        return f"{self._root}-{device_id}"

    def _message(
        self, device_id: str, spoken: str, entity: _Entity, about: Mapping[str, Any], available: Mapping[str, Any]
    ) -> tuple[str, bytes]:
        suggested = f"{self._topics.root}_{spoken}_{entity.key}"
        config = {
            "name": self._names[entity.key],
            "unique_id": f"{self._root}-{device_id}-{entity.key}",
            # The same under two names: until 2026.3 only the first was read by all, and later only the second is.
            "object_id": suggested,
            "default_entity_id": f"{entity.platform}.{re.sub('[^a-z0-9_]', '_', suggested.lower())}",
            "device": about,
            "origin": {"name": "mqtt-voice-gateway", "sw_version": __version__},
            **available,
            **entity.config,
        }
        topic = f"{self._prefix}/{entity.platform}/{self._root}-gateway/{device_id}-{entity.key}/config"
        return topic, json.dumps(config, ensure_ascii=False, separators=(",", ":")).encode()

    # The gateway

    def _of_gateway(self) -> Iterator[_Entity]:
        yield self._figure("active_sessions", "active_session_count", "mdi:account-voice")
        yield self._figure("total_sessions", "total_sessions", "mdi:forum")
        yield self._figure("messages_per_session", "avg_messages_per_session", "mdi:message-text")
        yield self._figure("turns_today", "today.turns", "mdi:microphone-message", "total_increasing")
        yield self._figure("errors_today", "today.failed", "mdi:alert-circle-outline", "total_increasing")
        latency = {"device_class": "duration", "unit_of_measurement": "ms", "suggested_display_precision": 0}
        yield self._figure("latency", "latency_ms.p50", "mdi:timer-outline", more=latency)
        yield self._figure("devices_online", "devices_online", "mdi:access-point-network")
        hidden = {"entity_category": "diagnostic"}
        yield self._figure("cache_hits", "cache.hits", "mdi:cached", "total_increasing", hidden)
        dropped = "value_json.dropped.values() | sum"
        yield self._figure("dropped", dropped, "mdi:tray-remove", "total_increasing", hidden)
        yield self._figure("version", "version", "mdi:tag-outline", None, hidden)
        for stage in STAGES:
            yield _Entity(
                "binary_sensor",
                f"problem_{stage}",
                {
                    "state_topic": self._topics.stats,
                    "value_template": f"{{{{ 'ON' if value_json.problems.{stage} else 'OFF' }}}}",
                    "device_class": "problem",
                    "entity_category": "diagnostic",
                },
            )
        yield self._button("clean_up", self._topics.request("cleanup"), "{}", "mdi:broom", "config")
        yield self._button("discover", self._topics.request("discover"), "{}", "mdi:refresh", "config")

    def _figure(
        self,
        key: str,
        value: str,
        icon: str,
        state_class: str | None = "measurement",
        more: Mapping[str, Any] | None = None,
    ) -> _Entity:
        """A sensor of the statistics; `value` is a path within them, or a whole expression."""
        expression = value if value.startswith("value_json") else f"value_json.{value}"
        config = {"state_topic": self._topics.stats, "value_template": f"{{{{ {expression} }}}}", "icon": icon}
        if state_class:
            config["state_class"] = state_class
        return _Entity("sensor", key, {**config, **(more or {})})

    # A device

    def _of_board(self, board: Board) -> Iterator[_Entity]:
        def topic(leaf: Leaf) -> str:
            return self._topics.device(board.device.spelling, leaf)

        state = topic(Leaf.STATE)
        enum = {"device_class": "enum", "options": list(ACTIVITIES), "icon": "mdi:account-voice"}
        yield _Entity("sensor", "state", {"state_topic": state, "value_template": _ACTIVITY, **enum})
        for key, said, icon in (("last_heard", "heard", "mdi:ear-hearing"), ("last_said", "said", "mdi:chat")):
            texts = {"state_topic": state, "value_template": _beginning_of_last(said), "icon": icon}
            texts |= {"json_attributes_topic": state, "json_attributes_template": _text_of_last(said)}
            yield _Entity("sensor", key, texts)
        latency = {"device_class": "duration", "unit_of_measurement": "ms", "suggested_display_precision": 0}
        latency |= {"state_class": "measurement", "icon": "mdi:timer-outline"}
        latency |= {"state_topic": state, "value_template": _of_last("first_audio_ms")}
        yield _Entity("sensor", "last_latency", latency)
        count = {"state_topic": state, "value_template": _of_state("turns"), "state_class": "total_increasing"}
        yield _Entity("sensor", "turns", {**count, "icon": "mdi:counter"})
        if isinstance(board.info.get("rssi"), int | float):
            signal = {"device_class": "signal_strength", "unit_of_measurement": "dBm", "state_class": "measurement"}
            signal |= {"state_topic": topic(Leaf.HELLO), "value_template": _of_state("rssi")}
            yield _Entity("sensor", "signal", {**signal, "entity_category": "diagnostic"})
        if board.tells_presence:
            presence = {"payload_on": "online", "payload_off": "offline", "device_class": "connectivity"}
            presence |= {"state_topic": topic(Leaf.ONLINE), "entity_category": "diagnostic"}
            yield _Entity("binary_sensor", "online", presence)
        ended = {"event_types": [str(outcome) for outcome in Outcome], "icon": "mdi:account-voice"}
        yield _Entity("event", "turn", {"state_topic": topic(Leaf.EVENT), "value_template": _TURN_ENDED, **ended})
        say = {"command_topic": topic(Leaf.SAY), "command_template": _COMMAND_TEXT, "qos": 1, "icon": "mdi:bullhorn"}
        yield _Entity("notify", "announce", say)
        yield _Entity("text", "say", {**say, "min": 1, "max": TEXT_CHARS})
        control = topic(Leaf.CONTROL)
        yield self._button("forget", control, '{"type":"forget"}', "mdi:eraser", "config")
        yield self._button("stop", control, '{"type":"abort"}', "mdi:stop-circle-outline")
        if board.languages:
            yield self._choice(board, "language", board.languages, "value", "mdi:translate")
        if board.personas:
            chosen = f"none if value == '{NOBODY}' else value"
            yield self._choice(board, "persona", [NOBODY, *board.personas], chosen, "mdi:drama-masks")

    def _choice(self, board: Board, key: str, choices: Sequence[str], value: str, icon: str) -> _Entity:
        request = f"{{{{ {{'session_id': '{board.device.id}', '{key}': {value}}} | tojson }}}}"
        shown = _of_state(key) if key == "language" else _of_state(f"{key} or '{NOBODY}'")
        config = {
            "state_topic": self._topics.device(board.device.spelling, Leaf.STATE),
            "value_template": shown,
            "command_topic": self._topics.request("set"),
            "command_template": request,
            "options": list(choices),
            "qos": 1,
            "icon": icon,
            "entity_category": "config",
        }
        return _Entity("select", key, config)

    def _button(self, key: str, topic: str, payload: str, icon: str, category: str = "") -> _Entity:
        config: dict[str, Any] = {"command_topic": topic, "payload_press": payload, "qos": 1, "icon": icon}
        if category:
            config["entity_category"] = category
        return _Entity("button", key, config)


def discovery_id(text: str, *, dashes: bool = True) -> str:
    """Return `text` in the characters that discovery allows, A-Z a-z 0-9 _ and -; two texts never become the same.

    Everything else, an underscore too, is written as the hexadecimal digits of its UTF-8 between two underscores.
    """
    kept = "A-Za-z0-9-" if dashes else "A-Za-z0-9"
    return re.sub(f"[^{kept}]", lambda found: f"_{found[0].encode().hex()}_", text)


def _text(info: Mapping[str, Any], key: str) -> str:
    value = info.get(key)
    return value if isinstance(value, str) else ""


# Templates. A topic that was erased says nothing: then nothing is known.


def _of_state(path: str) -> str:
    return f"{{{{ value_json.{path} if value_json is defined else none }}}}"


def _of_last(path: str) -> str:
    return f"{{{{ value_json.last.{path} if value_json is defined and value_json.last else none }}}}"


def _beginning_of_last(name: str) -> str:
    return f"{{{{ (value_json.last.{name} if value_json is defined and value_json.last else '')[:{STATE_CHARS}] }}}}"


def _text_of_last(name: str) -> str:
    """The text as an attribute, which may be longer than a state, and its turn."""
    chosen = f"{{'text': value_json.last.{name}, 'turn': value_json.last.turn}}"
    return f"{{{{ ({chosen} if value_json is defined and value_json.last else {{}}) | tojson }}}}"


_ACTIVITY = "{{ value_json.state if value_json is defined else 'idle' }}"
_COMMAND_TEXT = "{{ {'text': value} | tojson }}"
"""As JSON, whatever the text begins with."""

_TURN_ENDED = (
    "{% if value_json.event == 'done' %}{{ {'event_type': value_json.outcome, 'turn': value_json.turn,"
    " 'kind': value_json.kind, 'heard': value_json.heard, 'reply': value_json.reply, 'error': value_json.error,"
    " 'cached': value_json.cached, 'first_audio_ms': value_json.timings_ms.first_audio_out,"
    " 'total_ms': value_json.timings_ms.total} | tojson }}{% endif %}"
)
