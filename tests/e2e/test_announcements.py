"""What others have a device say: when it is spoken, whom it interrupts, and what is told of it."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.app import Gateway
from gateway.device import Ended, Exchange, SoftwareDevice
from gateway.store import Store, device_target
from gateway.values import DeviceId
from gateway.wire.topics import Leaf
from tests.e2e.conftest import StartDevice, StartGateway
from tests.e2e.onlooker import Onlooker
from tests.e2e.speech import spoken
from tests.fakes.openai_server import OpenAIServer, Status

EMBEDDED = "embedded://127.0.0.1:0"
PATIENCE_S = 20
ROOMY = {"v": 1, "buffer_ms": 60_000}
"""A device that holds a whole reply: nothing is left to send while it plays."""
LONG = "This takes a good while to be spoken, longer than anybody waits. " * 8
"""Half a minute, as the provider speaks: more than `PATIENCE_S`."""


class Household:
    """A gateway, and somebody at the broker who has devices speak and sees what becomes of it."""

    def __init__(self, gateway: Gateway, onlooker: Onlooker) -> None:
        self.gateway = gateway
        self.onlooker = onlooker

    async def say(self, device: str, name: str, text: str = "Yes.", *, leaf: Leaf = Leaf.SAY, **keys: object) -> None:
        body = {"text": text, "id": name, **keys}
        await self.onlooker.publish(f"voice/{device}/{leaf}", json.dumps(body).encode())

    async def told(self, device: str, name: str, status: str) -> Any:
        """The event that says that the announcement called `name` has come to be `status`."""
        return await self.onlooker.json(f"voice/{device}/event", event="announcement", id=name, status=status)

    def story(self, device: str, *names: str) -> list[str]:
        """What has been told so far of the announcements called `names` (of all), in order."""
        events = [json.loads(message.payload) for message in self.onlooker.on(f"voice/{device}/event")]
        told = [event for event in events if event["event"] == "announcement"]
        return [f"{event['id']} {event['status']}" for event in told if not names or event["id"] in names]

    def begun(self, device: str) -> list[str]:
        """The announcements that have begun, in their order."""
        return [line.split()[0] for line in self.story(device) if line.endswith(" started")]


@pytest.fixture
async def household(start_gateway: StartGateway) -> AsyncIterator[Household]:
    # However slow the machine is, what is open stays open until it is ended.
    gateway = await start_gateway(mqtt_url=EMBEDDED, idle_limit_s=PATIENCE_S)
    async with Onlooker(gateway.broker_url) as onlooker:
        yield Household(gateway, onlooker)


async def keep_busy(device: SoftwareDevice, provider: OpenAIServer) -> Exchange:
    """Ask what is not answered before `provider.chat.wait_for` is set."""
    provider.chat.wait_for = asyncio.Event()
    exchange = await device.speak(spoken(0), paced=False)
    await exchange.event("transcript", PATIENCE_S)
    return exchange


def release(provider: OpenAIServer) -> None:
    assert provider.chat.wait_for is not None
    provider.chat.wait_for.set()


# What is told


async def test_it_is_told_what_becomes_of_each(
    household: Household, start_device: StartDevice, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    device = await start_device(household.gateway, "kitchen")
    await household.say("kitchen", "dinner", "Dinner is ready.", volume=35, priority="high")
    exchange = await device.announcement(PATIENCE_S)
    assert (await exchange.reply(PATIENCE_S)).ended is Ended.END
    done = await household.told("kitchen", "dinner", "done")
    assert household.story("kitchen") == ["dinner queued", "dinner started", "dinner done"]
    started = await household.told("kitchen", "dinner", "started")
    assert (started["turn"], started["session_id"]) == (exchange.turn, "kitchen")
    assert (started["volume"], started["priority"], started["kind"]) == (35, "high", "say")
    assert done["turn"] == exchange.turn
    assert (await household.told("kitchen", "dinner", "queued"))["turn"] is None
    # The log tells the same, but not what was said.
    logged = [record.__dict__["fields"] for record in caplog.records if record.getMessage() == "announcement"]
    assert [(line["id"], line["status"]) for line in logged] == [
        ("dinner", "queued"),
        ("dinner", "started"),
        ("dinner", "done"),
    ]
    assert "ready" not in str([record.__dict__ for record in caplog.records])


async def test_the_volume_is_told_before_there_is_anything_to_hear(
    household: Household, start_device: StartDevice
) -> None:
    device = await start_device(household.gateway, "kitchen", hello=ROOMY)
    # The second time the speech is there already, and nothing has to be made that would take a while.
    for name in ("first", "second"):
        seen = len(household.onlooker.messages)
        await household.say("kitchen", name, "The same words.", volume=10)
        await (await device.announcement(PATIENCE_S)).reply(PATIENCE_S)
        await household.told("kitchen", name, "done")
        came = household.onlooker.messages[seen:]
        started = next(at for at, each in enumerate(came) if b'"started"' in each.payload)
        audio = next(at for at, each in enumerate(came) if each.topic == "voice/kitchen/out")
        assert started < audio


async def test_plain_text_gets_an_id_of_its_own(household: Household, start_device: StartDevice) -> None:
    await start_device(household.gateway, "kitchen")
    await household.onlooker.publish("voice/kitchen/say", b"Hello.")
    started = await household.onlooker.json("voice/kitchen/event", event="announcement", status="started")
    assert (len(started["id"]), started["priority"], "volume" in started) == (12, "normal", False)
    await household.told("kitchen", started["id"], "done")


async def test_a_question_is_answered_and_told_of_alike(
    household: Household, start_device: StartDevice, provider: OpenAIServer
) -> None:
    device = await start_device(household.gateway, "kitchen")
    await household.say("kitchen", "quiz", "Who are you?", leaf=Leaf.ASK)
    done = await (await device.announcement(PATIENCE_S)).done(PATIENCE_S)
    assert done["reply"] == "Answer to Who are you?."
    assert (await household.told("kitchen", "quiz", "done"))["kind"] == "ask"


async def test_one_that_cannot_be_spoken_is_told_to_have_failed(
    household: Household, start_device: StartDevice, provider: OpenAIServer
) -> None:
    provider.speech.answer = Status(500)
    await start_device(household.gateway, "kitchen")
    await household.say("kitchen", "mute")
    assert (await household.told("kitchen", "mute", "failed"))["reason"] == "tts_failed"


# In which order


async def test_they_come_by_priority_and_then_in_their_order(
    household: Household, start_device: StartDevice, provider: OpenAIServer
) -> None:
    device = await start_device(household.gateway, "kitchen")
    asked = await keep_busy(device, provider)
    for name in ("low", "normal", "high", "low2", "normal2", "high2"):
        await household.say("kitchen", name, priority=name.rstrip("2"))
        await household.told("kitchen", name, "queued")
    assert household.begun("kitchen") == []
    release(provider)
    assert (await asked.done(PATIENCE_S))["outcome"] == "completed"
    await household.told("kitchen", "low2", "done")
    assert household.begun("kitchen") == ["high", "high2", "normal", "normal2", "low", "low2"]


async def test_of_too_many_the_newest_of_the_lowest_gives_way(
    household: Household, start_device: StartDevice, provider: OpenAIServer
) -> None:
    device = await start_device(household.gateway, "kitchen")
    await keep_busy(device, provider)
    for number in range(8):
        await household.say("kitchen", f"n{number}", priority="low" if number < 2 else "normal")
    await household.say("kitchen", "late", priority="low")
    refused = await household.told("kitchen", "late", "refused")
    assert "8 announcements" in refused["reason"]
    assert (await device.event("error", PATIENCE_S, code="busy"))["retryable"] is True
    await household.say("kitchen", "high", priority="high")
    await household.told("kitchen", "n1", "displaced")
    assert household.story("kitchen", "high", "n1", "n0") == ["n0 queued", "n1 queued", "high queued", "n1 displaced"]
    counted = (await household.onlooker.statistics())["announcements"]
    assert (counted["queued"], counted["displaced"], counted["refused"], counted["done"]) == (9, 1, 1, 0)


# Whom it does not cut off


async def test_it_waits_while_somebody_speaks_and_is_answered_and_hears_the_answer(
    household: Household, start_device: StartDevice, provider: OpenAIServer
) -> None:
    provider.chat.answer = LONG
    device = await start_device(household.gateway, "kitchen", hello=ROOMY)
    utterance = device.begin()
    await utterance.send(spoken(1).samples)
    await utterance.exchange.event("listening", PATIENCE_S)
    await household.say("kitchen", "patient", priority="high")
    await household.told("kitchen", "patient", "queued")
    asked = await utterance.end()
    reply = await asked.reply(PATIENCE_S)
    assert (await asked.done(PATIENCE_S))["outcome"] == "completed"
    # The device holds all of the answer and plays it.
    await household.say("kitchen", "second")
    await household.told("kitchen", "second", "queued")
    assert household.begun("kitchen") == []
    assert asked.turn is not None
    await device.played(asked.turn, len(reply.chunks) - 1, end=True)
    await household.told("kitchen", "second", "done")
    assert household.begun("kitchen") == ["patient", "second"]
    assert (reply.ended, asked.recalled) == (Ended.END, False)


async def test_one_follows_the_other_on_a_device_that_takes_a_message(household: Household) -> None:
    for name in ("first", "second"):
        await household.say("door", name, "A few words.")
    await household.told("door", "second", "done")
    told = [line for line in household.story("door") if not line.endswith("queued")]
    assert told == ["first started", "first done", "second started", "second done"]
    assert len(household.onlooker.on("voice/door/out")) == 2
    # It is one message, and all the same plays for as long as it lasts.
    await household.say("door", "long", LONG)
    await household.onlooker.nth("voice/door/out", 2)
    await household.say("door", "after")
    await household.told("door", "after", "queued")
    assert household.story("door")[-2:] == ["long started", "after queued"]


async def test_it_is_done_when_the_device_says_that_it_has_been_heard(
    household: Household, start_device: StartDevice
) -> None:
    device = await start_device(household.gateway, "kitchen", hello=ROOMY)
    await household.say("kitchen", "long", LONG)
    exchange = await device.announcement(PATIENCE_S)
    reply = await exchange.reply(PATIENCE_S)
    await exchange.done(PATIENCE_S)
    assert household.story("kitchen")[-1] == "long started"
    assert exchange.turn is not None
    await device.played(exchange.turn, len(reply.chunks) - 1, end=True)
    await household.told("kitchen", "long", "done")


async def test_who_speaks_interrupts_it_and_that_is_told(household: Household, start_device: StartDevice) -> None:
    device = await start_device(household.gateway, "kitchen", hello=ROOMY)
    await household.say("kitchen", "long", LONG)
    # Sent whole, and still to be heard: it is the device that plays on.
    await (await device.announcement(PATIENCE_S)).done(PATIENCE_S)
    await device.speak(spoken(1), paced=False)
    await household.told("kitchen", "long", "interrupted")
    assert "long done" not in household.story("kitchen")


# What is urgent


@pytest.mark.parametrize("stage", ["recording", "recognising", "thinking", "speaking", "playing"])
async def test_what_is_urgent_interrupts(
    household: Household, start_device: StartDevice, provider: OpenAIServer, stage: str
) -> None:
    device = await start_device(household.gateway, "kitchen", hello=ROOMY if stage == "playing" else None)
    if stage == "recording":
        utterance = device.begin()
        await utterance.send(spoken(1).samples)
        asked = utterance.exchange
        await asked.event("listening", PATIENCE_S)
    else:
        provider.chat.answer = LONG
        if stage in ("recognising", "thinking"):
            endpoint = provider.transcriptions if stage == "recognising" else provider.chat
            endpoint.wait_for = asyncio.Event()
        asked = await device.speak(spoken(0), paced=False)
        if stage == "playing":
            await asked.done(PATIENCE_S)
        else:
            await device.wait_state(stage if stage == "speaking" else "thinking", PATIENCE_S)
    await household.say("kitchen", "patient")
    await household.told("kitchen", "patient", "queued")
    await household.say("kitchen", "fire", "Fire!", priority="urgent")
    urgent = await device.announcement(PATIENCE_S)
    assert (await urgent.reply(PATIENCE_S)).ended is Ended.END
    await household.told("kitchen", "patient", "done")
    assert household.begun("kitchen") == ["fire", "patient"]
    # The device drops what it was doing: while it records or waits it would take no other reply.
    if stage == "playing":
        assert asked.recalled
    else:
        assert (await asked.reply(PATIENCE_S)).ended is Ended.CANCELLED
        assert (await asked.done(PATIENCE_S))["outcome"] == "interrupted"


async def test_what_is_urgent_interrupts_an_announcement_but_none_that_is_urgent(
    household: Household, start_device: StartDevice
) -> None:
    device = await start_device(household.gateway, "kitchen", hello=ROOMY)
    await household.say("kitchen", "long", LONG)
    await (await device.announcement(PATIENCE_S)).event("speaking", PATIENCE_S)
    await household.say("kitchen", "fire", "Fire in the kitchen!", priority="urgent")
    await household.told("kitchen", "long", "interrupted")
    await household.told("kitchen", "fire", "started")
    await household.say("kitchen", "flood", "And water!", priority="urgent")
    await household.told("kitchen", "flood", "done")
    story = household.story("kitchen", "fire", "flood")
    assert story.index("fire done") < story.index("flood started")
    assert "fire interrupted" not in story


async def test_after_what_is_urgent_a_raw_stream_that_goes_on_is_not_taken_for_an_answer(
    household: Household, start_device: StartDevice
) -> None:
    device = await start_device(household.gateway, "kitchen")
    speech = spoken(1)
    await device.speak_raw(speech, paced=False, end=False)
    await device.event("listening", PATIENCE_S)
    await household.say("kitchen", "fire", "Fire!", priority="urgent")
    await household.told("kitchen", "fire", "started")
    await device.publish(Leaf.IN, speech.samples.tobytes())
    await household.told("kitchen", "fire", "done")
    assert "fire interrupted" not in household.story("kitchen")
    # Nor is it answered when it ends.
    await device.publish(Leaf.IN, b"")
    await household.say("kitchen", "after")
    await household.told("kitchen", "after", "done")
    assert "transcript" not in [event["event"] for event in device.events]


# For how long


async def test_one_that_may_not_wait_for_long_enough_is_told_to_have_expired(
    household: Household, start_device: StartDevice, provider: OpenAIServer
) -> None:
    device = await start_device(household.gateway, "kitchen")
    asked = await keep_busy(device, provider)
    await household.say("kitchen", "brief", ttl_s=0.2)
    await household.say("kitchen", "lasting", ttl_s=1000)
    expired = await household.told("kitchen", "brief", "expired")
    assert (expired["turn"], expired["reason"]) == (None, "the device was busy")
    release(provider)
    await asked.done(PATIENCE_S)
    await household.told("kitchen", "lasting", "done")
    assert household.begun("kitchen") == ["lasting"]


async def test_a_device_that_is_off_hears_it_when_it_is_back(household: Household, start_device: StartDevice) -> None:
    device = await start_device(household.gateway, "kitchen")
    await household.onlooker.message("voice/kitchen/online", b"online")
    await device.stop()
    await household.onlooker.message("voice/kitchen/online", b"offline")
    await household.say("kitchen", "brief", ttl_s=0.2)
    assert (await household.told("kitchen", "brief", "expired"))["reason"] == "the device is offline"
    await household.say("kitchen", "lasting", priority="urgent", ttl_s=1000)
    await household.told("kitchen", "lasting", "queued")
    again = await start_device(household.gateway, "kitchen")
    assert (await (await again.announcement(PATIENCE_S)).reply(PATIENCE_S)).ended is Ended.END
    await household.told("kitchen", "lasting", "done")


async def test_in_hours_of_quiet_only_what_is_urgent_is_spoken(
    household: Household, start_device: StartDevice, tmp_path: Path
) -> None:
    device = await start_device(household.gateway, "kitchen")
    now = datetime.now().astimezone()
    quiet = f"{now - timedelta(hours=2):%H:%M}-{now + timedelta(hours=2):%H:%M}"
    store = Store(f"sqlite:///{tmp_path}/gateway.db")
    await store.start()
    await store.change_personality(device_target(DeviceId("kitchen")), {"quiet": quiet}, rows_max=10)
    await household.say("kitchen", "lasting", ttl_s=4 * 3600)
    await household.say("kitchen", "brief", priority="high", ttl_s=3600)
    assert (await household.told("kitchen", "brief", "expired"))["reason"] == f"it is quiet until {quiet[-5:]}"
    await household.say("kitchen", "fire", priority="urgent")
    await household.told("kitchen", "fire", "done")
    assert household.begun("kitchen") == ["fire"]
    # What an operator changes holds for the next that comes.
    await store.change_personality(device_target(DeviceId("kitchen")), {"quiet": None}, rows_max=10)
    await store.close()
    await household.say("kitchen", "morning", priority="low")
    await household.told("kitchen", "morning", "done")
    assert household.begun("kitchen") == ["fire", "lasting", "morning"]
    assert [(await (await device.announcement(PATIENCE_S)).reply(PATIENCE_S)).ended for _ in range(3)] == [
        Ended.END
    ] * 3


async def test_a_device_that_speaks_is_there_whatever_its_will_said(household: Household) -> None:
    await household.onlooker.publish("voice/door/online", b"offline")
    await household.say("door", "lasting")
    await household.told("door", "lasting", "queued")
    await household.onlooker.publish("voice/door/in", b"RIFF" + bytes(8000))
    await household.told("door", "lasting", "done")


async def test_who_is_told_to_stop_says_nothing_of_what_waited(
    household: Household, start_device: StartDevice, provider: OpenAIServer
) -> None:
    device = await start_device(household.gateway, "kitchen")
    await keep_busy(device, provider)
    await household.say("kitchen", "dropped")
    await household.told("kitchen", "dropped", "queued")
    await device.abort()
    assert "told to stop" in (await household.told("kitchen", "dropped", "interrupted"))["reason"]
    await household.say("kitchen", "after")
    await household.told("kitchen", "after", "done")
    assert household.begun("kitchen") == ["after"]


async def test_what_the_device_still_plays_when_the_gateway_ends_is_done(
    household: Household, start_device: StartDevice
) -> None:
    device = await start_device(household.gateway, "kitchen", hello=ROOMY)
    await household.say("kitchen", "long", LONG)
    await (await device.announcement(PATIENCE_S)).done(PATIENCE_S)
    await household.gateway.__aexit__(None, None, None)
    await household.told("kitchen", "long", "done")


async def test_when_the_gateway_ends_it_is_told_what_was_not_said(
    household: Household, start_device: StartDevice, provider: OpenAIServer
) -> None:
    # The broker is the gateway's own and ends with it; what is told before can still be seen.
    device = await start_device(household.gateway, "kitchen")
    await keep_busy(device, provider)
    await household.say("kitchen", "late")
    await household.told("kitchen", "late", "queued")
    await household.gateway.__aexit__(None, None, None)
    assert "ended" in (await household.told("kitchen", "late", "interrupted"))["reason"]
