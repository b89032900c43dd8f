"""What is done for the first sound of an answer to come soon, with a whole gateway and a real provider API."""

import asyncio
import io
from contextlib import aclosing

import numpy as np
import pytest
import soundfile

from gateway.device import Ended
from gateway.engines.clips import THINKING, clip
from tests.e2e.conftest import StartDevice, StartGateway
from tests.e2e.speech import sound_file, spoken
from tests.fakes.openai_server import Audio, Broken, Ending, OpenAIServer, tone

EMBEDDED = "embedded://127.0.0.1:0"


async def test_connections_are_opened_while_the_question_is_still_spoken(
    provider: OpenAIServer, start_gateway: StartGateway, start_device: StartDevice
) -> None:
    device = await start_device(await start_gateway(mqtt_url=EMBEDDED))
    utterance = device.begin()
    await utterance.send(spoken(0).samples)
    async with asyncio.timeout(10):
        for _engine in range(3):
            await provider.strays.get()
    # Nothing has been asked yet.
    assert provider.accepted == 3
    assert not provider.transcriptions.requests
    exchange = await utterance.end()
    assert (await exchange.done(10))["reply"] == "Answer to question 0."
    assert provider.accepted == 3


async def test_the_first_piece_is_heard_while_the_model_writes_on(
    provider: OpenAIServer, start_gateway: StartGateway, start_device: StartDevice
) -> None:
    device = await start_device(await start_gateway(mqtt_url=EMBEDDED))
    provider.chat.answer = Broken(["Yes, of course, ", "I will tell you all about it and"], Ending.HANG)
    exchange = await device.speak(spoken(0), paced=False)
    async with aclosing(exchange.chunks(10)) as chunks:
        await anext(chunks)
    assert [request.json["input"] for request in provider.speech.requests] == ["Yes, of course,"]
    assert provider.chat.abandoned.empty()
    await device.abort()


async def test_a_piece_is_heard_while_its_synthesis_goes_on_and_the_next_is_asked_for(
    provider: OpenAIServer, start_gateway: StartGateway, start_device: StartDevice
) -> None:
    device = await start_device(await start_gateway(mqtt_url=EMBEDDED))
    provider.chat.answer = (
        "Yes, of course, I will tell you all about it. And then some more of it, if you like to hear it."
    )
    provider.speech.answer = Broken(Audio(tone(0.5), "audio/pcm"), Ending.HANG)
    exchange = await device.speak(spoken(0), paced=False)
    async with asyncio.timeout(10):
        asked = [(await provider.speech.arrived.get()).json["input"] for _ in range(2)]
    async with aclosing(exchange.chunks(10)) as chunks:
        await anext(chunks)
    assert asked == ["Yes, of course,", "I will tell you all about it."]
    # No more than one ahead, and when nobody listens any more no synthesis goes on.
    assert len(provider.speech.requests) == 2
    await device.abort()
    async with asyncio.timeout(10):
        for _ in range(2):
            await provider.speech.abandoned.get()


def loud_ms(mp3: bytes) -> list[int]:
    """How long each sound of `mp3` is, in milliseconds, of those that silence of a tenth of a second divides."""
    samples, rate = soundfile.read(io.BytesIO(mp3), dtype="float32")
    step = rate // 50
    loud = np.abs(samples[: len(samples) // step * step]).reshape(-1, step).max(axis=1) > 0.01
    gaps = np.flatnonzero(loud)
    return [20 * (run[-1] - run[0] + 1) for run in np.split(gaps, np.flatnonzero(np.diff(gaps) > 5) + 1)]


async def test_a_late_answer_is_preceded_by_a_sound_that_is_no_part_of_it(
    provider: OpenAIServer, start_gateway: StartGateway, start_device: StartDevice
) -> None:
    device = await start_device(await start_gateway(mqtt_url=EMBEDDED, thinking_after_s=0.05))
    provider.chat.wait_for = asyncio.Event()
    exchange = await device.speak(spoken(0), paced=False)
    async with aclosing(exchange.chunks(10)) as chunks:
        await anext(chunks)
    assert "speaking" not in [event["event"] for event in exchange.events]
    assert (await device.wait_state("thinking", 10))["state"] == "thinking"
    provider.chat.wait_for.set()
    reply = await exchange.reply(10)
    done = await exchange.done(10)
    assert reply.ended is Ended.END
    assert done["reply"] == "Answer to question 0."
    assert [event["event"] for event in exchange.events].count("speaking") == 1
    assert done["timings_ms"]["llm_first_token"] <= done["timings_ms"]["first_audio_out"]
    # One stream, in which a decoder hears the sound and then the answer, 60 ms a character.
    sound, answer = loud_ms(reply.mp3)
    assert sound == pytest.approx(400, abs=150)
    assert answer == pytest.approx(60 * len(done["reply"]), abs=60)

    # The same question is answered anew: what was kept of this answer would begin with the sound.
    again = await device.speak(spoken(0), paced=False)
    assert (await again.done(10))["cached"] is False


async def test_the_sound_comes_again_while_the_answer_stays_away(
    provider: OpenAIServer, start_gateway: StartGateway, start_device: StartDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.pipeline.answer.THINKING_EVERY_S", 0.05)
    device = await start_device(await start_gateway(mqtt_url=EMBEDDED, thinking_after_s=0.05))
    provider.chat.wait_for = asyncio.Event()
    exchange = await device.speak(spoken(0), paced=False)
    sound_bytes = clip(THINKING, "en").seconds * 48_000 / 8
    received = 0
    async with aclosing(exchange.chunks(10)) as chunks:
        while received < 2.5 * sound_bytes:
            received += len((await anext(chunks)).audio)
    await device.abort()
    assert (await exchange.done(10))["reply"] == ""


@pytest.mark.parametrize("after_s", [0.0, 60.0])
async def test_an_answer_in_time_is_all_that_is_heard(
    provider: OpenAIServer, start_gateway: StartGateway, start_device: StartDevice, after_s: float
) -> None:
    device = await start_device(await start_gateway(mqtt_url=EMBEDDED, thinking_after_s=after_s))
    exchange = await device.speak(spoken(0), paced=False)
    assert len(loud_ms((await exchange.reply(10)).mp3)) == 1


async def test_a_reply_in_one_message_is_the_answer_alone(
    provider: OpenAIServer, start_gateway: StartGateway, start_device: StartDevice
) -> None:
    device = await start_device(await start_gateway(mqtt_url=EMBEDDED, thinking_after_s=0.01))
    provider.chat.delay_s = 0.3
    exchange = await device.speak_file(sound_file(spoken(0)))
    assert len(loud_ms((await exchange.reply(10)).mp3)) == 1
