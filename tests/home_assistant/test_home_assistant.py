"""Every entity in a real Home Assistant, old and new: true values after a turn, and what people press there."""

import json
import re
from typing import Any

import pytest

from gateway import __version__
from gateway.device import SoftwareDevice
from gateway.values import parse_device_id
from tests.e2e.speech import sound_file, spoken
from tests.fakes.openai_server import Audio, Status, tone
from tests.home_assistant.conftest import SOUND, House
from tests.home_assistant.examples import card_entities

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(400)]

MAC = "A4:CF:12:8B:3F:9E"
HELLO = {"v": 1, "name": "Cocina", "firmware": "1.2.3", "board": "esp32-s3", "rssi": -61}
HAS_NOTIFY = "2025.4"


def slug(spelling: str) -> str:
    """A device in an entity's id."""
    return re.sub("[^a-z0-9]", "_", str(parse_device_id(spelling)).lower())


async def introduced(house: House, spelling: str, **options: Any) -> SoftwareDevice:
    """A device that Home Assistant knows, and whose events it hears from now on."""
    device = await house.board(spelling, **options)
    entity = f"event.voice_{slug(spelling)}_turn"
    await house.home.state(entity, lambda state: state["state"] != "unavailable")
    return device


async def speaks(device: SoftwareDevice, house: House, heard: str, said: str) -> None:
    """A turn: the device says `heard`, and is answered `said`, in one message: nobody has to listen to all of it."""
    house.provider.transcriptions.answer, house.provider.chat.answer = heard, said
    done = await (await device.speak_file(sound_file(spoken(0)))).done(20)
    assert done["outcome"] == "completed"


async def test_every_entity_of_a_board_is_true_after_a_turn(house: House) -> None:
    home = house.home
    device = await introduced(house, MAC, hello=HELLO)
    prefix = "voice_a4cf128b3f9e"
    await home.becomes(f"sensor.{prefix}_state", "idle")
    long = "Boil the water. " * 30
    await speaks(device, house, "How do I cook rice?", long)
    heard = await home.becomes(f"sensor.{prefix}_last_heard", "How do I cook rice?")
    assert heard["attributes"]["friendly_name"] == "Cocina Last heard"
    said = await home.becomes(f"sensor.{prefix}_last_said", long.strip()[:255].strip())
    assert said["attributes"]["text"] == long.strip()
    latency = await home.state(f"sensor.{prefix}_last_latency", lambda state: state["state"].isdigit())
    assert int(latency["state"]) > 0
    assert latency["attributes"]["unit_of_measurement"] == "ms"
    await home.becomes(f"sensor.{prefix}_turns", "1")
    await home.becomes(f"binary_sensor.{prefix}_online", "on")
    signal = await home.becomes(f"sensor.{prefix}_signal", "-61")
    assert signal["attributes"]["device_class"] == "signal_strength"
    ended = await home.state(f"event.{prefix}_turn", lambda state: state["attributes"].get("event_type") == "completed")
    assert ended["attributes"]["kind"] == "speech"
    assert ended["attributes"]["heard"] == "How do I cook rice?"
    assert ended["attributes"]["reply"] == long.strip()
    assert (await home.becomes(f"select.{prefix}_language", "en"))["attributes"]["options"] == ["en", "es"]
    assert (await home.becomes(f"select.{prefix}_persona", "—"))["attributes"]["options"] == ["—", "butler", "pirate"]
    for name, value in (("name", "Cocina"), ("model", "esp32-s3"), ("sw_version", "1.2.3")):
        assert await home.render(f"{{{{ device_attr('sensor.{prefix}_state', '{name}') }}}}") == value

    # Who goes is seen to go, and nobody asks it anything then.
    await device.stop()
    await home.becomes(f"binary_sensor.{prefix}_online", "off")
    await home.becomes(f"sensor.{prefix}_state", "unavailable")


async def test_every_entity_of_the_gateway_is_true(house: House) -> None:
    home = house.home
    device = await introduced(house, "hall", hello={"v": 1})
    await speaks(device, house, "What day is it?", "It is Monday.")
    stats = await house.onlooker.statistics()
    figures = {
        "active_sessions": stats["active_session_count"],
        "total_sessions": stats["total_sessions"],
        "messages_per_session": stats["avg_messages_per_session"],
        "turns_today": stats["today"]["turns"],
        "errors_today": 0,
        "latency": stats["latency_ms"]["p50"],
        "devices_online": stats["devices_online"],
        "cache_hits": 0,
        "dropped": 0,
        "version": __version__,
    }
    assert figures["turns_today"] >= 1
    for name, value in figures.items():
        await home.becomes(f"sensor.voice_gateway_{name}", str(value))
    for stage in ("stt", "llm", "tts"):
        await home.becomes(f"binary_sensor.voice_gateway_problem_{stage}", "off")


async def test_a_stage_that_fails_is_a_problem_until_it_works_again(house: House) -> None:
    home = house.home
    device = await introduced(house, "cellar", hello={"v": 1})
    failed_before = (await house.onlooker.statistics())["today"]["failed"]
    house.provider.chat.answer = Status(500)
    done = await (await device.ask("Are you there?")).done(20)
    assert done["outcome"] == "failed"
    await home.becomes("binary_sensor.voice_gateway_problem_llm", "on")
    await home.becomes("sensor.voice_gateway_errors_today", str(failed_before + 1))
    ended = await home.state("event.voice_cellar_turn", lambda state: state["attributes"].get("event_type") == "failed")
    assert ended["attributes"]["error"] == "llm_failed"
    await speaks(device, house, "Hello?", "Hello.")
    await home.becomes("binary_sensor.voice_gateway_problem_llm", "off")


async def test_what_is_written_and_chosen_in_home_assistant_reaches_the_board(house: House) -> None:
    home = house.home
    device = await introduced(house, "office", hello={"v": 1})
    await home.becomes("sensor.voice_office_state", "idle")
    await home.call("text.set_value", entity_id="text.voice_office_say", value='{"dinner" is ready.}')
    said = await house.onlooker.json("voice/office/event", event="done", kind="say")
    assert said["reply"] == '{"dinner" is ready.}'
    if home.version >= HAS_NOTIFY:
        await home.state("notify.voice_office_announce")
        await home.call("notify.send_message", entity_id="notify.voice_office_announce", message="Come to the table.")
        await home.becomes("sensor.voice_office_last_said", "Come to the table.")
    await home.call("select.select_option", entity_id="select.voice_office_persona", option="butler")
    await home.becomes("select.voice_office_persona", "butler")
    await home.call("select.select_option", entity_id="select.voice_office_language", option="es")
    await home.becomes("select.voice_office_language", "es")
    await speaks(device, house, "Who are you?", "Your butler, sir.")
    assert house.provider.chat.requests[-1].json["messages"][0]["content"] == "You are a butler."
    await home.call("select.select_option", entity_id="select.voice_office_persona", option="—")
    await home.becomes("select.voice_office_persona", "—")


async def test_buttons_make_a_board_fall_silent_and_forget(house: House) -> None:
    home = house.home
    device = await introduced(house, "bedroom", hello={"v": 1, "buffer_ms": 500})
    house.provider.transcriptions.answer, house.provider.chat.answer = "Good night.", "Sleep well."
    await (await device.speak(spoken(0), paced=False)).done(20)
    await home.becomes("sensor.voice_bedroom_last_heard", "Good night.")
    # Without a break it would speak for much longer than anybody presses.
    house.provider.chat.answer = "One sheep, two sheep, three sheep."
    house.provider.speech.answer = Audio(tone(15), "audio/pcm")
    try:
        counting = await device.ask("Count.")
        await home.becomes("sensor.voice_bedroom_state", "speaking")
        await home.call("button.press", entity_id="button.voice_bedroom_stop")
        assert (await counting.done(20))["outcome"] == "interrupted"
    finally:
        house.provider.speech.answer = SOUND
    await home.becomes("sensor.voice_bedroom_state", "idle")
    await home.call("button.press", entity_id="button.voice_bedroom_forget")
    await home.becomes("sensor.voice_bedroom_last_heard", "")
    listed = {session["session_id"] for session in (await house.onlooker.request("sessions"))["data"]}
    assert "bedroom" not in listed


async def test_what_is_cleaned_up_goes_and_what_is_there_is_told_anew(house: House) -> None:
    home = house.home
    device = await introduced(house, "attic.1", hello={"v": 1})
    await speaks(device, house, "Anybody here?", "I am.")
    entities = [
        f"{kind}.voice_attic_1_{name}" for kind, name in (("sensor", "state"), ("text", "say"), ("event", "turn"))
    ]
    for entity in entities:
        await home.state(entity)
    await device.stop()
    await home.becomes("sensor.voice_attic_1_state", "unavailable")
    answer = await house.onlooker.request("cleanup", days=0)
    assert "attic.1" in answer["data"]["session_ids"]
    await home.gone(entities)

    # Home Assistant that comes back says so, and hears of everything again; so it does when the button is pressed.
    topic = "homeassistant/sensor/voice-gateway/gateway-version/config"
    told = len(house.onlooker.on(topic))
    await home.reconnect()
    await house.onlooker.nth(topic, told)
    told = len(house.onlooker.on(topic))
    await home.call("button.press", entity_id="button.voice_gateway_discover")
    again = await house.onlooker.nth(topic, told)
    assert json.loads(again.payload)["unique_id"] == "voice-gateway-version"
    await home.becomes("sensor.voice_gateway_version", __version__)


async def test_the_examples_of_the_documentation_work(house: House) -> None:
    home = house.home
    device = await introduced(house, "kitchen", hello={"v": 1, "name": "Kitchen"})
    await speaks(device, house, "Hello.", "Hello to you.")
    for entity in card_entities():
        await home.state(entity)

    await home.set_state("binary_sensor.front_door", "on")
    await home.becomes("sensor.voice_kitchen_last_said", "The front door is open.")

    await home.set_state("binary_sensor.washing_machine", "on")
    await home.set_state("binary_sensor.washing_machine", "off")
    await home.becomes("sensor.voice_kitchen_last_said", "The washing is done. Shall I put it on the list?")
    await home.state("event.voice_kitchen_turn", lambda state: state["attributes"].get("kind") == "say")
    await speaks(device, house, "Yes, please.", "All right.")
    await home.notification("Hang up the washing.")

    # Slow answers until half of all are.
    house.provider.chat.answer, house.provider.chat.delay_s = "At last.", 3.2
    slow = [await house.board(f"slow-{number}") for number in range(8)]
    try:
        for number in range(8):
            for exchange in [await board.ask(f"Question {number}?") for board in slow]:
                await exchange.done(60)
            if (await house.onlooker.statistics())["latency_ms"]["p50"] > 3000:
                break
    finally:
        house.provider.chat.delay_s = 0.0
    await home.notification("Half of the answers take longer than 3")
