"""What Home Assistant is told, by message."""

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.reports.home_assistant import Board, Discovery, discovery_id
from gateway.reports.home_assistant_names import names_in
from gateway.values import DeviceAddress, DeviceId, parse_device_id
from gateway.wire.topics import Topics

MAC = DeviceAddress(DeviceId("a4cf128b3f9e"), "A4:CF:12:8B:3F:9E")
ALLOWED = re.compile(r"homeassistant/\w+/[a-zA-Z0-9_-]+/[a-zA-Z0-9_-]+/config")
IDS = st.text("AZaz09_:.-", min_size=1, max_size=64).filter(lambda text: text != "gateway")


def discovery(language: str = "en", root: str = "voice") -> Discovery:
    return Discovery("homeassistant", Topics(root), language)


def told(board: Board, language: str = "en") -> dict[str, dict[str, Any]]:
    """The messages of a board by entity, such as `sensor state`."""
    messages = {}
    for topic, payload in discovery(language).board(board).items():
        _, platform, _, place, _ = topic.split("/")
        messages[f"{platform} {place.rpartition('-')[2]}"] = json.loads(payload)
    return messages


@given(IDS, IDS)
def test_two_devices_never_share_a_topic_or_an_entity(one: str, other: str) -> None:
    boards = [Board(DeviceAddress(parse_device_id(spelling), spelling)) for spelling in (one, other)]
    if boards[0].device.id == boards[1].device.id:
        return
    first, second = (discovery().board(board) for board in boards)
    assert not first.keys() & second.keys()
    unique = [{json.loads(payload)["unique_id"] for payload in messages.values()} for messages in (first, second)]
    assert not unique[0] & unique[1]
    assert all(ALLOWED.fullmatch(topic) for topic in first)


@given(IDS)
def test_whom_a_message_is_about_can_be_told_from_its_topic(spelling: str) -> None:
    device = parse_device_id(spelling)
    for topic in discovery().board(Board(DeviceAddress(device, spelling))):
        assert discovery().device_of(topic) == device


def test_messages_of_others_are_not_taken_for_the_gateways() -> None:
    for topic in discovery(root="home/voice").gateway():
        assert discovery(root="home/voice").device_of(topic) == "gateway"
        assert discovery().device_of(topic) is None
    assert discovery().device_of("homeassistant/status") is None
    assert discovery().device_of("homeassistant/light/zigbee2mqtt/lamp/config") is None
    assert discovery().device_of("homeassistant/sensor/voice-gateway/_ff_-state/config") is None


@pytest.mark.parametrize("text", ["a.b", "a:b", "a_b", "a-b", "a_2e_b", "ñ", "__", "_"])
def test_an_id_has_allowed_characters_only(text: str) -> None:
    assert re.fullmatch(r"[A-Za-z0-9_-]+", discovery_id(text))


def test_what_a_board_does_not_have_is_not_told() -> None:
    bare = told(Board(DeviceAddress(DeviceId("kitchen"), "kitchen")))
    assert {*bare} == {
        *("sensor state", "sensor last_heard", "sensor last_said", "sensor last_latency", "sensor turns"),
        *("event turn", "notify announce", "text say", "button forget", "button stop"),
    }
    assert {entity["device"]["name"] for entity in bare.values()} == {"kitchen"}
    assert all(
        [each["topic"] for each in entity["availability"]] == ["voice/gateway/status"] for entity in bare.values()
    )
    full = told(Board(MAC, {"rssi": -60, "board": 7}, True, ("en", "es"), ("butler",)))
    assert {*full} - {*bare} == {"sensor signal", "binary_sensor online", "select language", "select persona"}
    assert full["select persona"]["options"] == ["—", "butler"]
    assert "model" not in full["sensor state"]["device"]


def test_a_device_is_addressed_as_it_spells_itself_and_known_by_its_mac() -> None:
    entities = told(Board(MAC, {"name": "Cocina"}, tells_presence=True))
    assert entities["text say"]["command_topic"] == "voice/A4:CF:12:8B:3F:9E/say"
    assert entities["sensor state"]["state_topic"] == "voice/A4:CF:12:8B:3F:9E/state"
    assert entities["sensor state"]["device"]["connections"] == [["mac", "a4:cf:12:8b:3f:9e"]]
    assert entities["sensor state"]["object_id"] == "voice_a4cf128b3f9e_state"
    here = [each["topic"] for each in entities["sensor state"]["availability"]]
    assert here == ["voice/gateway/status", "voice/A4:CF:12:8B:3F:9E/online"]
    assert [each["topic"] for each in entities["binary_sensor online"]["availability"]] == ["voice/gateway/status"]


@pytest.mark.parametrize(("language", "name"), [("es", "Último oído"), ("en", "Last heard"), ("fr", "Last heard")])
def test_entities_are_named_in_the_gateways_language(language: str, name: str) -> None:
    assert told(Board(MAC), language)["sensor last_heard"]["name"] == name


def test_every_language_names_every_entity() -> None:
    assert names_in("es").keys() == names_in("en").keys()
    names = [json.loads(payload)["name"] for payload in discovery("es").gateway().values()]
    assert len(set(names)) == len(names)
