"""What the gateway tells of a turn: its events, its timings, the state of the device."""

import json
from datetime import datetime

import pytest

from gateway.values import ReplyForm
from tests.e2e.asking import EMBEDDED, asks
from tests.e2e.conftest import StartDevice, StartGateway
from tests.e2e.onlooker import Onlooker
from tests.e2e.speech import sound_file, spoken
from tests.fakes.openai_server import OpenAIServer

HEAD = ["event", "turn", "session_id", "ts"]
TIMINGS = ["received", "stt", "llm_first_token", "tts_first_audio", "first_audio_out", "total"]


@pytest.mark.parametrize("form", list(ReplyForm))
async def test_a_turn_is_told_step_by_step_with_the_keys_of_the_contract(
    start_gateway: StartGateway, start_device: StartDevice, form: ReplyForm
) -> None:
    device = await start_device(await start_gateway(mqtt_url=EMBEDDED), "A4:CF:12:8B:3F:9E")
    if form is ReplyForm.FRAMES:
        exchange = await device.speak(spoken(4))
    elif form is ReplyForm.STREAM:
        exchange = await device.speak_raw(spoken(4))
    else:
        exchange = await device.speak_file(sound_file(spoken(4)))
    done = await exchange.done(20)
    events = exchange.events
    kinds = [event["event"] for event in events]
    # Text is told as it is ready; whether audio leaves before the next piece is told is a matter of time.
    assert [kind for kind in kinds if kind != "speaking"] == ["listening", "transcript", "sentence", "done"]
    assert kinds.index("sentence") < kinds.index("speaking") < kinds.index("done")
    keys = {
        "listening": [],
        "transcript": ["text", "language"],
        "sentence": ["index", "text"],
        "speaking": [],
        "done": ["outcome", "reply", "chunks", "bytes", "cached", "timings_ms", "audio", "kind", "heard", "error"],
    }
    for event in events:
        assert list(event) == HEAD + keys[event["event"]]
        assert (event["turn"], event["session_id"]) == (exchange.turn, "a4cf128b3f9e")
        assert datetime.fromisoformat(event["ts"]).utcoffset() is not None
    stamps = [event["ts"] for event in events]
    assert stamps == sorted(stamps)
    assert list(done["timings_ms"]) == TIMINGS
    assert list(done["audio"]) == ["lost", "duplicate", "late"]


async def test_timings_are_those_that_passed(
    provider: OpenAIServer, start_gateway: StartGateway, start_device: StartDevice
) -> None:
    provider.transcriptions.delay_s, provider.chat.delay_s, provider.speech.delay_s = 0.1, 0.2, 0.3
    device = await start_device(await start_gateway(mqtt_url=EMBEDDED))
    exchange = await device.speak(spoken(0))
    timings = (await exchange.done(20))["timings_ms"]
    # Spoken at its own pace it takes as long as it is, less the first message.
    assert spoken(0).seconds * 1000 - 200 < timings["received"] < spoken(0).seconds * 1000 + 2000
    steps = [timings[name] for name in TIMINGS[1:]]
    assert steps == sorted(steps)
    assert timings["stt"] >= 100
    assert timings["llm_first_token"] - timings["stt"] >= 200
    assert timings["tts_first_audio"] - timings["llm_first_token"] >= 300
    started = (await exchange.reply(1)).started_after_s
    assert started is not None
    assert timings["first_audio_out"] == pytest.approx(started * 1000, abs=400)


async def test_a_text_has_no_timings_of_hearing(start_gateway: StartGateway, start_device: StartDevice) -> None:
    device = await start_device(await start_gateway(mqtt_url=EMBEDDED))
    timings = (await asks(device, "hello"))["timings_ms"]
    assert (timings["received"], timings["stt"]) == (None, None)
    assert timings["total"] >= timings["first_audio_out"] > 0
    said = dict(await (await device.say("Dinner is ready.")).done(20))["timings_ms"]
    assert said["llm_first_token"] is None


async def test_the_state_goes_through_a_turn_and_keeps_the_last(
    start_gateway: StartGateway, start_device: StartDevice
) -> None:
    gateway = await start_gateway(mqtt_url=EMBEDDED)
    async with Onlooker(gateway.broker_url, "voice/kitchen/state") as onlooker:
        device = await start_device(gateway, "kitchen")
        first = await device.speak(spoken(4), paced=False)
        done = await first.done(20)
        last = {
            "turn": first.turn,
            "outcome": "completed",
            "heard": "question 4",
            "said": "Answer to question 4.",
            "total_ms": done["timings_ms"]["total"],
            "first_audio_ms": done["timings_ms"]["first_audio_out"],
        }
        await onlooker.json("voice/kitchen/state", state="idle", last=last)
        await asks(device, "hello")
        await onlooker.nth("voice/kitchen/state", 7)
        states = [json.loads(each.payload) for each in onlooker.on("voice/kitchen/state")]
    assert [each["state"] for each in states][:5] == ["idle", "listening", "thinking", "speaking", "idle"]
    assert all(list(each) == ["state", "session_id", "ts", "turns", "language", "persona", "last"] for each in states)
    assert [each["last"] for each in states[:4]] == [None] * 4
    assert [each["last"] for each in states[4:7]] == [last] * 3


async def test_a_turn_that_ends_unanswered_leaves_the_device_idle(
    start_gateway: StartGateway, start_device: StartDevice
) -> None:
    device = await start_device(await start_gateway(mqtt_url=EMBEDDED))
    utterance = device.begin()
    await utterance.send(spoken(0).samples)
    await device.wait_state("listening", 10)
    await utterance.cancel()
    assert (await device.wait_state("idle", 10))["last"]["outcome"] == "interrupted"
