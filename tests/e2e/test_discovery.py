"""What the gateway tells Home Assistant while it runs, on a real broker."""

import json

import pytest

from gateway.reports import discovery
from tests.cli.retained import retained_topics
from tests.e2e.conftest import StartDevice, StartGateway
from tests.e2e.onlooker import Onlooker
from tests.e2e.speech import sound_file, spoken
from tests.fakes.mosquitto import Mosquitto

NODE = "voice-gateway"
GATEWAY = f"homeassistant/sensor/{NODE}/gateway-version/config"
BIRTH = "homeassistant/status"


def of(device: str, entity: str = "state", kind: str = "sensor") -> str:
    return f"homeassistant/{kind}/{NODE}/{device}-{entity}/config"


async def test_what_is_told_is_retained_and_told_anew_when_home_assistant_begins_or_asks(
    start_gateway: StartGateway, start_device: StartDevice
) -> None:
    async with Mosquitto() as broker, Onlooker(broker.url, "#") as onlooker:
        gateway = await start_gateway(mqtt_url=broker.url)
        await start_device(gateway, "A4:CF:12:8B:3F:9E", hello={"v": 1, "name": "Cocina"})
        entity = await onlooker.json(of("a4cf128b3f9e", "online", "binary_sensor"))
        assert entity["device"]["name"] == "Cocina"
        async with Onlooker(broker.url, "homeassistant/#") as later:
            assert (await later.message(GATEWAY)).retained
            assert (await later.message(of("a4cf128b3f9e"))).retained
        for number, ask in enumerate((BIRTH, "voice/gateway/request/discover"), start=1):
            told = len(onlooker.on(of("a4cf128b3f9e")))
            await onlooker.publish(ask, b"online" if ask == BIRTH else b"{}")
            await onlooker.nth(of("a4cf128b3f9e"), told)
            await onlooker.nth(GATEWAY, number)


async def test_a_hello_that_says_more_is_told_and_one_that_says_less_takes_back(
    start_gateway: StartGateway, start_device: StartDevice
) -> None:
    async with Mosquitto() as broker, Onlooker(broker.url, "#") as onlooker:
        gateway = await start_gateway(mqtt_url=broker.url)
        await start_device(gateway, "kitchen", hello={"v": 1, "rssi": -60})
        assert (await onlooker.json(of("kitchen", "signal")))["device"]["name"] == "kitchen"
        await onlooker.publish("voice/kitchen/hello", b'{"v":1,"name":"Kitchen"}')
        await onlooker.message(of("kitchen", "signal"), b"")
        renamed = await onlooker.nth(of("kitchen"), 1)
        assert json.loads(renamed.payload)["device"]["name"] == "Kitchen"


async def test_a_device_that_is_cleaned_up_is_taken_back_and_one_that_is_there_stays(
    start_gateway: StartGateway, start_device: StartDevice
) -> None:
    async with Mosquitto() as broker, Onlooker(broker.url, "#") as onlooker:
        gateway = await start_gateway(mqtt_url=broker.url)
        for spelling in ("gone", "here"):
            device = await start_device(gateway, spelling)
            await (await device.speak_file(sound_file(spoken(0)))).done(20)
            await onlooker.message(of(spelling))
            if spelling == "gone":
                await device.stop()
                await onlooker.message("voice/gone/online", b"offline")
        assert (await onlooker.request("cleanup", days=0))["data"]["removed"] == 2
        for topic in {each.topic for each in onlooker.messages if "/gone-" in each.topic}:
            await onlooker.message(topic, b"")
        left = await retained_topics(broker.url)
        assert of("here") in left
        assert not [topic for topic in left if "/gone-" in topic]


async def test_a_gateway_that_ends_while_it_takes_a_device_back_goes_on_to_the_end(
    start_gateway: StartGateway, start_device: StartDevice
) -> None:
    async with Mosquitto() as broker, Onlooker(broker.url, "#") as onlooker:
        gateway = await start_gateway(mqtt_url=broker.url)
        device = await start_device(gateway, "gone", hello={"v": 1, "rssi": -60})
        await onlooker.message(of("gone", "signal"))
        await device.stop()
        await onlooker.publish("voice/gone/hello", b"", retain=True)
        await onlooker.erased("/gone-")
        await gateway.__aexit__(None, None, None)
        assert not [topic for topic in await retained_topics(broker.url) if "/gone-" in topic]


async def test_a_device_whose_hello_is_erased_is_taken_back(
    start_gateway: StartGateway, start_device: StartDevice
) -> None:
    async with Mosquitto() as broker, Onlooker(broker.url, "#") as onlooker:
        gateway = await start_gateway(mqtt_url=broker.url)
        device = await start_device(gateway, "kitchen", hello={"v": 1})
        await onlooker.message(of("kitchen"))
        await device.stop()
        await onlooker.publish("voice/kitchen/hello", b"", retain=True)
        await onlooker.message(of("kitchen"), b"")


async def test_what_somebody_removes_stays_removed_until_the_device_is_heard_of(
    start_gateway: StartGateway, start_device: StartDevice
) -> None:
    async with Mosquitto() as broker, Onlooker(broker.url, "#") as onlooker:
        gateway = await start_gateway(mqtt_url=broker.url)
        device = await start_device(gateway, "kitchen")
        await onlooker.message(of("kitchen"))
        await onlooker.publish(of("kitchen"), b"", retain=True)
        await onlooker.message(of("kitchen"), b"")
        told = len(onlooker.on(of("kitchen")))
        await onlooker.publish("voice/gateway/request/discover", b"{}")
        await onlooker.nth(GATEWAY, 1)
        # The gateway tells of itself first, and then of others, so that one more request sees the end of this one.
        await onlooker.publish("voice/gateway/request/discover", b"{}")
        await onlooker.nth(GATEWAY, 2)
        assert len(onlooker.on(of("kitchen"))) == told
        await (await device.speak_file(sound_file(spoken(0)))).done(20)
        assert (await onlooker.nth(of("kitchen"), told)).payload


async def test_what_earlier_runs_left_is_removed_and_what_is_others_stays(
    start_gateway: StartGateway, start_device: StartDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(discovery, "STRAYS_AFTER_S", 0.5)
    foreign = ("homeassistant/sensor/other/thing/config", "homeassistant/light/lamp/config")
    async with Mosquitto() as broker, Onlooker(broker.url, "#") as onlooker:
        for topic in (of("nobody"), of("kitchen", "dance"), of("gateway", "dance"), *foreign):
            await onlooker.publish(topic, b"{}", retain=True)
        gateway = await start_gateway(mqtt_url=broker.url)
        await start_device(gateway, "kitchen")
        for topic in (of("nobody"), of("kitchen", "dance"), of("gateway", "dance")):
            await onlooker.message(topic, b"")
        await onlooker.message(of("kitchen"))
        left = await retained_topics(broker.url)
        assert {*foreign, GATEWAY, of("kitchen")} <= left


async def test_a_new_run_tells_of_the_devices_of_earlier_ones(
    start_gateway: StartGateway, start_device: StartDevice
) -> None:
    async with Mosquitto() as broker:
        gateway = await start_gateway(mqtt_url=broker.url)
        device = await start_device(gateway, "kitchen", hello={"v": 1, "name": "Kitchen"})
        await (await device.speak_file(sound_file(spoken(0)))).done(20)
        await device.stop()
        await gateway.__aexit__(None, None, None)
    # Another broker, which knows nothing.
    async with Mosquitto() as broker, Onlooker(broker.url, "#") as onlooker:
        await start_gateway(mqtt_url=broker.url)
        assert (await onlooker.json(of("kitchen")))["device"]["name"] == "Kitchen"


async def test_more_devices_than_are_told_of_are_counted(
    start_gateway: StartGateway, start_device: StartDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(discovery, "BOARDS_MAX", 1)
    async with Mosquitto() as broker, Onlooker(broker.url, "#") as onlooker:
        gateway = await start_gateway(mqtt_url=broker.url)
        await start_device(gateway, "kitchen")
        await onlooker.message(of("kitchen"))
        hall = await start_device(gateway, "hall")
        await (await hall.speak_file(sound_file(spoken(0)))).done(20)
        assert (await onlooker.statistics())["dropped"]["discovery"] >= 1
        assert not onlooker.on(of("hall"))


async def test_without_a_prefix_nothing_is_told_and_a_request_says_so(
    start_gateway: StartGateway, start_device: StartDevice
) -> None:
    async with Mosquitto() as broker, Onlooker(broker.url, "#") as onlooker:
        gateway = await start_gateway(mqtt_url=broker.url, home_assistant_discovery="")
        device = await start_device(gateway, "kitchen")
        await (await device.speak_file(sound_file(spoken(0)))).done(20)
        assert "home_assistant_discovery" in (await onlooker.request("discover"))["error"]
        assert not [each for each in onlooker.messages if each.topic.startswith("homeassistant")]


async def test_what_is_chosen_for_a_device_is_in_its_state(
    start_gateway: StartGateway, start_device: StartDevice
) -> None:
    async with Mosquitto() as broker, Onlooker(broker.url, "#") as onlooker:
        gateway = await start_gateway(mqtt_url=broker.url, personas={"butler": {"language": "es"}})
        await start_device(gateway, "kitchen", hello={"v": 1})
        await onlooker.json("voice/kitchen/state", language="en", persona=None)
        answer = await onlooker.request("set", session_id="kitchen", persona="butler")
        assert answer["status"] == "ok"
        await onlooker.json("voice/kitchen/state", language="es", persona="butler")
