"""A person asks a board, interrupts it, or speaks to it hands-free, and hears the answer."""

import pytest

from tests.e2e.conftest import StartGateway
from tests.e2e.firmware.voice_board import DEVICE, LONG, SECONDS_A_CHARACTER, StartBoard, VoiceBoard
from tests.e2e.onlooker import Onlooker
from tests.fakes.mosquitto import Mosquitto
from tests.fakes.openai_server import SPEECH_RATE as REPLY_RATE
from tests.fakes.openai_server import OpenAIServer

pytestmark = pytest.mark.timeout(300)
"""The first test builds the board; others wait for time limits of the firmware."""


async def test_it_asks_and_is_heard_to_answer_again_and_again(board: VoiceBoard, onlooker: Onlooker) -> None:
    for number in (0, 1, 0):
        await board.is_answered(number)
    status = await board.status()
    assert status["state"] == "idle"
    assert {name: status[name] for name in ("utterances", "replies", "replies_heard")} == dict.fromkeys(
        ("utterances", "replies", "replies_heard"), "3"
    )
    assert not {"underruns", "frames_lost", "frames_bad", "tones", "undecodable_bytes"} & set(status)
    assert (await board.board.counters())["microphone_lost"] == 0
    hello = await onlooker.json(f"voice/{DEVICE}/hello", v=1)
    assert (hello["board"], hello["max_packet"], hello["buffer_ms"]) == ("esp32dev", 4096, 2000)
    assert hello["rssi"] == -50
    assert "end_of_speech" not in hello
    await onlooker.message(f"voice/{DEVICE}/control", type="played", end=True)


async def test_a_press_interrupts_the_answer_and_the_next_question_gets_its_own(
    board: VoiceBoard, conversation: OpenAIServer, onlooker: Onlooker
) -> None:
    usual, conversation.chat.answer = conversation.chat.answer, LONG
    await board.ask(0)
    await onlooker.message(f"voice/{DEVICE}/control", type="played")
    conversation.chat.answer = usual
    board.board.type("!counters")
    board.board.type("!press")
    played_s = (await board.board.counted())["speaker_samples"] / REPLY_RATE
    interrupted = await board.heard()
    assert 0.5 < interrupted.seconds < 0.5 * SECONDS_A_CHARACTER * len(LONG)
    assert interrupted.seconds - played_s < 0.1
    await board.say(1)
    board.board.type("!release")
    await board.hears(1)
    await onlooker.message(f"voice/{DEVICE}/event", event="done", outcome="interrupted")


async def test_a_short_press_stops_the_answer_and_says_nothing(
    board: VoiceBoard, conversation: OpenAIServer, onlooker: Onlooker
) -> None:
    conversation.chat.answer = LONG
    await board.ask(0)
    await board.sounds()
    board.board.type("!press")
    board.board.type("!release")
    assert (await board.heard()).seconds < 0.5 * SECONDS_A_CHARACTER * len(LONG)
    await onlooker.message(f"voice/{DEVICE}/event", event="done", outcome="interrupted")
    while (status := await board.status())["state"] != "idle":
        pass
    assert (status["utterances"], status["short_presses"], status["replies_aborted"]) == ("2", "1", "1")


async def test_an_answer_longer_than_its_memory_is_played_without_a_gap(
    board: VoiceBoard, conversation: OpenAIServer
) -> None:
    conversation.chat.answer = LONG
    await board.ask(0)
    sound = await board.heard()
    # A reply is one stream: the sentences follow each other without the spaces between them.
    assert sound.seconds == pytest.approx(SECONDS_A_CHARACTER * len(LONG), abs=0.6)
    assert sound.underruns == 0
    assert "frames_overflowed" not in await board.status()


async def test_hands_free_needs_no_button(
    start_gateway: StartGateway, mosquitto: Mosquitto, start_board: StartBoard
) -> None:
    await start_gateway(mqtt_url=mosquitto.url)
    board = await start_board(mode="hands-free")
    for number in (0, 2):
        await board.say(number)
        await board.hears(number)


async def test_hands_free_a_question_is_recognised_in_the_quiet_that_ends_it(
    start_gateway: StartGateway,
    mosquitto: Mosquitto,
    start_board: StartBoard,
    onlooker: Onlooker,
    conversation: OpenAIServer,
) -> None:
    await start_gateway(mqtt_url=mosquitto.url, speculation="recognise", stats_interval_s=0.2)
    board = await start_board(mode="hands-free")
    assert (await onlooker.json(f"voice/{DEVICE}/hello", v=1))["end_of_speech"] == 700
    await board.say(0)
    await board.hears(0)
    turns = {"completed": 1, "interrupted": 0, "silent": 0, "failed": 0}
    counts = (await onlooker.json("voice/gateway/stats", turns=turns))["speculation"]
    assert counts["used"] == 1
    assert len(conversation.transcriptions.requests) == counts["started"]
