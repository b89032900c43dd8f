"""Pauses in speech: what a device has said so far is recognised in them, and used only if that was all."""

import io
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from gateway.app import Gateway
from gateway.audio import SPEECH_RATE, Pcm, to_int16
from gateway.device import Exchange, SoftwareDevice
from gateway.wire.topics import Leaf
from tests.conformance.speech import silence, spoken
from tests.e2e.conftest import StartDevice, StartGateway
from tests.e2e.onlooker import Onlooker
from tests.fakes.http_server import Request
from tests.fakes.mosquitto import Mosquitto
from tests.fakes.openai_server import HANG, OpenAIServer, Status

PAUSE_S = 0.2
"""Long enough to speculate in, too short for any end of speech."""
END_S = 1.0
UNHURRIED: dict[str, Any] = {"idle_limit_s": 20, "speculation": "recognise"}
"""A test may take its time in a pause: an utterance ends by what it holds, not by the clock."""


def said(text: str) -> NDArray[np.float32]:
    """`text` without the silence that the voice puts around it."""
    speech = spoken(text, "en-us")
    loud = np.flatnonzero(np.abs(speech) > 0.02)
    return speech[loud[0] : loud[-1]]


def hear_length(request: Request) -> str:
    """Answer of the transcription server: `one` for a sentence, `both` for two."""
    samples, rate = soundfile.read(io.BytesIO(request.files["file"]))
    return "both" if len(samples) / rate > 2 * len(said(ONE)) / SPEECH_RATE else "one"


ONE = "What time is it?"
OTHER = "And what is the weather like tomorrow in the afternoon?"


@pytest.fixture
async def mosquitto() -> AsyncIterator[str]:
    async with Mosquitto() as broker:
        yield broker.url


@pytest.fixture
def server(provider: OpenAIServer) -> OpenAIServer:
    provider.transcriptions.answer = hear_length
    return provider


async def say(device: SoftwareDevice, *parts: NDArray[np.float32]) -> Exchange:
    """Send a part of a raw stream at once."""
    return await device.speak_raw(Pcm(to_int16(np.concatenate(parts)), SPEECH_RATE), paced=False, end=False)


async def say_more(device: SoftwareDevice, *parts: NDArray[np.float32]) -> None:
    """Send more of it."""
    pcm = to_int16(np.concatenate(parts)).astype("<i2").tobytes()
    for at in range(0, len(pcm), 4096):
        await device.publish(Leaf.IN, pcm[at : at + 4096])


def kinds(device: SoftwareDevice) -> list[str]:
    return [event["event"] for event in device.events]


def counted(gateway: Gateway) -> dict[str, float]:
    report = gateway._speculation.report()
    return {name: figure for name, figure in report.items() if figure and name != "dropped_audio_s"}


async def test_a_pause_that_holds_is_recognised_before_the_end_and_not_again(
    server: OpenAIServer, mosquitto: str, start_gateway: StartGateway, start_device: StartDevice
) -> None:
    gateway = await start_gateway(mqtt_url=mosquitto, stats_interval_s=0.1, **UNHURRIED)
    device = await start_device(gateway)
    async with Onlooker(mosquitto, "voice/gateway/stats") as onlooker:
        exchange = await say(device, said(ONE), silence(PAUSE_S))
        await server.transcriptions.arrived.get()
        assert kinds(device) == ["listening"]
        await say_more(device, silence(END_S))
        done = await exchange.done(15)
        assert (done["outcome"], done["reply"]) == ("completed", "Answer to one.")
        assert kinds(device) == ["listening", "transcript", "sentence", "speaking", "done"]
        assert len(server.transcriptions.requests) == 1
        turns = {"completed": 1, "interrupted": 0, "silent": 0, "failed": 0}
        stats = await onlooker.json("voice/gateway/stats", turns=turns)
        assert stats["speculation"] == {
            "started": 1,
            "used": 1,
            "dropped": 0,
            "skipped": 0,
            "dropped_audio_s": 0.0,
            "answers_started": 0,
            "answers_used": 0,
        }


async def test_what_goes_on_after_a_pause_is_answered_once_and_whole(
    server: OpenAIServer, mosquitto: str, start_gateway: StartGateway, start_device: StartDevice
) -> None:
    server.transcriptions.answer = HANG
    gateway = await start_gateway(mqtt_url=mosquitto, **UNHURRIED)
    device = await start_device(gateway)
    exchange = await say(device, said(ONE), silence(PAUSE_S))
    await server.transcriptions.arrived.get()
    server.transcriptions.answer = hear_length
    await say_more(device, said(OTHER))
    await server.transcriptions.abandoned.get()
    await say_more(device, silence(END_S))
    assert (await exchange.done(15))["reply"] == "Answer to both."
    assert kinds(device) == ["listening", "transcript", "sentence", "speaking", "done"]
    assert [request.json["messages"][-1]["content"] for request in server.chat.requests] == ["both"]
    report = gateway._speculation.report()
    assert report["dropped_audio_s"] == pytest.approx(len(said(ONE)) / SPEECH_RATE + 0.13, abs=0.15)
    assert report["started"] == report["dropped"] + report["used"] >= 2


@pytest.mark.parametrize("form", ["raw", "frames"])
async def test_words_between_a_pause_and_the_end_are_heard(
    server: OpenAIServer, mosquitto: str, start_gateway: StartGateway, start_device: StartDevice, form: str
) -> None:
    gateway = await start_gateway(mqtt_url=mosquitto, **UNHURRIED)
    device = await start_device(gateway, hello={"v": 1, "end_of_speech": "normal"})
    before, after = np.concatenate((said(ONE), silence(0.3))), said(OTHER)
    if form == "raw":
        exchange = await say(device, before)
        await server.transcriptions.arrived.get()
        await say_more(device, after)
        await device.publish(Leaf.IN, b"")
    else:
        utterance = device.begin()
        await utterance.send(to_int16(before))
        await server.transcriptions.arrived.get()
        await utterance.send(to_int16(after))
        exchange = await utterance.end()
    assert (await exchange.done(15))["reply"] == "Answer to both."
    assert counted(gateway) == {"started": 1, "dropped": 1}


async def test_who_pauses_all_the_time_is_speculated_on_three_times(
    server: OpenAIServer, mosquitto: str, start_gateway: StartGateway, start_device: StartDevice
) -> None:
    gateway = await start_gateway(mqtt_url=mosquitto, **UNHURRIED)
    device = await start_device(gateway)
    exchange = await say(device, said(ONE), silence(PAUSE_S))
    for _ in range(5):
        await say_more(device, said(ONE), silence(PAUSE_S))
    await say_more(device, silence(END_S))
    assert (await exchange.done(15))["reply"] == "Answer to both."
    assert counted(gateway)["started"] == 3
    assert counted(gateway)["dropped"] == 3


@pytest.mark.parametrize("says_so", [True, False])
async def test_frames_are_listened_to_if_their_device_ends_them_by_silence(
    server: OpenAIServer, mosquitto: str, start_gateway: StartGateway, start_device: StartDevice, says_so: bool
) -> None:
    gateway = await start_gateway(mqtt_url=mosquitto, **UNHURRIED)
    device = await start_device(gateway, hello={"v": 1} | ({"end_of_speech": "normal"} if says_so else {}))
    utterance = device.begin()
    await utterance.send(to_int16(np.concatenate((said(ONE), silence(0.5)))))
    await utterance.exchange.event("listening", 10)
    if says_so:
        await server.transcriptions.arrived.get()
    await utterance.send(to_int16(silence(0.2)))
    await utterance.end()
    assert (await utterance.exchange.done(15))["reply"] == "Answer to one."
    assert len(server.transcriptions.requests) == 1
    assert counted(gateway) == ({"started": 1, "used": 1} if says_so else {})


@pytest.mark.parametrize("how", ["new question", "abort", "forget"])
async def test_an_interruption_ends_what_was_begun_ahead(
    server: OpenAIServer, mosquitto: str, start_gateway: StartGateway, start_device: StartDevice, how: str
) -> None:
    server.transcriptions.answer = HANG
    gateway = await start_gateway(mqtt_url=mosquitto, **UNHURRIED)
    device = await start_device(gateway, hello={"v": 1, "end_of_speech": 700})
    first = device.begin()
    await first.send(to_int16(np.concatenate((said(ONE), silence(0.3)))))
    await server.transcriptions.arrived.get()
    server.transcriptions.answer = hear_length
    if how == "abort":
        await device.abort()
    elif how == "forget":
        await device.forget()
    second = first
    if how != "forget":
        second = device.begin()
        await second.send(to_int16(np.concatenate((said(OTHER), said(ONE)))))
    await server.transcriptions.abandoned.get()
    await second.end()
    assert (await second.exchange.done(15))["reply"] == ("Answer to one." if how == "forget" else "Answer to both.")
    if how != "forget":
        assert (await first.exchange.done(5))["outcome"] == "interrupted"
    assert counted(gateway) == {"started": 1, "dropped": 1}
    assert "error" not in kinds(device)


async def test_devices_that_pause_at_the_same_time_get_their_own_answers(
    server: OpenAIServer, mosquitto: str, start_gateway: StartGateway, start_device: StartDevice
) -> None:
    gateway = await start_gateway(mqtt_url=mosquitto, stt_workers=8, **UNHURRIED)
    devices = [await start_device(gateway, f"device-{number}") for number in range(4)]
    texts = [said(ONE), np.concatenate((said(OTHER), said(ONE)))] * 2
    exchanges = [await say(device, text, silence(PAUSE_S)) for device, text in zip(devices, texts, strict=True)]
    for _ in devices:
        await server.transcriptions.arrived.get()
    for device in devices:
        await say_more(device, silence(END_S))
    replies = [(await exchange.done(15))["reply"] for exchange in exchanges]
    assert replies == ["Answer to one.", "Answer to both."] * 2
    assert counted(gateway) == {"started": 4, "used": 4}


async def test_a_busy_recogniser_is_left_to_those_who_have_said_all(
    server: OpenAIServer, mosquitto: str, start_gateway: StartGateway, start_device: StartDevice
) -> None:
    gateway = await start_gateway(mqtt_url=mosquitto, **UNHURRIED)
    waiting, speaking = await start_device(gateway, "waiting"), await start_device(gateway, "speaking")
    server.transcriptions.answer = HANG
    await waiting.speak(Pcm(to_int16(said(ONE)), SPEECH_RATE), paced=False)
    await server.transcriptions.arrived.get()
    server.transcriptions.answer = hear_length
    exchange = await say(speaking, said(ONE), silence(PAUSE_S), silence(END_S))
    assert (await exchange.done(15))["reply"] == "Answer to one."
    assert counted(gateway) == {"skipped": 1}
    assert "error" not in kinds(speaking)


async def test_what_fails_ahead_of_time_is_told_nobody_and_done_again(
    server: OpenAIServer, mosquitto: str, start_gateway: StartGateway, start_device: StartDevice
) -> None:
    server.transcriptions.answer = Status(400)
    gateway = await start_gateway(mqtt_url=mosquitto, **UNHURRIED)
    device = await start_device(gateway)
    exchange = await say(device, said(ONE), silence(PAUSE_S))
    await server.transcriptions.arrived.get()
    server.transcriptions.answer = hear_length
    await say_more(device, silence(END_S))
    assert (await exchange.done(15))["reply"] == "Answer to one."
    assert kinds(device) == ["listening", "transcript", "sentence", "speaking", "done"]
    assert counted(gateway) == {"started": 1, "dropped": 1}


# Answering ahead


async def test_the_model_may_write_ahead_and_nothing_of_it_is_heard_before_the_end(
    server: OpenAIServer, mosquitto: str, start_gateway: StartGateway, start_device: StartDevice
) -> None:
    gateway = await start_gateway(mqtt_url=mosquitto, **UNHURRIED | {"speculation": "answer"})
    device = await start_device(gateway)
    exchange = await say(device, said(ONE), silence(PAUSE_S))
    await server.chat.arrived.get()
    assert kinds(device) == ["listening"]
    assert not server.speech.requests
    await say_more(device, silence(END_S))
    done = await exchange.done(15)
    assert (done["outcome"], done["reply"]) == ("completed", "Answer to one.")
    assert (len(server.transcriptions.requests), len(server.chat.requests)) == (1, 1)
    assert counted(gateway) == {"started": 1, "used": 1, "answers_started": 1, "answers_used": 1}


async def test_ahead_of_time_the_same_assistant_is_asked(
    server: OpenAIServer, mosquitto: str, start_gateway: StartGateway, start_device: StartDevice
) -> None:
    gateway = await start_gateway(mqtt_url=mosquitto, **UNHURRIED | {"speculation": "answer"})
    device = await start_device(gateway)
    async with Onlooker(mosquitto) as onlooker:
        said_of_it = {"name": "Ana", "model": "big", "language": "fr", "system_prompt": "You are {name}."}
        assert (await onlooker.request("set", session_id="a4cf128b3f9e", **said_of_it))["status"] == "ok"
    exchange = await say(device, said(ONE), silence(PAUSE_S))
    await server.chat.arrived.get()
    assert kinds(device) == ["listening"]
    await say_more(device, silence(END_S))
    assert (await exchange.done(15))["outcome"] == "completed"
    assert [(one.json["model"], one.json["messages"][0]["content"]) for one in server.chat.requests] == [
        ("big", "You are Ana.")
    ]
    assert [one.fields["language"] for one in server.transcriptions.requests] == ["fr"]
    assert counted(gateway) == {"started": 1, "used": 1, "answers_started": 1, "answers_used": 1}


async def test_an_answer_to_half_a_question_leaves_no_trace(
    server: OpenAIServer, mosquitto: str, start_gateway: StartGateway, start_device: StartDevice
) -> None:
    usual = server.chat.answer
    server.chat.answer = HANG
    gateway = await start_gateway(mqtt_url=mosquitto, **UNHURRIED | {"speculation": "answer"})
    device = await start_device(gateway)
    exchange = await say(device, said(ONE), silence(PAUSE_S))
    await server.chat.arrived.get()
    server.chat.answer = usual
    await say_more(device, said(OTHER))
    await server.chat.abandoned.get()
    await say_more(device, silence(END_S))
    assert (await exchange.done(15))["reply"] == "Answer to both."
    assert kinds(device) == ["listening", "transcript", "sentence", "speaking", "done"]
    await (await device.ask("And then?")).done(10)
    messages = [message["content"] for message in server.chat.requests[-1].json["messages"][1:]]
    assert messages == ["both", "Answer to both.", "And then?"]
    spoken_texts = [request.json["input"] for request in server.speech.requests]
    assert spoken_texts == ["Answer to both.", "Answer to And then?."]
    again = await say(device, silence(0.3), said(ONE), said(OTHER), silence(PAUSE_S), silence(END_S))
    assert (await again.done(15))["reply"] == "Answer to both."


# Where the recogniser is


@pytest.mark.parametrize("stt", ["openai", "openai,pocketsphinx"])
async def test_by_default_nothing_is_recognised_ahead_over_a_network(
    server: OpenAIServer, mosquitto: str, start_gateway: StartGateway, start_device: StartDevice, stt: str
) -> None:
    gateway = await start_gateway(mqtt_url=mosquitto, stt=stt, **UNHURRIED | {"speculation": "auto"})
    device = await start_device(gateway)
    exchange = await say(device, said(ONE), silence(PAUSE_S), silence(END_S))
    assert (await exchange.done(15))["reply"] == "Answer to one."
    assert len(server.transcriptions.requests) == 1
    assert counted(gateway) == {}


async def test_by_default_a_recogniser_on_this_machine_begins_in_the_pause(
    server: OpenAIServer, mosquitto: str, start_gateway: StartGateway, start_device: StartDevice
) -> None:
    gateway = await start_gateway(mqtt_url=mosquitto, stt="pocketsphinx,openai", **UNHURRIED | {"speculation": "auto"})
    device = await start_device(gateway)
    exchange = await say(device, said(ONE), silence(PAUSE_S), silence(END_S))
    assert (await exchange.done(15))["outcome"] == "completed"
    assert counted(gateway) == {"started": 1, "used": 1}
    assert not server.transcriptions.requests


async def test_what_the_recogniser_on_this_machine_cannot_do_ahead_is_not_done_over_a_network(
    server: OpenAIServer, mosquitto: str, start_gateway: StartGateway, start_device: StartDevice
) -> None:
    values = {"speculation": "auto", "stt": "pocketsphinx,openai", "language": "es"}
    gateway = await start_gateway(mqtt_url=mosquitto, **UNHURRIED | values)
    device = await start_device(gateway)
    exchange = await say(device, said(ONE), silence(PAUSE_S), silence(END_S))
    assert (await exchange.done(15))["reply"] == "Answer to one."
    assert counted(gateway) == {"started": 1, "dropped": 1}
    assert len(server.transcriptions.requests) == 1


# The end of speech by device


async def test_an_eager_device_is_answered_while_a_relaxed_one_may_still_think(
    server: OpenAIServer, mosquitto: str, start_gateway: StartGateway, start_device: StartDevice
) -> None:
    gateway = await start_gateway(mqtt_url=mosquitto, end_of_speech="normal", **UNHURRIED)
    eager = await start_device(gateway, "eager", hello={"v": 1, "end_of_speech": "eager"})
    relaxed = await start_device(gateway, "relaxed", hello={"v": 1, "end_of_speech": "relaxed"})
    usual = await start_device(gateway, "usual")
    exchanges = [await say(device, said(ONE), silence(0.5)) for device in (eager, relaxed, usual)]
    assert (await exchanges[0].done(15))["reply"] == "Answer to one."
    await say_more(relaxed, silence(0.5))
    await say_more(usual, silence(0.5))
    assert (await exchanges[2].done(15))["reply"] == "Answer to one."
    assert "transcript" not in kinds(relaxed)
    await say_more(relaxed, said(OTHER), silence(1.4))
    assert (await exchanges[1].done(15))["reply"] == "Answer to both."


async def test_the_end_of_speech_of_a_device_is_known_after_a_restart(
    server: OpenAIServer, mosquitto: str, start_gateway: StartGateway, start_device: StartDevice
) -> None:
    gateway = await start_gateway(mqtt_url=mosquitto, **UNHURRIED)
    device = await start_device(gateway, hello={"v": 1, "end_of_speech": "eager"}, hello_retained=False)
    await (await device.ask("Are you there?")).done(10)
    await device.stop()
    await gateway.__aexit__(None, None, None)
    device = await start_device(await start_gateway(mqtt_url=mosquitto, **UNHURRIED))
    exchange = await say(device, said(ONE), silence(0.5))
    assert (await exchange.done(15))["reply"] == "Answer to one."


async def test_a_wrong_end_of_speech_is_told_and_the_setting_counts(
    server: OpenAIServer, mosquitto: str, start_gateway: StartGateway, start_device: StartDevice
) -> None:
    gateway = await start_gateway(mqtt_url=mosquitto, end_of_speech=300, **UNHURRIED)
    device = await start_device(gateway, hello={"v": 1, "end_of_speech": "hasty", "name": "Kitchen"})
    error = await device.event("error", 10)
    assert (error["code"], "end_of_speech" in error["message"]) == ("bad_json", True)
    exchange = await say(device, said(ONE), silence(0.5))
    assert (await exchange.done(15))["reply"] == "Answer to one."
