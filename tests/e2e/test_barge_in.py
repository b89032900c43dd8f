"""A device that interrupts: at every stage the old turn ends everywhere within 300 ms, and only once."""

import asyncio
import time

import pytest

from gateway.device import Ended, Exchange, SoftwareDevice
from gateway.wire.frame import Flag, Frame, FrameCodec, encode
from gateway.wire.topics import Leaf
from tests.e2e.conftest import StartDevice, StartGateway
from tests.e2e.speech import spoken
from tests.fakes.openai_server import HANG, Broken, Ending, OpenAIServer

EMBEDDED = "embedded://127.0.0.1:0"
WITHIN_S = 0.3
LONG_ANSWER = [f"This is sentence number {word} of a long answer. " for word in ("one", "two", "three", "four", "five")]

STAGES = ["recording", "recognising", "thinking", "speaking"]


async def reach(stage: str, device: SoftwareDevice, provider: OpenAIServer) -> Exchange:
    """Ask, and return when the turn has come to `stage`."""
    if stage == "recording":
        utterance = device.begin()
        await utterance.send(spoken(0).samples)
        await utterance.exchange.event("listening", 10)
        return utterance.exchange
    if stage == "recognising":
        provider.transcriptions.answer = HANG
    elif stage == "thinking":
        provider.chat.answer = HANG
    else:
        provider.chat.answer = LONG_ANSWER
    exchange = await device.speak(spoken(0), paced=False)
    if stage == "recognising":
        await device.wait_state("thinking", 10)
    elif stage == "thinking":
        await exchange.event("transcript", 10)
    else:
        await exchange.event("speaking", 10)
    return exchange


async def interrupted_within(exchange: Exchange, since: float) -> None:
    done = await exchange.done(5)
    assert done["outcome"] == "interrupted"
    assert time.monotonic() - since < WITHIN_S
    assert [event["event"] for event in exchange.events].count("done") == 1


@pytest.mark.parametrize("stage", STAGES)
async def test_a_new_question_ends_the_old_turn_and_is_answered(
    provider: OpenAIServer, start_gateway: StartGateway, start_device: StartDevice, stage: str
) -> None:
    usual = (provider.transcriptions.answer, provider.chat.answer)
    device = await start_device(await start_gateway(mqtt_url=EMBEDDED))
    old = await reach(stage, device, provider)
    provider.transcriptions.answer, provider.chat.answer = usual
    since = time.monotonic()
    new = await device.speak(spoken(6), paced=False)
    await interrupted_within(old, since)
    if stage != "recording":
        assert (await old.reply(5)).ended is Ended.CANCELLED
    assert (await new.reply(15)).ended is Ended.END
    assert (await new.done(5))["reply"] == "Answer to question 6."


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("how", ["cancel frame", "abort"])
async def test_cancel_and_abort_end_the_turn(
    provider: OpenAIServer, start_gateway: StartGateway, start_device: StartDevice, stage: str, how: str
) -> None:
    device = await start_device(await start_gateway(mqtt_url=EMBEDDED))
    exchange = await reach(stage, device, provider)
    since = time.monotonic()
    if how == "abort":
        await device.abort()
    else:
        cancel = Frame(exchange.turn or 0, 900, Flag.CANCEL, FrameCodec.PCM, 16000)
        await device.publish(Leaf.IN, encode(cancel))
    await interrupted_within(exchange, since)
    await device.wait_state("idle", 5)
    ended = (await exchange.reply(5)).ended
    assert ended is (Ended.UNANSWERED if stage == "recording" else Ended.CANCELLED)


async def test_a_new_raw_question_ends_the_old_stream_with_its_empty_message(
    provider: OpenAIServer, start_gateway: StartGateway, start_device: StartDevice
) -> None:
    usual = provider.chat.answer
    provider.chat.answer = LONG_ANSWER
    device = await start_device(await start_gateway(mqtt_url=EMBEDDED))
    old = await device.speak_raw(spoken(0), paced=False)
    await old.event("speaking", 10)
    provider.chat.answer = usual
    new = await device.speak_raw(spoken(3), paced=False)
    assert (await old.done(5))["outcome"] == "interrupted"
    assert (await old.reply(5)).ended is Ended.END
    assert (await new.reply(15)).ended is Ended.END
    assert (await new.done(5))["reply"] == "Answer to question 3."


async def test_the_model_is_told_only_what_was_sent_before_the_interruption(
    provider: OpenAIServer, start_gateway: StartGateway, start_device: StartDevice
) -> None:
    usual = provider.chat.answer
    provider.chat.answer = LONG_ANSWER
    device = await start_device(await start_gateway(mqtt_url=EMBEDDED))
    old = await reach("speaking", device, provider)
    await device.abort()
    said = (await old.done(5))["reply"]
    assert said
    assert "".join(LONG_ANSWER).startswith(said)
    assert "five" not in said

    provider.chat.answer = usual
    new = await device.speak(spoken(1), paced=False)
    await new.done(15)
    messages = [(message["role"], message["content"]) for message in provider.chat.requests[-1].json["messages"][1:]]
    assert messages == [("user", "question 0"), ("assistant", said), ("user", "question 1")]


async def test_the_history_keeps_what_was_played_where_the_device_says_so(
    provider: OpenAIServer, start_gateway: StartGateway, start_device: StartDevice
) -> None:
    provider.chat.answer = LONG_ANSWER
    device = await start_device(
        await start_gateway(mqtt_url=EMBEDDED), hello={"v": 1, "max_packet": 700, "buffer_ms": 5000}
    )
    exchange = await device.speak(spoken(0), paced=False)
    chunks = exchange.chunks(10)
    for _ in range(8):
        await anext(chunks)
    await device.played(exchange.turn or 0, 4)
    await device.abort()
    done = await exchange.done(5)
    sent_ms, played_ms = done["bytes"] * 8 / 48, 5 * (700 - 39) * 8 / 48
    assert played_ms < sent_ms
    # A character of the provider's voice lasts 60 ms.
    assert len(done["reply"]) * 60 <= played_ms + 60
    assert len(done["reply"]) * 60 > played_ms / 3


async def test_a_reply_that_was_sent_whole_can_still_be_cut_off_while_it_plays(
    provider: OpenAIServer, start_gateway: StartGateway, start_device: StartDevice
) -> None:
    provider.chat.answer = ["Only the first words of this were heard by anybody at all."]
    device = await start_device(
        await start_gateway(mqtt_url=EMBEDDED), hello={"v": 1, "max_packet": 700, "buffer_ms": 9000}
    )
    exchange = await device.speak(spoken(0), paced=False)
    reply = await exchange.reply(10)
    assert (await exchange.done(5))["outcome"] == "completed"
    await device.played(exchange.turn or 0, len(reply.chunks) // 3)
    await device.publish(Leaf.IN, encode(Frame(exchange.turn or 0, 900, Flag.CANCEL, FrameCodec.PCM, 16000)))
    await exchange.recall(5)

    await (await device.ask("And then?")).done(10)
    messages = [message["content"] for message in provider.chat.requests[-1].json["messages"][1:]]
    assert messages[0] == "question 0"
    assert messages[2] == "And then?"
    assert messages[1].startswith("Only the first")
    assert "anybody" not in messages[1]


async def test_a_text_that_waited_does_not_cut_off_the_reply_before_it(
    provider: OpenAIServer, start_gateway: StartGateway, start_device: StartDevice
) -> None:
    device = await start_device(await start_gateway(mqtt_url=EMBEDDED), hello={"v": 1, "buffer_ms": 9000})
    first = await device.speak(spoken(0), paced=False)
    await first.event("speaking", 10)
    second = await device.say("Afterwards.")
    reply = await first.reply(10)
    assert (await second.reply(10)).ended is Ended.END
    assert (reply.ended, first.recalled) == (Ended.END, False)
    # The device could not hold both: the second begins when the first has been played.
    played_at = reply.chunks[0].arrived_at + reply.playback.audio_ms / 1000
    assert second.received.chunks[0].arrived_at > played_at - 0.1


async def test_stale_frames_of_the_old_turn_change_nothing(
    provider: OpenAIServer, start_gateway: StartGateway, start_device: StartDevice
) -> None:
    device = await start_device(await start_gateway(mqtt_url=EMBEDDED))
    first = await device.speak(spoken(0), paced=False)
    await first.done(15)
    second = await device.speak(spoken(1), paced=False)
    for flags in (Flag.START, Flag.NONE, Flag.END, Flag.CANCEL):
        frame = Frame(first.turn or 0, 2, flags, FrameCodec.PCM, 16000, b"\0\0" * 160)
        await device.publish(Leaf.IN, encode(frame))
    assert (await second.done(15))["outcome"] == "completed"


async def test_an_answer_that_breaks_off_is_heard_as_far_as_it_came_and_explained(
    provider: OpenAIServer, start_gateway: StartGateway, start_device: StartDevice
) -> None:
    provider.chat.answer = Broken(["The first sentence is fine, yes. ", "And the sec"], Ending.CLOSE)
    device = await start_device(await start_gateway(mqtt_url=EMBEDDED))
    exchange = await device.speak(spoken(0), paced=False)
    assert (await exchange.event("error", 15))["code"] == "llm_failed"
    reply = await exchange.reply(15)
    done = await exchange.done(5)
    assert reply.ended is Ended.END
    assert done["outcome"] == "failed"
    assert done["reply"].startswith("The first sentence is fine,")
    # The clip that says so comes after the words, in the same stream.
    assert len(reply.mp3) * 8 / 48 > len(done["reply"]) * 60 + 500


async def test_thirty_interruptions_in_a_row_leave_one_answer(
    provider: OpenAIServer, start_gateway: StartGateway, start_device: StartDevice
) -> None:
    device = await start_device(await start_gateway(mqtt_url=EMBEDDED, turns_per_minute=100))
    exchanges = []
    for number in range(30):
        exchanges.append(await device.speak(spoken(number % 5), paced=False))
        await asyncio.sleep(0.01 * (number % 7))
    last = await exchanges[-1].done(20)
    assert last["outcome"] == "completed"
    outcomes = [(await exchange.done(5))["outcome"] for exchange in exchanges]
    assert len(outcomes) == 30
    await device.wait_state("idle", 5)
    dones = [event["turn"] for event in device.events if event["event"] == "done"]
    assert sorted(dones) == sorted(set(dones))
