"""The board's serial console, as a person pastes into it."""

import asyncio
from pathlib import Path

import pytest

from tests.e2e.board import Board, build_board

pytestmark = pytest.mark.timeout(300)
"""The first test builds the board."""

SETTINGS = {
    "mqtt_host": "broker.living-room.example.org",
    "mqtt_port": "8883",
    "mqtt_user": "ESP32-KITCHEN-ON-THE-FIRST-FLOOR-001",
    "mqtt_password": "p" * 64,
    "id": "ESP32-KITCHEN-ON-THE-FIRST-FLOOR-001",
    "name": "The kitchen on the first floor, beside the window",
    "language": "es",
    "root": "voice",
}
"""As `voice-gateway devices add` prints them, and more than the 256 bytes that the Arduino core keeps by itself."""


async def test_settings_pasted_while_it_waits_for_a_broker_that_never_answers_are_all_taken(tmp_path: Path) -> None:
    called = asyncio.Event()

    async def never_answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        called.set()
        await reader.read()
        writer.close()

    async with await asyncio.start_server(never_answer, "127.0.0.1", 0) as wrong_broker:
        port = wrong_broker.sockets[0].getsockname()[1]
        async with Board(build_board(), "--nvs", str(tmp_path / "nvs")) as board:
            for line in ("set wifi_ssid home", "set mqtt_host 127.0.0.1", f"set mqtt_port {port}", "save"):
                board.type(line)
            await board.line("^!restart")
            async with asyncio.timeout(20):
                await called.wait()
            for name, value in SETTINGS.items():
                board.type(f"set {name} {value}")
            board.type("show")
            shown = {name: (await board.line(rf"^{name} +(.*) \(after: save\)$"))[1] for name in SETTINGS}
            assert shown == SETTINGS | {"mqtt_password": "set"}
