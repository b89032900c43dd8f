"""What a device may send is bounded: a breach is told with its code, and nobody else notices."""

import io
import json
import random
from pathlib import Path

import numpy as np
import pytest
import soundfile

from gateway.audio import Pcm
from gateway.device import Ended, Exchange, SoftwareDevice
from gateway.engines.clips import clip
from gateway.store import Store
from gateway.values import ReplyForm, parse_device_id
from gateway.wire.frame import Flag, Frame, FrameCodec, encode
from gateway.wire.topics import UPLINK, Leaf
from tests.cli.retained import publish_retained
from tests.e2e.conftest import StartDevice, StartGateway
from tests.e2e.locking import locked
from tests.e2e.onlooker import Onlooker
from tests.e2e.speech import sound_file, spoken
from tests.fakes.mosquitto import Mosquitto
from tests.fakes.openai_server import HANG, OpenAIServer

EMBEDDED = "embedded://127.0.0.1:0"
ROOMY = {"v": 1, "max_packet": 200_000}
SILENCE = Pcm(np.zeros(16_000, np.int16), 16_000)


async def refused_audibly(exchange: Exchange, code: str) -> None:
    """The turn fails with `code`, and the device hears the clip for it."""
    reply = await exchange.reply(20)
    done = await exchange.done(20)
    assert done["outcome"] == "failed"
    assert [event["code"] for event in exchange.events if event["event"] == "error"] == [code]
    assert reply.ended is Ended.END
    heard_s = float(soundfile.info(io.BytesIO(reply.mp3)).duration)
    assert heard_s == pytest.approx(clip(code, "en").seconds, abs=0.2)


async def still_answers(device: SoftwareDevice) -> None:
    exchange = await device.speak(spoken(0), paced=False)
    assert (await exchange.done(20))["outcome"] == "completed"


# Audio


async def test_a_message_over_the_limit_is_refused_audibly(
    start_gateway: StartGateway, start_device: StartDevice
) -> None:
    device = await start_device(await start_gateway(mqtt_url=EMBEDDED, message_max_bytes=20_000), hello=ROOMY)
    await refused_audibly(await device.speak_file(sound_file(spoken(0))), "audio_too_long")
    await refused_audibly(await device.speak_raw(SILENCE, chunk_ms=1000, paced=False), "audio_too_long")
    await still_answers(device)


async def test_a_message_beyond_every_buffer_is_refused_audibly_too(
    start_gateway: StartGateway, start_device: StartDevice
) -> None:
    async with Mosquitto() as broker:
        gateway = await start_gateway(mqtt_url=broker.url)
        device = await start_device(gateway, hello=ROOMY)
        five_minutes = Pcm(np.zeros(300 * 16_000, np.int16), 16_000)
        await refused_audibly(await device.speak_file(sound_file(five_minutes)), "audio_too_long")
        await still_answers(device)
        await gateway.__aexit__(None, None, None)


@pytest.mark.parametrize("form", list(ReplyForm))
async def test_an_utterance_over_the_limit_is_answered_as_far_as_it_was_heard(
    start_gateway: StartGateway, start_device: StartDevice, form: ReplyForm
) -> None:
    device = await start_device(await start_gateway(mqtt_url=EMBEDDED, utterance_max_s=0.5), hello=ROOMY)
    if form is ReplyForm.FRAMES:
        exchange = await device.speak(spoken(9), paced=False)
    elif form is ReplyForm.STREAM:
        exchange = await device.speak_raw(spoken(9), paced=False)
    else:
        exchange = await device.speak_file(sound_file(spoken(9)))
    assert (await exchange.event("error", 20))["code"] == "audio_too_long"
    assert (await exchange.reply(20)).ended is Ended.END
    done = await exchange.done(20)
    assert done["outcome"] == "completed"
    assert done["reply"].startswith("Answer to question -")  # it heard less than the shortest question


async def test_what_is_too_short_is_refused_audibly(start_gateway: StartGateway, start_device: StartDevice) -> None:
    device = await start_device(await start_gateway(mqtt_url=EMBEDDED), hello=ROOMY)
    click = Pcm(spoken(0).samples[:800], 16_000)
    await refused_audibly(await device.speak(click, paced=False), "audio_too_short")
    await refused_audibly(await device.speak_raw(click, paced=False), "audio_too_short")
    await refused_audibly(await device.speak_file(sound_file(click)), "audio_too_short")
    utterance = device.begin()
    await utterance.end()
    await refused_audibly(utterance.exchange, "audio_too_short")


async def test_a_question_that_was_not_understood_because_a_part_of_it_is_missing_is_answered_audibly(
    provider: OpenAIServer, start_gateway: StartGateway, start_device: StartDevice
) -> None:
    provider.transcriptions.answer = ""
    device = await start_device(await start_gateway(mqtt_url=EMBEDDED, idle_limit_s=0.3), hello=ROOMY)
    await refused_audibly(await device.speak(spoken(0), paced=False, link=lambda frames: frames[5:]), "no_speech")
    await refused_audibly(await device.speak(spoken(0), paced=False, link=lambda frames: frames[:-1]), "no_speech")
    whole = await device.speak(spoken(0), paced=False)
    assert (await whole.done(20))["outcome"] == "silent"


async def test_what_cannot_be_decoded_is_refused_audibly(
    start_gateway: StartGateway, start_device: StartDevice
) -> None:
    device = await start_device(await start_gateway(mqtt_url=EMBEDDED), hello=ROOMY)
    for damaged in (b"fLaC" + bytes(500), b"OggS" + random.Random(1).randbytes(3000), b"ID3 but no sound at all"):
        await refused_audibly(await device.speak_file(damaged), "audio_undecodable")
    await still_answers(device)


async def test_opus_that_is_none_is_refused_audibly(start_gateway: StartGateway, start_device: StartDevice) -> None:
    device = await start_device(await start_gateway(mqtt_url=EMBEDDED))
    utterance = device.begin()
    # A self-delimiting look and nothing sane inside: code 3 with 1 frame, and padding longer than the packet.
    garbage = b"\x03\x41\xff\xff\xff"
    for seq in range(5):
        flags = (Flag.START if seq == 0 else Flag.NONE) | (Flag.END if seq == 4 else Flag.NONE)
        frame = Frame(utterance.writer.turn, seq, flags, FrameCodec.OPUS, 16_000, garbage)
        await device.publish(Leaf.IN, encode(frame))
    exchange = utterance.exchange
    done = await exchange.done(20)
    assert done["outcome"] == "failed"
    assert (await exchange.reply(20)).ended is Ended.END


# JSON and text


@pytest.mark.parametrize(
    ("leaf", "payload", "words"),
    [
        (Leaf.HELLO, b'{"v":1,"name":"' + b"x" * 5000 + b'"}', "larger than 4096"),
        (Leaf.HELLO, b'{"v":1', "hello"),
        (Leaf.HELLO, b'{"v":2}', "v:"),
        (Leaf.HELLO, b'{"v":1,"max_packet":"big"}', "max_packet"),
        (Leaf.HELLO, b'{"v":1,"buffer_ms":-1}', "buffer_ms"),
        (Leaf.HELLO, b"[1]", "object"),
        (Leaf.HELLO, b"\xff\xfe", "hello"),
        (Leaf.CONTROL, b'{"type":"dance"}', "dance"),
        (Leaf.CONTROL, b"abort", "control"),
        (Leaf.CONTROL, b'{"type":"played","turn":"7"}', "turn"),
        (Leaf.CONTROL, b"{" * 5000, "larger than 4096"),
        (Leaf.SAY, b"   ", "text"),
        (Leaf.SAY, b"x" * 1001, "1001 characters"),
        (Leaf.SAY, b'{"text":7}', "text"),
        (Leaf.ASK, b'{"text":"hi","language":"klingon"}', "language"),
        (Leaf.ASK, b"\xff\xff", "UTF-8"),
        (Leaf.ONLINE, b"perhaps", "online or offline"),
    ],
)
async def test_json_and_text_that_are_wrong_are_named(
    start_gateway: StartGateway, start_device: StartDevice, leaf: Leaf, payload: bytes, words: str
) -> None:
    device = await start_device(await start_gateway(mqtt_url=EMBEDDED))
    await device.publish(leaf, payload)
    error = await device.event("error", 10)
    assert (error["code"], error["turn"], error["stage"]) == ("bad_json", None, "receive")
    assert words in error["message"]
    assert len(error["message"]) < 500
    assert (await (await device.ask("hello")).done(10))["outcome"] == "completed"


async def test_a_hello_that_is_wrong_leaves_the_one_before_in_force(
    start_gateway: StartGateway, start_device: StartDevice
) -> None:
    device = await start_device(await start_gateway(mqtt_url=EMBEDDED), hello={"v": 1, "max_packet": 500})
    await device.publish(Leaf.HELLO, b'{"v":1,"max_packet":')
    await device.event("error", 10, code="bad_json")
    reply = await (await device.ask("hello")).reply(10)
    assert 400 < reply.largest_message <= 500


# Rates and numbers


async def test_too_many_questions_are_refused_audibly(start_gateway: StartGateway, start_device: StartDevice) -> None:
    gateway = await start_gateway(mqtt_url=EMBEDDED, turns_per_minute=3)
    device, other = await start_device(gateway, "eager"), await start_device(gateway, "calm")
    for _ in range(3):
        assert (await (await device.ask("hello")).done(20))["outcome"] == "completed"
    await refused_audibly(await device.ask("hello"), "rate_limited")
    await refused_audibly(await device.speak(spoken(0), paced=False), "rate_limited")
    await still_answers(other)


async def test_a_device_that_only_ever_begins_to_speak_leaves_no_trail(
    start_gateway: StartGateway, start_device: StartDevice, tmp_path: Path
) -> None:
    gateway = await start_gateway(mqtt_url=EMBEDDED, turns_per_minute=3)
    device = await start_device(gateway, "stutter")
    for turn in range(1, 21):
        await device.publish(Leaf.IN, encode(Frame(turn, 0, Flag.START, FrameCodec.PCM, 16000)))
    await device.event("done", 10, turn=19)
    await device.abort()
    await device.event("done", 10, turn=20)
    store = Store(f"sqlite:///{tmp_path / 'gateway.db'}")
    await store.start()
    assert [record.turn for record in await store.turns(parse_device_id("stutter"), 100)] == [1, 2, 3]
    await store.close()


async def test_a_device_that_takes_too_little_for_any_audio_is_told_and_nothing_counts_as_said(
    start_gateway: StartGateway, start_device: StartDevice
) -> None:
    device = await start_device(await start_gateway(mqtt_url=EMBEDDED), hello={"v": 1, "max_packet": 60})
    exchange = await device.speak(spoken(0), paced=False)
    assert (await exchange.reply(10)).ended is Ended.END
    done = await exchange.done(10)
    assert (done["outcome"], done["reply"], done["bytes"]) == ("failed", "", 0)
    assert "no audio fits" in (await exchange.event("error", 5))["message"]


async def test_a_device_beyond_the_number_of_sessions_is_told_audibly(
    provider: OpenAIServer, start_gateway: StartGateway, start_device: StartDevice
) -> None:
    usual, provider.chat.answer = provider.chat.answer, HANG
    gateway = await start_gateway(mqtt_url=EMBEDDED, sessions_max=2)
    known = [await start_device(gateway, name) for name in ("one", "two")]
    waiting = [await device.ask("hello") for device in known]
    for device in known:
        await device.wait_state("thinking", 10)
    # While the others are busy, and when they no longer are.
    third = await start_device(gateway, "three")
    await refused_audibly(await third.ask("hello"), "busy")
    for device, exchange in zip(known, waiting, strict=True):
        await device.abort()
        await exchange.done(10)
    await refused_audibly(await third.ask("hello"), "busy")
    provider.chat.answer = usual
    await still_answers(known[0])
    await known[1].forget()
    async with Onlooker(gateway.broker_url) as onlooker:
        await onlooker.request("sessions")  # answered after the erasing
        await third.publish(Leaf.HELLO, b'{"v":1}')
    await still_answers(third)


async def test_a_flood_is_cut_and_told_once(
    start_gateway: StartGateway, start_device: StartDevice, tmp_path: Path
) -> None:
    gateway = await start_gateway(mqtt_url=EMBEDDED, queue_messages=20)
    device = await start_device(gateway, "flooding")
    async with Onlooker(gateway.broker_url, "voice/gateway/response/+", "voice/flooding/event") as onlooker:
        # A database that does not answer keeps the device's messages waiting for a while.
        with locked(tmp_path / "gateway.db"):
            exchange = await device.speak(spoken(0), paced=False)
            await exchange.event("listening", 10)
            for _ in range(100):
                await device.publish(Leaf.CONTROL, b'{"type":"played","turn":1,"seq":1}')
            told = await device.event("error", 10, code="busy")
            assert (told["turn"], told["retryable"]) == (None, True)
            assert "20 messages wait" in told["message"]
        assert (await exchange.done(20))["outcome"] == "completed"
        assert (await onlooker.statistics())["dropped"]["messages"] > 0
        events = [json.loads(message.payload) for message in onlooker.on("voice/flooding/event")]
    assert [event.get("code") for event in events].count("busy") == 1
    await still_answers(device)


# Topics


async def test_topics_of_no_device_are_refused_by_name(start_gateway: StartGateway, start_device: StartDevice) -> None:
    gateway = await start_gateway(mqtt_url=EMBEDDED)
    async with Onlooker(gateway.broker_url) as onlooker:
        for spelling in ("gateway", "not a device", "ñandú", "x" * 65):
            await onlooker.publish(f"voice/{spelling}/in", b"\x01\x02")
            error = await onlooker.json(f"voice/{spelling}/event", event="error")
            assert (error["code"], error["turn"], error["session_id"]) == ("bad_topic", None, None)
        await onlooker.publish(f"voice/{'x' * 65_526}/in", b"\x01\x02")
        await onlooker.publish(f"voice/gateway/request/{'x' * 65_000}", b"{}")
    await still_answers(await start_device(gateway))


async def test_retained_audio_and_requests_are_ignored(
    provider: OpenAIServer, start_gateway: StartGateway, start_device: StartDevice
) -> None:
    async with Mosquitto() as broker:
        async with Onlooker(broker.url) as onlooker:
            await onlooker.publish("voice/kitchen/in", sound_file(spoken(0)), retain=True)
            await onlooker.publish("voice/kitchen/ask", b"hello", retain=True)
            await onlooker.publish("voice/gateway/request/cleanup", b'{"days":0}', retain=True)
            gateway = await start_gateway(mqtt_url=broker.url)
            device = await start_device(gateway, "kitchen")
            await still_answers(device)
            assert not onlooker.on("voice/gateway/response/cleanup")
        assert [event["event"] for event in device.events].count("done") == 1
        # Not to be served after the gateway has gone.
        await gateway.__aexit__(None, None, None)


async def test_of_many_retained_messages_not_each_is_logged(
    start_gateway: StartGateway, caplog: pytest.LogCaptureFixture
) -> None:
    async with Mosquitto() as broker:
        await publish_retained(broker.url, [f"voice/kitchen{number}/in" for number in range(200)])
        gateway = await start_gateway(mqtt_url=broker.url)
        async with Onlooker(gateway.broker_url) as onlooker:
            await onlooker.statistics()
        assert 1 <= caplog.text.count("ignored a retained message") <= 50
        await gateway.__aexit__(None, None, None)


def garbage(chance: random.Random) -> tuple[str, bytes]:
    """A topic and something unfit for it: noise, or a good message with some bytes spoilt."""
    good = [
        encode(Frame(chance.randint(1, 0x7FFF), chance.randint(0, 9), Flag.START, FrameCodec.ADPCM, 16_000, bytes(64))),
        encode(Frame(chance.randint(1, 0x7FFF), 1, Flag.END, FrameCodec.OPUS, 8_000, chance.randbytes(30))),
        sound_file(Pcm(np.zeros(400, np.int16), 16_000)),
        sound_file(Pcm(np.zeros(400, np.int16), 16_000), "FLAC"),
        b'{"v":1,"max_packet":4096,"buffer_ms":2000,"reply":{"rate":24000,"bitrate_kbps":32}}',
        b'{"type":"played","turn":7,"seq":41}',
        b'{"text":"hello","language":"en"}',
        b'{"days":30,"dry_run":true,"transaction":"\\ud800","session_id":"kitchen"}',
        b"\xff\xfb\x90\x00" * 100,
        b"",
        chance.randbytes(chance.randint(1, 3000)),
    ]
    payload = bytearray(chance.choice(good))
    for _ in range(chance.choice([0, 1, 1, 3])):
        if payload:
            payload[chance.randrange(len(payload))] = chance.randrange(256)
    names = ["kitchen", "A4:CF:12:8B:3F:9E", "gateway", "a b", "-", "ESP32-a4cf128b3f9e", "x" * 70]
    leaves = [*UPLINK, Leaf.STATE, Leaf.EVENT]
    verbs = ["stats", "sessions", "forget", "cleanup", "dance", ""]
    if chance.random() < 0.2:
        return f"voice/gateway/request/{chance.choice(verbs)}", bytes(payload)
    return f"voice/{chance.choice(names)}/{chance.choice(leaves)}", bytes(payload)


@pytest.mark.parametrize("seed", range(3))
async def test_garbage_on_every_topic_disturbs_nobody_else(
    start_gateway: StartGateway, start_device: StartDevice, caplog: pytest.LogCaptureFixture, seed: int
) -> None:
    gateway = await start_gateway(mqtt_url=EMBEDDED, idle_limit_s=0.05)
    other = await start_device(gateway, "other")
    chance = random.Random(seed)
    async with Onlooker(gateway.broker_url, "voice/gateway/response/+") as onlooker:
        for _ in range(300):
            await onlooker.publish(*garbage(chance), retain=chance.random() < 0.1, qos=chance.choice([0, 1]))
        await still_answers(other)
        assert (await onlooker.request("sessions"))["status"] == "ok"
    assert not [record for record in caplog.records if record.levelname == "ERROR"]
