"""Announcements for several devices, as an operator asks for them over MQTT."""

from typing import Any

import pytest

from gateway.device import Ended
from tests.e2e.conftest import StartDevice, StartGateway
from tests.e2e.onlooker import Onlooker

EMBEDDED = "embedded://127.0.0.1:0"
PATIENCE_S = 20
UPSTAIRS = {"kitchen": {"groups": ["downstairs"]}, "hall": {"groups": ["downstairs", "dark"]}, "attic": {}}


async def spoken_by(onlooker: Onlooker, device: str, name: str) -> Any:
    return await onlooker.json(f"voice/{device}/event", event="announcement", id=name, status="done")


async def test_it_is_spoken_on_each_device_that_is_named(
    start_gateway: StartGateway, start_device: StartDevice
) -> None:
    gateway = await start_gateway(mqtt_url=EMBEDDED)
    devices = [await start_device(gateway, spelling) for spelling in ("A4:CF:12:8B:3F:9E", "hall", "attic")]
    async with Onlooker(gateway.broker_url) as onlooker:
        for device in devices:
            await onlooker.message(f"voice/{device.spelling}/online", b"online")
        answer = await onlooker.request("say", to=["a4cf128b3f9e", "hall", "hall"], text="Dinner.", id="x", volume=20)
        assert answer["data"] == {"id": "x", "ttl_s": 300, "devices": ["a4cf128b3f9e", "hall"], "refused": {}}
        # Each on the topics that the device itself uses.
        for spelling in ("A4:CF:12:8B:3F:9E", "hall"):
            assert (await spoken_by(onlooker, spelling, "x"))["volume"] == 20
        assert not onlooker.on("voice/attic/out")
    for device in devices[:2]:
        assert (await (await device.announcement(PATIENCE_S)).reply(PATIENCE_S)).ended is Ended.END


async def test_an_answer_is_asked_for_as_well(start_gateway: StartGateway, start_device: StartDevice) -> None:
    gateway = await start_gateway(mqtt_url=EMBEDDED)
    device = await start_device(gateway, "kitchen")
    async with Onlooker(gateway.broker_url) as onlooker:
        await onlooker.message("voice/kitchen/online", b"online")
        answer = await onlooker.request("ask", to="kitchen", text="Who is there?")
        assert (await spoken_by(onlooker, "kitchen", answer["data"]["id"]))["kind"] == "ask"
    exchange = await device.announcement(PATIENCE_S)
    assert (await exchange.done(PATIENCE_S))["reply"] == "Answer to Who is there?."


async def test_groups_and_all_are_the_devices_that_are_known(start_gateway: StartGateway) -> None:
    gateway = await start_gateway(mqtt_url=EMBEDDED, devices=UPSTAIRS)
    async with Onlooker(gateway.broker_url) as onlooker:
        answer = await onlooker.request("say", to="group:downstairs", text="Dinner.")
        assert answer["data"]["devices"] == ["hall", "kitchen"]
        # Whoever has been heard of is one of all.
        await onlooker.publish("voice/door/say", b"Hello.")
        await onlooker.json("voice/door/event", event="announcement", status="done")
        answer = await onlooker.request("say", to=["group:dark", "all"], text="Dinner.")
        assert answer["data"]["devices"] == ["hall", "attic", "door", "kitchen"]


async def test_what_cannot_be_reached_is_told_and_the_others_hear_it(start_gateway: StartGateway) -> None:
    gateway = await start_gateway(mqtt_url=EMBEDDED, devices=UPSTAIRS)
    async with Onlooker(gateway.broker_url) as onlooker:
        to = ["attic", "kitchn", "no device", "group:nobody", "group:no group"]
        answer = await onlooker.request("say", to=to, text="Dinner.")
        assert answer["data"]["devices"] == ["attic"]
        reasons = answer["data"]["refused"]
        assert list(reasons) == to[1:]
        assert "sessions list" in reasons["kitchn"]
        assert "1 to 64 characters" in reasons["no device"]
        assert "no device is in this group" in reasons["group:nobody"]
        assert "is no group" in reasons["group:no group"]
        await spoken_by(onlooker, "attic", answer["data"]["id"])


async def test_one_announcement_goes_to_so_many_devices_those_online_first(
    start_gateway: StartGateway, start_device: StartDevice
) -> None:
    gateway = await start_gateway(mqtt_url=EMBEDDED, devices=UPSTAIRS, announcement_devices_max=2)
    await start_device(gateway, "kitchen")
    async with Onlooker(gateway.broker_url) as onlooker:
        # Its state is told once the gateway knows that it is there.
        await onlooker.json("voice/kitchen/state", state="idle")
        answer = await onlooker.request("say", to=["all"], text="Dinner.")
        assert answer["data"]["devices"] == ["kitchen", "attic"]
        assert answer["data"]["refused"] == {"all": "1 devices are beyond announcement_devices_max, 2"}


async def test_a_device_with_no_room_for_it_is_told(start_gateway: StartGateway) -> None:
    gateway = await start_gateway(mqtt_url=EMBEDDED, devices=UPSTAIRS)
    async with Onlooker(gateway.broker_url) as onlooker:
        await onlooker.publish("voice/attic/online", b"offline")
        for _ in range(8):
            assert (await onlooker.request("say", to="attic", text="Dinner."))["status"] == "ok"
        answer = await onlooker.request("say", to=["attic", "hall"], text="Dinner.")
        assert answer["data"]["devices"] == ["hall"]
        assert "8 announcements" in answer["data"]["refused"]["attic"]


@pytest.mark.parametrize(
    ("body", "hint"),
    [
        ({"text": "Dinner."}, "to: "),
        ({"to": "attic"}, "text: "),
        ({"to": "attic", "text": "x" * 1001}, "1001 characters"),
        ({"to": "attic", "text": "Dinner.", "priority": "shouted"}, "priority: "),
        ({"to": ["kitchn", "group:nobody"], "text": "Dinner."}, "kitchn: no such device"),
        ({"to": "all", "text": "Dinner."}, "no device is known"),
    ],
)
async def test_what_reaches_nobody_is_an_error(start_gateway: StartGateway, body: dict[str, Any], hint: str) -> None:
    gateway = await start_gateway(mqtt_url=EMBEDDED)
    async with Onlooker(gateway.broker_url) as onlooker:
        answer = await onlooker.request("say", **body)
        assert answer["status"] == "error"
        assert hint in answer["error"]
