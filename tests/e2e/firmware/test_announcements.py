"""A board plays what is announced."""

import pytest

from tests.e2e.firmware.voice_board import DEVICE, LONG, VoiceBoard
from tests.e2e.onlooker import Onlooker
from tests.fakes.openai_server import OpenAIServer

pytestmark = pytest.mark.timeout(300)
"""The first test builds the board; others wait for time limits of the firmware."""


async def test_an_announcement_is_played(board: VoiceBoard, onlooker: Onlooker) -> None:
    await onlooker.publish(f"voice/{DEVICE}/say", b"Dinner 3 is ready.")
    await board.hears(3, "Dinner 3 is ready.")
    assert (await board.status())["announcements"] == "1"
    await board.is_answered(1)


async def test_an_announcement_is_as_loud_as_it_is_to_be(board: VoiceBoard, onlooker: Onlooker) -> None:
    loudest = []
    for keys in ("", ',"volume":25', ""):
        await onlooker.publish(f"voice/{DEVICE}/say", f'{{"text":"Dinner 3 is ready."{keys}}}'.encode())
        loudest.append((await board.heard()).loudest)
    assert loudest[1] == pytest.approx(loudest[0] / 4, rel=0.02)
    assert loudest[2] == loudest[0]


async def test_what_is_urgent_is_heard_at_once_whatever_was_being_asked(
    board: VoiceBoard, onlooker: Onlooker, conversation: OpenAIServer
) -> None:
    usual, conversation.chat.answer = conversation.chat.answer, LONG
    board.board.type(f"!ask {board.recording(0)}")
    await onlooker.message(f"voice/{DEVICE}/event", event="listening")
    fire = "Fire 3 burns in the garage by now"  # in one piece, and for longer than the question
    await onlooker.publish(f"voice/{DEVICE}/say", f'{{"text":"{fire}","priority":"urgent"}}'.encode())
    await board.board.line("^!said ")
    await board.hears(3, fire)
    await onlooker.message(f"voice/{DEVICE}/event", event="done", outcome="interrupted")
    conversation.chat.answer = usual
    await board.is_answered(1)
