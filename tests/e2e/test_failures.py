"""Whatever fails, the device is told, hears something, and its reply ends; with a second engine it gets its answer."""

import asyncio
import io
import time
from pathlib import Path
from typing import Any

import pytest
import soundfile

from gateway.device import Ended, Exchange, Reply, SoftwareDevice
from gateway.engines.clips import clip
from gateway.values import ReplyForm
from tests.e2e.conftest import StartDevice, StartGateway
from tests.e2e.locking import locked
from tests.e2e.onlooker import Onlooker
from tests.e2e.speech import sound_file, spoken
from tests.fakes.http_server import Ending
from tests.fakes.openai_server import HANG, REFUSE, Audio, Broken, Endpoint, OpenAIServer, Status, tone

EMBEDDED = "embedded://127.0.0.1:0"
STAGES = ["stt", "llm", "tts"]
BEGINNINGS: dict[str, Any] = {"stt": "hola", "llm": ["Wel"], "tts": Audio(tone(0.1), "audio/pcm")}
SECONDS = {"stt_timeout_s": 0.3, "llm_first_token_s": 0.3, "llm_timeout_s": 0.3, "tts_timeout_s": 0.3}
SECOND_ENGINES = {"stt": "pocketsphinx", "llm": "offline", "tts": "espeak"}


def endpoint(provider: OpenAIServer, stage: str) -> Endpoint:
    return {"stt": provider.transcriptions, "llm": provider.chat, "tts": provider.speech}[stage]


def seconds_of(mp3: bytes) -> float:
    return float(soundfile.info(io.BytesIO(mp3)).duration)


async def ask_in(form: ReplyForm, device: SoftwareDevice) -> Exchange:
    match form:
        case ReplyForm.FRAMES:
            return await device.speak(spoken(0), paced=False)
        case ReplyForm.STREAM:
            return await device.speak_raw(spoken(0), paced=False)
        case ReplyForm.MESSAGE:
            return await device.speak_file(sound_file(spoken(0)))


async def fails_audibly(exchange: Exchange, code: str, spoken_s: float = 0.0) -> Reply:
    """The turn fails with `code`, once, and the device hears the clip for it after `spoken_s` of the answer."""
    reply = await exchange.reply(20)
    done = await exchange.done(20)
    assert done["outcome"] == "failed"
    errors = [event for event in exchange.events if event["event"] == "error"]
    assert [error["code"] for error in errors] == [code]
    # What became of the text as an announcement is told when it has been played.
    told = [event["event"] for event in exchange.events if event["event"] != "announcement"]
    assert told[-1] == "done"
    assert told.count("done") == 1
    assert reply.ended is Ended.END
    assert seconds_of(reply.mp3) == pytest.approx(clip(code, "en").seconds + spoken_s, abs=0.2)
    return reply


@pytest.mark.parametrize("form", list(ReplyForm))
@pytest.mark.parametrize("stage", STAGES)
async def test_an_engine_that_fails_is_told_and_heard(
    provider: OpenAIServer, start_gateway: StartGateway, start_device: StartDevice, stage: str, form: ReplyForm
) -> None:
    failing = endpoint(provider, stage)
    usual = failing.answer
    # A file is answered in a message no larger than itself, unless the device says that it takes more.
    hello = {"v": 1, "max_packet": 100_000} if form is ReplyForm.MESSAGE else None
    # Every question says its end. On a busy machine a pause of this process is no silence of the device.
    gateway = await start_gateway(mqtt_url=EMBEDDED, turns_per_minute=100, idle_limit_s=10)
    device = await start_device(gateway, hello=hello)
    statuses = [401, 404, 429, 500]
    for answer in [*(Status(status) for status in statuses), REFUSE, Broken(BEGINNINGS[stage], Ending.CLOSE)]:
        failing.answer = answer
        reply = await fails_audibly(await ask_in(form, device), f"{stage}_failed", isinstance(answer, Broken) * 0.1)
        assert reply.form is form
    failing.answer = usual
    await provider.stop()
    await fails_audibly(await ask_in(form, device), "stt_failed")
    await provider.start()
    exchange = await ask_in(form, device)
    assert (await exchange.done(20))["outcome"] == "completed"


@pytest.mark.parametrize("stage", STAGES)
async def test_an_engine_that_hangs_is_not_waited_for(
    provider: OpenAIServer, start_gateway: StartGateway, start_device: StartDevice, stage: str
) -> None:
    device = await start_device(await start_gateway(mqtt_url=EMBEDDED, **SECONDS))
    endpoint(provider, stage).answer = HANG
    exchange = await device.ask("What is this?") if stage != "stt" else await device.speak(spoken(0), paced=False)
    await fails_audibly(exchange, "timeout")
    endpoint(provider, stage).answer = Broken(BEGINNINGS[stage], Ending.HANG)
    exchange = await device.ask("And this?") if stage != "stt" else await device.speak(spoken(0), paced=False)
    # What was said stays said, so an answer that stops in the middle is not a matter of time alone.
    spoken_s = 0.1 if stage == "tts" else 0.0
    await fails_audibly(exchange, "llm_failed" if stage == "llm" else "timeout", spoken_s)


@pytest.mark.parametrize("stage", STAGES)
async def test_the_next_engine_of_the_list_answers_the_same_turn_and_the_first_rests(
    provider: OpenAIServer, start_gateway: StartGateway, start_device: StartDevice, stage: str
) -> None:
    second = SECOND_ENGINES[stage]
    gateway = await start_gateway(mqtt_url=EMBEDDED, **{stage: f"openai,{second}"})
    device = await start_device(gateway)
    endpoint(provider, stage).answer = Status(429, retry_after="77")
    exchange = await device.speak(spoken(0), paced=False)
    passed_over = await exchange.event("engine_passed_over", 20)
    done = await exchange.done(20)
    assert done["outcome"] == "completed"
    assert done["bytes"] > 0
    assert "error" not in [event["event"] for event in exchange.events]
    assert (passed_over["stage"], passed_over["engine"], passed_over["rest_s"]) == (stage, "openai", 77)
    assert "429" in passed_over["message"]

    asked = len(endpoint(provider, stage).requests)
    exchange = await device.speak(spoken(1), paced=False)
    assert (await exchange.done(20))["outcome"] == "completed"
    assert len(endpoint(provider, stage).requests) == asked
    assert "engine_passed_over" not in [event["event"] for event in exchange.events]
    async with Onlooker(gateway.broker_url) as onlooker:
        engines = {(each["stage"], each["engine"]): each for each in (await onlooker.statistics())["engines"]}
    assert 60 < engines[stage, "openai"]["resting_s"] <= 77
    assert engines[stage, "openai"]["failures"] == 1
    assert engines[stage, second]["resting_s"] == 0


async def test_a_voice_that_breaks_off_is_replaced_within_the_reply(
    provider: OpenAIServer, start_gateway: StartGateway, start_device: StartDevice
) -> None:
    provider.speech.answer = Broken(Audio(tone(0.3), "audio/pcm"), Ending.CLOSE)
    device = await start_device(await start_gateway(mqtt_url=EMBEDDED, tts="openai,espeak"))
    exchange = await device.say("Dinner is ready.")
    reply = await exchange.reply(20)
    done = await exchange.done(20)
    assert (done["outcome"], reply.ended) == ("completed", Ended.END)
    assert seconds_of(reply.mp3) > 1


async def test_with_every_provider_down_it_starts_and_says_so_when_asked(
    provider: OpenAIServer, start_gateway: StartGateway, start_device: StartDevice
) -> None:
    await provider.stop()
    gateway = await start_gateway(mqtt_url=EMBEDDED)
    device = await start_device(gateway)
    exchange = await device.speak(spoken(0), paced=False)
    await fails_audibly(exchange, "stt_failed")
    assert "cannot be reached" in (await exchange.event("error", 1))["message"]
    async with Onlooker(gateway.broker_url) as onlooker:
        assert (await onlooker.statistics())["turns"]["failed"] == 1
    await provider.start()
    assert (await (await device.speak(spoken(0), paced=False)).done(20))["outcome"] == "completed"


async def test_a_hanging_call_of_one_device_delays_no_other(
    provider: OpenAIServer, start_gateway: StartGateway, start_device: StartDevice
) -> None:
    provider.chat.answer = lambda request: (
        HANG if request.json["messages"][-1]["content"] == "question 1" else "It is fine."
    )
    gateway = await start_gateway(mqtt_url=EMBEDDED)
    stuck = [await start_device(gateway, f"stuck-{number}") for number in range(5)]
    free = await start_device(gateway, "free")
    waiting = [await device.speak(spoken(1), paced=False) for device in stuck]
    for exchange in waiting:
        await exchange.event("transcript", 20)
    began = time.monotonic()
    assert (await (await free.speak(spoken(2), paced=False)).done(20))["outcome"] == "completed"
    assert time.monotonic() - began < 5
    assert all("done" not in [event["event"] for event in exchange.events] for exchange in waiting)


async def test_a_database_that_cannot_be_written_costs_no_answer(
    provider: OpenAIServer, start_gateway: StartGateway, start_device: StartDevice, tmp_path: Path
) -> None:
    gateway = await start_gateway(mqtt_url=EMBEDDED)
    known, new = await start_device(gateway, "known"), await start_device(gateway, "new")
    await (await known.ask("first")).done(20)
    async with Onlooker(gateway.broker_url) as onlooker:
        with locked(tmp_path / "gateway.db"):
            began = time.monotonic()
            exchanges = await asyncio.gather(known.ask("second"), new.ask("hello"))
            replies = await asyncio.gather(*(exchange.event("speaking", 20) for exchange in exchanges))
            assert len(replies) == 2
            assert time.monotonic() - began < 6
            for device, exchange in zip((known, new), exchanges, strict=True):
                assert (await exchange.done(30))["outcome"] == "completed"
                assert (await device.event("error", 1, code="store_failed"))["turn"] is None
        assert (await onlooker.statistics())["dropped"]["store_calls"] >= 1
    # With the database back the conversation goes on where it was kept last.
    await (await known.ask("third")).done(20)
    heard = [message["content"] for message in provider.chat.requests[-1].json["messages"][1:]]
    # What was too late to be waited for may have been written all the same.
    late = ["second", "Answer to second."] if "second" in heard else []
    assert heard == ["first", "Answer to first.", *late, "third"]


async def test_with_everything_down_the_device_still_hears_why(
    provider: OpenAIServer, start_gateway: StartGateway, start_device: StartDevice, tmp_path: Path
) -> None:
    gateway = await start_gateway(mqtt_url=EMBEDDED)
    device = await start_device(gateway)
    await (await device.ask("first")).done(20)
    await provider.stop()
    with locked(tmp_path / "gateway.db"):
        await fails_audibly(await device.speak(spoken(0), paced=False), "stt_failed")
        await device.wait_state("idle", 5)
