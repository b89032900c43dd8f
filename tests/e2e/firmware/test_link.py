"""A board whose network fails."""

import asyncio

import pytest

from tests.e2e.firmware.voice_board import (
    DEVICE,
    LONG,
    SECONDS_A_CHARACTER,
    VoiceBoard,
    pitch,
)
from tests.e2e.onlooker import Onlooker
from tests.fakes.openai_server import OpenAIServer

pytestmark = pytest.mark.timeout(300)
"""The first test builds the board; others wait for time limits of the firmware."""


class TestLink:
    """What is lost with the link is told by a tone; the next question is answered, and nothing stale is ever heard."""

    async def test_a_moment_without_network_costs_nothing_of_the_question(self, board: VoiceBoard) -> None:
        board.board.type("!press")
        board.board.type(f"!say {board.recording(0)}")
        await asyncio.sleep(0.3)
        board.board.type("!wifi silent")
        await asyncio.sleep(0.5)
        board.board.type("!wifi up")
        await board.board.line("^!said")
        board.board.type("!release")
        await board.hears(0)

    async def test_lost_in_the_middle_of_the_question(self, board: VoiceBoard, onlooker: Onlooker) -> None:
        board.board.type("!press")
        board.board.type(f"!say {board.recording(0)}")
        await onlooker.message(f"voice/{DEVICE}/event", event="listening")
        board.board.type("!wifi down")
        await board.hears_the_error_tone()
        board.board.type("!release")
        board.board.type("!wifi up")
        await board.online()
        await board.is_answered(1)
        assert (await board.status())["utterances_lost"] == "1"

    async def test_lost_in_the_middle_of_the_answer(self, board: VoiceBoard, conversation: OpenAIServer) -> None:
        """What the board holds is played; the rest is waited for, up to a limit."""
        usual, conversation.chat.answer = conversation.chat.answer, LONG
        await board.ask(0)
        await board.sounds()
        board.board.type("!wifi down")
        assert (await board.heard()).hertz == pytest.approx(pitch(LONG), abs=5)
        await board.hears_the_error_tone()
        conversation.chat.answer = usual
        board.board.type("!wifi up")
        await board.online()
        await board.is_answered(1)
        assert (await board.status())["replies_stalled"] == "1"

    async def test_an_answer_goes_on_after_what_was_lost_of_it(
        self, board: VoiceBoard, conversation: OpenAIServer
    ) -> None:
        usual, conversation.chat.answer = conversation.chat.answer, LONG + LONG
        await board.ask(0)
        await board.sounds()
        board.board.type("!wifi down")
        beginning = await board.heard()
        board.board.type("!wifi up")
        rest = await board.heard()
        assert beginning.hertz == pytest.approx(pitch(LONG), abs=5)
        assert rest.hertz == pytest.approx(pitch(LONG), abs=5)
        conversation.chat.answer = usual
        await board.is_answered(1)
        status = await board.status()
        assert "tones" not in status
        assert int(status["frames_lost"]) > 0

    async def test_a_moment_without_network_is_not_heard_in_the_answer(
        self, board: VoiceBoard, conversation: OpenAIServer
    ) -> None:
        conversation.chat.answer = LONG
        await board.ask(0)
        await board.sounds()
        await asyncio.sleep(1.0)
        board.board.type("!wifi silent")
        await asyncio.sleep(1.0)
        board.board.type("!wifi up")
        sound = await board.heard()
        assert sound.seconds == pytest.approx(SECONDS_A_CHARACTER * len(LONG), abs=0.6)
        assert sound.underruns == 0

    async def test_an_answer_that_arrives_all_at_once_after_a_silence_of_the_network_is_heard_whole(
        self, board: VoiceBoard, conversation: OpenAIServer, onlooker: Onlooker
    ) -> None:
        conversation.chat.answer = LONG
        conversation.chat.delay_s = 1.0
        await board.ask(0)
        await onlooker.message(f"voice/{DEVICE}/event", event="transcript")
        board.board.type("!wifi silent")
        await onlooker.message(f"voice/{DEVICE}/event", event="speaking")
        await asyncio.sleep(4.0)
        board.board.type("!wifi up")
        sound = await board.heard()
        assert sound.seconds == pytest.approx(SECONDS_A_CHARACTER * len(LONG), abs=0.6)
        assert sound.underruns == 0
        assert "frames_overflowed" not in await board.status()

    async def test_a_press_without_a_link_is_answered_by_the_error_tone(self, board: VoiceBoard) -> None:
        board.board.type("!wifi down")
        await board.board.line("^wifi: connection lost")
        board.board.type("!press")
        board.board.type("!release")
        await board.hears_the_error_tone()
