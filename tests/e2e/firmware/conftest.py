"""The firmware itself, run as a virtual board, against a real Mosquitto and the whole gateway.

PUBSUBCLIENT and MICRO_MP3 in the environment choose the real libraries.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.e2e.board import Board, build_board
from tests.e2e.conftest import StartGateway
from tests.e2e.firmware.voice_board import StartBoard, VoiceBoard, recognise, speak
from tests.e2e.onlooker import Onlooker
from tests.fakes.mosquitto import Mosquitto
from tests.fakes.openai_server import OpenAIServer


@pytest.fixture
async def mosquitto() -> AsyncIterator[Mosquitto]:
    async with Mosquitto(persistence=True) as running:
        yield running


@pytest.fixture
async def onlooker(mosquitto: Mosquitto) -> AsyncIterator[Onlooker]:
    async with Onlooker(mosquitto.url) as running:
        yield running


@pytest.fixture(autouse=True)
def conversation(provider: OpenAIServer) -> OpenAIServer:
    provider.transcriptions.answer = recognise
    provider.speech.answer = speak
    return provider


@pytest.fixture
async def start_board(mosquitto: Mosquitto, tmp_path: Path) -> AsyncIterator[StartBoard]:
    """Starts a board with the settings given, as a person types them, and ends it with the test."""
    async with AsyncExitStack() as stack:

        async def start(*options: str, program: Path | None = None, **settings: str) -> VoiceBoard:
            files = ("--nvs", str(tmp_path / "nvs"), "--wav-out", str(tmp_path / "out.wav"))
            board = await stack.enter_async_context(Board(program or build_board(), *files, *options))
            values = {"wifi_ssid": "home", "mqtt_host": "127.0.0.1", "mqtt_port": str(mosquitto.port)} | settings
            for name, value in values.items():
                board.type(f"set {name} {value}")
            board.type("save")
            await board.line("^!restart")
            voice = VoiceBoard(board, tmp_path, tmp_path / "out.wav")
            await voice.online()
            return voice

        yield start


@pytest.fixture
async def board(start_gateway: StartGateway, mosquitto: Mosquitto, start_board: StartBoard) -> VoiceBoard:
    await start_gateway(mqtt_url=mosquitto.url)
    return await start_board()
