"""The broker, the gateway or the board restarts."""

import re

import pytest

from tests.e2e.conftest import StartGateway
from tests.e2e.firmware.voice_board import LONG, StartBoard, VoiceBoard, pitch
from tests.e2e.onlooker import Onlooker
from tests.fakes.mosquitto import Mosquitto
from tests.fakes.openai_server import OpenAIServer

pytestmark = pytest.mark.timeout(300)
"""The first test builds the board; others wait for time limits of the firmware."""


class TestRestarts:
    async def test_of_the_broker(self, board: VoiceBoard, mosquitto: Mosquitto, onlooker: Onlooker) -> None:
        await board.is_answered(0)
        seen = len(onlooker.on("voice/gateway/status"))
        await mosquitto.stop()
        await board.board.line("^mqtt: connection lost")
        await mosquitto.start()
        await board.online()
        # Not what it said before: a question is asked only once the gateway is back.
        await onlooker.nth("voice/gateway/status", seen)
        await board.is_answered(1)

    async def test_of_the_broker_in_the_middle_of_the_answer(
        self, board: VoiceBoard, mosquitto: Mosquitto, conversation: OpenAIServer
    ) -> None:
        usual, conversation.chat.answer = conversation.chat.answer, LONG
        await board.ask(0)
        await board.sounds()
        await mosquitto.stop()
        await mosquitto.start()
        conversation.chat.answer = usual
        assert (await board.heard()).hertz == pytest.approx(pitch(LONG), abs=5)
        await board.is_answered(1)

    async def test_of_the_gateway(
        self, start_gateway: StartGateway, mosquitto: Mosquitto, start_board: StartBoard
    ) -> None:
        gateway = await start_gateway(mqtt_url=mosquitto.url)
        board = await start_board()
        await board.is_answered(0)
        await gateway.__aexit__(None, None, None)
        await start_gateway(mqtt_url=mosquitto.url)
        await board.is_answered(1)

    async def test_of_the_board(self, board: VoiceBoard) -> None:
        await board.is_answered(0)
        board.board.type("!reset")
        await board.online()
        await board.is_answered(1)


@pytest.mark.parametrize("setting", ["ESP32-KITCHEN-001", "uuid"])
async def test_an_id_of_its_own_outlives_a_restart(
    start_gateway: StartGateway, mosquitto: Mosquitto, start_board: StartBoard, onlooker: Onlooker, setting: str
) -> None:
    await start_gateway(mqtt_url=mosquitto.url)
    board = await start_board(id=setting)
    board.board.type("!reset")
    first, second = [
        each[1] for line in board.board.lines if (each := re.match(r"mqtt: connected to .* as (\S+)", line))
    ] + [(await board.board.line(r"^mqtt: connected to .* as (\S+)"))[1]]
    assert first == second
    assert first == setting or re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", first)
    await board.is_answered(0)
    assert (await onlooker.message(f"voice/{first}/event", event="done")).payload
