"""Every device has its own conversation, whatever the others do and whatever the link does."""

import asyncio
import random
from typing import Any

import pytest

from gateway.broker.mqtt import MqttBroker
from gateway.device import Ended, SoftwareDevice
from gateway.values import ReplyForm
from tests.e2e.conftest import StartDevice, StartGateway
from tests.e2e.speech import spoken
from tests.fakes.http_server import Request
from tests.fakes.openai_server import OpenAIServer

EMBEDDED = "embedded://127.0.0.1:0"
DEVICES = 30
QUESTIONS = 3


def number_of(device: int, question: int) -> int:
    return device * QUESTIONS + question


def poor_link(seed: int) -> Any:
    """A link that loses 5 % of the frames, repeats 5 % and lets 10 % overtake up to six others; the first and the
    last arrive."""
    chance = random.Random(seed)

    def spoil(frames: list[bytes]) -> list[bytes]:
        first, *middle, last = frames
        middle = [frame for frame in middle if chance.random() >= 0.05]
        middle = [copy for frame in middle for copy in [frame] * (2 if chance.random() < 0.05 else 1)]
        for at in range(len(middle) - 7):
            if chance.random() < 0.1:
                middle.insert(at + chance.randint(1, 6), middle.pop(at))
        return [first, *middle, last]

    return spoil


@pytest.mark.parametrize(
    ("broker_url", "link"),
    [("embedded", None), ("mosquitto", poor_link)],
    indirect=["broker_url"],
    ids=["good", "poor"],
)
async def test_thirty_devices_at_once_never_hear_or_remember_each_other(
    provider: OpenAIServer, broker_url: str, start_gateway: StartGateway, start_device: StartDevice, link: Any
) -> None:
    provider.chat.answer = lambda request: f"Reply {request.json['messages'][-1]['content'].split()[-1]}."
    gateway = await start_gateway(mqtt_url=broker_url, stt_queue=100)

    async def converse(index: int) -> None:
        device = await start_device(gateway, f"device-{index}")
        for question in range(QUESTIONS):
            number = number_of(index, question)
            spoil = link(number) if link else None
            exchange = await device.speak(spoken(number), paced=False, link=spoil)
            reply = await exchange.reply(50)
            done = await exchange.done(10)
            assert reply.ended is Ended.END
            assert (done["outcome"], done["reply"]) == ("completed", f"Reply {number}."), done
            assert link or done["audio"] == {"lost": 0, "duplicate": 0, "late": 0}

    await asyncio.gather(*(converse(index) for index in range(DEVICES)))
    heard = [conversation(request) for request in provider.chat.requests]
    for messages in heard:
        device, question = divmod(int(messages[-1].split()[-1]), QUESTIONS)
        numbers = [number_of(device, earlier) for earlier in range(question)]
        assert messages[:-1] == [line for n in numbers for line in (f"question {n}", f"Reply {n}.")]


def conversation(request: Request) -> list[str]:
    """What the model was told, without the system prompt."""
    return [message["content"] for message in request.json["messages"][1:]]


async def asks(device: SoftwareDevice, number: int) -> dict[str, Any]:
    exchange = await device.speak(spoken(number), paced=False)
    return dict(await exchange.done(15))


async def test_every_spelling_of_a_mac_is_one_conversation_answered_on_its_own_topic(
    provider: OpenAIServer, start_gateway: StartGateway, start_device: StartDevice
) -> None:
    gateway = await start_gateway(mqtt_url=EMBEDDED)
    for number, spelling in enumerate(("A4:CF:12:8B:3F:9E", "a4-cf-12-8b-3f-9e", "ESP32-a4cf128b3f9e")):
        device = await start_device(gateway, spelling, first_turn=number + 1)
        done = await asks(device, number)
        assert done["session_id"] == "a4cf128b3f9e"
    assert conversation(provider.chat.requests[-1])[0] == "question 0"
    # `say` typed with yet another spelling reaches the device that spoke last, on its own topics.
    async with MqttBroker(gateway.broker_url, receive=lambda message: None) as person:
        await person.connected_once(10)
        await person.publish("voice/a4cf128b3f9e/say", b"Hello there.", qos=1)
    announced = await device.announcement(10)
    assert (await announced.done(10))["reply"] == "Hello there."


async def test_the_conversation_outlives_the_gateway(
    provider: OpenAIServer, start_gateway: StartGateway, start_device: StartDevice
) -> None:
    for number in range(2):
        gateway = await start_gateway(mqtt_url=EMBEDDED)
        device = await start_device(gateway)
        await asks(device, number)
        await device.stop()
        await gateway.__aexit__(None, None, None)
    assert conversation(provider.chat.requests[-1]) == ["question 0", "Answer to question 0.", "question 1"]


async def test_after_a_restart_a_text_comes_as_the_device_used_to_speak(
    start_gateway: StartGateway, start_device: StartDevice
) -> None:
    gateway = await start_gateway(mqtt_url=EMBEDDED)
    device = await start_device(gateway)
    await (await device.speak_raw(spoken(0), chunk_ms=20, paced=False)).done(15)
    await device.stop()
    await gateway.__aexit__(None, None, None)
    again = await start_device(await start_gateway(mqtt_url=EMBEDDED))
    reply = await (await again.say("Dinner is ready, come down please.")).reply(15)
    assert reply.form is ReplyForm.STREAM
    assert reply.largest_message <= 640


async def test_the_model_is_told_the_last_twenty_messages(
    provider: OpenAIServer, start_gateway: StartGateway, start_device: StartDevice
) -> None:
    device = await start_device(await start_gateway(mqtt_url=EMBEDDED, turns_per_minute=60))
    for number in range(12):
        await (await device.ask(f"number {number}")).done(10)
    messages = conversation(provider.chat.requests[-1])
    assert len(messages) == 20
    assert messages[-1] == "number 11"
    assert messages[0] == "Answer to number 1."


async def test_a_repeated_question_is_answered_at_once_and_only_for_the_device_that_asked_it(
    provider: OpenAIServer, start_gateway: StartGateway, start_device: StartDevice
) -> None:
    gateway = await start_gateway(mqtt_url=EMBEDDED)
    device, other = await start_device(gateway, "one"), await start_device(gateway, "two")
    first = await device.speak(spoken(1), paced=False)
    reply = await first.reply(15)
    assert (await first.done(5))["cached"] is False
    again = await device.speak(spoken(1), paced=False)
    assert (await again.reply(15)).mp3 == reply.mp3
    done = await again.done(5)
    assert (done["cached"], done["reply"]) == (True, "Answer to question 1.")
    assert len(provider.chat.requests) == 1
    assert (await asks(other, 1))["cached"] is False
    assert (await asks(device, 2))["cached"] is False
    assert conversation(provider.chat.requests[-1]) == ["question 1", "Answer to question 1."] * 2 + ["question 2"]


async def test_questions_about_now_are_asked_anew(
    provider: OpenAIServer, start_gateway: StartGateway, start_device: StartDevice
) -> None:
    device = await start_device(await start_gateway(mqtt_url=EMBEDDED))
    for question in ("What time is it?", "¿Qué hora es?", "¿Qué tiempo hace hoy?"):
        for _ in range(2):
            assert (await (await device.ask(question)).done(10))["cached"] is False


async def test_a_device_that_forgets_starts_anew_and_so_does_its_cache(
    provider: OpenAIServer, start_gateway: StartGateway, start_device: StartDevice
) -> None:
    gateway = await start_gateway(mqtt_url=EMBEDDED)
    device, other = await start_device(gateway, "one"), await start_device(gateway, "two")
    await asks(device, 1)
    await asks(other, 2)
    await device.forget()
    done = await asks(device, 1)
    assert done["cached"] is False
    assert conversation(provider.chat.requests[-1]) == ["question 1"]
    await asks(other, 3)
    assert conversation(provider.chat.requests[-1]) == ["question 2", "Answer to question 2.", "question 3"]


async def test_a_conversation_erased_while_its_device_speaks_begins_anew_with_that_question(
    provider: OpenAIServer, start_gateway: StartGateway, start_device: StartDevice
) -> None:
    device = await start_device(await start_gateway(mqtt_url=EMBEDDED))
    await (await device.speak(spoken(0), paced=False)).done(20)
    utterance = device.begin()
    samples = spoken(1).samples
    await utterance.send(samples[: len(samples) // 2])
    await utterance.exchange.event("listening", 10)
    await device.forget()
    await utterance.send(samples[len(samples) // 2 :])
    assert (await (await utterance.end()).done(20))["outcome"] == "completed"
    await (await device.speak(spoken(2), paced=False)).done(20)
    asked = [[message["content"] for message in request.json["messages"][1:]] for request in provider.chat.requests]
    assert [texts[0] for texts in asked] == ["question 0", "question 1", "question 1"]
    assert [len(texts) for texts in asked] == [1, 1, 3]
