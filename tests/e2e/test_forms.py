"""Each way to speak to the gateway, and the form in which its answer comes, on both brokers."""

import io

import numpy as np
import pytest
import soundfile

from gateway.audio import Pcm
from gateway.device import Ended
from gateway.values import Codec, ReplyForm
from gateway.wire.topics import Leaf
from tests.e2e.conftest import StartDevice, StartGateway
from tests.e2e.speech import sound_file, spoken
from tests.fakes.openai_server import OpenAIServer

HELLO = {"v": 1, "name": "Kitchen", "max_packet": 1024, "buffer_ms": 2000, "reply": {"rate": 16000, "bitrate_kbps": 32}}


def seconds_of(mp3: bytes) -> float:
    return float(soundfile.info(io.BytesIO(mp3)).duration)


@pytest.mark.parametrize("codec", [Codec.PCM, Codec.ADPCM, Codec.OPUS])
async def test_frames_are_answered_in_frames(
    broker_url: str, start_gateway: StartGateway, start_device: StartDevice, codec: Codec
) -> None:
    device = await start_device(await start_gateway(mqtt_url=broker_url), hello=HELLO)
    exchange = await device.speak(spoken(3), codec=codec, paced=False)
    reply = await exchange.reply(15)
    done = await exchange.done(5)
    assert reply.form is ReplyForm.FRAMES
    assert reply.ended is Ended.END
    assert reply.largest_message <= 1024 - len("voice/a4cf128b3f9e/out") - 5
    assert (reply.lost, reply.duplicate) == (0, 0)
    assert soundfile.info(io.BytesIO(reply.mp3)).samplerate == 16000
    assert done["outcome"] == "completed"
    assert done["reply"].startswith("Answer to question")
    assert done["chunks"] == len([chunk for chunk in reply.chunks if chunk.audio])
    assert done["bytes"] == len(reply.mp3)


async def test_opus_and_adpcm_are_heard_as_they_were_said(
    start_gateway: StartGateway, start_device: StartDevice
) -> None:
    device = await start_device(await start_gateway(mqtt_url="embedded://127.0.0.1:0"))
    for number, codec in ((4, Codec.PCM), (5, Codec.ADPCM)):
        exchange = await device.speak(spoken(number), codec=codec, paced=False)
        assert (await exchange.event("transcript", 15))["text"] == f"question {number}"
        await exchange.done(15)


async def test_raw_audio_is_answered_by_bare_mp3_and_an_empty_message(
    broker_url: str, start_gateway: StartGateway, start_device: StartDevice
) -> None:
    device = await start_device(await start_gateway(mqtt_url=broker_url))
    exchange = await device.speak_raw(spoken(7), paced=False)
    reply = await exchange.reply(15)
    done = await exchange.done(5)
    assert (await exchange.event("transcript", 5))["text"] == "question 7"
    assert reply.form is ReplyForm.STREAM
    assert done["turn"] >= 0x8000
    assert len(reply.chunks) > 1
    assert seconds_of(reply.mp3) > 1
    # Without a hello no message is larger than the largest of the question: 60 ms of PCM.
    assert reply.largest_message <= 1920


async def test_raw_audio_without_an_end_is_answered_after_the_idle_limit(
    start_gateway: StartGateway, start_device: StartDevice
) -> None:
    device = await start_device(await start_gateway(mqtt_url="embedded://127.0.0.1:0", idle_limit_s=0.2))
    exchange = await device.speak_raw(spoken(2), paced=False, end=False)
    assert (await exchange.event("transcript", 15))["text"] == "question 2"
    assert (await exchange.reply(15)).ended is Ended.END


async def test_a_raw_stream_that_goes_on_silent_is_answered_once_and_again_when_somebody_speaks(
    start_gateway: StartGateway, start_device: StartDevice
) -> None:
    device = await start_device(await start_gateway(mqtt_url="embedded://127.0.0.1:0"))
    quiet = np.zeros(32_000, np.int16)
    question = Pcm(np.concatenate([spoken(0).samples, quiet]), 16_000)
    first = await device.speak_raw(question, paced=False, end=False)
    await device.publish(Leaf.IN, quiet.tobytes())
    assert (await first.reply(15)).ended is Ended.END
    await device.publish(Leaf.IN, quiet.tobytes())
    second = await device.speak_raw(question, paced=False, end=False)
    await second.reply(15)
    await second.done(5)
    kinds = [event["event"] for event in device.events]
    assert kinds.count("listening") == kinds.count("done") == 2


async def test_a_wav_over_several_messages_is_answered_by_a_stream(
    broker_url: str, start_gateway: StartGateway, start_device: StartDevice
) -> None:
    device = await start_device(await start_gateway(mqtt_url=broker_url))
    exchange = await device.speak_wav(sound_file(spoken(9, 22_050)), chunk_bytes=3001)
    reply = await exchange.reply(15)
    assert (await exchange.event("transcript", 5))["text"] == "question 9"
    assert reply.form is ReplyForm.STREAM
    assert reply.largest_message <= 3001
    assert seconds_of(reply.mp3) > 1


@pytest.mark.parametrize(
    ("container", "subtype", "rate"),
    [
        ("WAV", "PCM_16", 16_000),
        ("WAV", "PCM_U8", 8_000),
        ("WAV", "PCM_24", 48_000),
        ("WAV", "FLOAT", 44_100),
        ("WAV", "ULAW", 16_000),
        ("FLAC", "PCM_16", 22_050),
        ("OGG", "VORBIS", 16_000),
        ("OGG", "OPUS", 24_000),
        ("MP3", "MPEG_LAYER_III", 24_000),
    ],
)
async def test_a_file_in_one_message_is_answered_in_one_message(
    start_gateway: StartGateway, start_device: StartDevice, container: str, subtype: str, rate: int
) -> None:
    device = await start_device(
        await start_gateway(mqtt_url="embedded://127.0.0.1:0"), hello={"v": 1, "max_packet": 100_000}
    )
    exchange = await device.speak_file(sound_file(spoken(30, rate), container, subtype))
    reply = await exchange.reply(15)
    text = (await exchange.event("transcript", 5))["text"]
    # An MP3 is longer than what was encoded, by its encoder's delay and padding.
    assert text in (["question 30", "question 31", "question 32"] if container == "MP3" else ["question 30"])
    assert reply.form is ReplyForm.MESSAGE
    assert len(reply.chunks) == 1
    assert seconds_of(reply.mp3) > 1


async def test_without_a_hello_the_one_message_is_no_larger_than_the_question_was(
    start_gateway: StartGateway, start_device: StartDevice
) -> None:
    device = await start_device(await start_gateway(mqtt_url="embedded://127.0.0.1:0"))
    question = sound_file(spoken(1, 16_000), "OGG", "OPUS")
    reply = await (await device.speak_file(question)).reply(15)
    assert len(reply.chunks) == 1
    assert len(reply.mp3) <= len(question)
    assert seconds_of(reply.mp3) == pytest.approx(0.06 * len("Answer to question 1."), abs=0.3)


async def test_text_is_answered_or_spoken_in_the_form_that_the_device_uses(
    start_gateway: StartGateway, start_device: StartDevice
) -> None:
    gateway = await start_gateway(mqtt_url="embedded://127.0.0.1:0")
    never_spoke = await start_device(gateway, "plain")
    asked = await never_spoke.ask("What is this?")
    reply = await asked.reply(15)
    assert (reply.form, len(reply.chunks)) == (ReplyForm.MESSAGE, 1)
    assert (await asked.done(5))["reply"] == "Answer to What is this?."

    said_hello = await start_device(gateway, "board", hello=HELLO)
    said = await said_hello.say("Dinner is ready.")
    reply = await said.reply(15)
    assert reply.form is ReplyForm.FRAMES
    assert reply.turn is not None
    assert reply.turn >= 0x8000
    assert (await said.done(5))["reply"] == "Dinner is ready."


async def test_silence_is_no_failure_and_each_form_hears_its_end(
    provider: OpenAIServer, start_gateway: StartGateway, start_device: StartDevice
) -> None:
    provider.transcriptions.answer = ""
    device = await start_device(await start_gateway(mqtt_url="embedded://127.0.0.1:0"))
    silence = Pcm(np.zeros(16_000, np.int16), 16_000)

    framed = await device.speak(silence, paced=False)
    reply = await framed.reply(15)
    assert (reply.ended, reply.mp3) == (Ended.END, b"")
    assert (await framed.done(5))["outcome"] == "silent"

    raw = await device.speak_raw(silence, paced=False)
    reply = await raw.reply(15)
    assert (reply.ended, reply.mp3) == (Ended.END, b"")
    assert (await raw.done(5))["outcome"] == "silent"

    whole = await device.speak_file(sound_file(silence))
    assert seconds_of((await whole.reply(15)).mp3) > 0.3
    assert (await whole.done(5))["outcome"] == "silent"
