"""Other builds than the usual one: the simplest sketch, and TLS."""

import asyncio
from pathlib import Path

import pytest

from tests.e2e.board import Board, build_board
from tests.e2e.conftest import StartGateway
from tests.e2e.firmware.voice_board import (
    StartBoard,
    VoiceBoard,
)
from tests.e2e.onlooker import Onlooker
from tests.fakes.mosquitto import Mosquitto, find_program, free_port

pytestmark = pytest.mark.timeout(300)
"""The first test builds the board; others wait for time limits of the firmware."""


async def test_the_simplest_sketch_is_answered(
    start_gateway: StartGateway, mosquitto: Mosquitto, onlooker: Onlooker, tmp_path: Path
) -> None:
    await start_gateway(mqtt_url=mosquitto.url)
    values = {"WIFI_SSID": "home", "WIFI_PASSWORD": "", "MQTT_HOST": "127.0.0.1", "MQTT_USER": "", "MQTT_PASSWORD": ""}
    lines = [f'#define VOICE_{name} "{value}"' for name, value in values.items()]
    lines.append(f"#define VOICE_MQTT_PORT {mosquitto.port}")
    (tmp_path / "secrets.h").write_text("\n".join([*lines, ""]))
    program = build_board(SKETCH="examples/simplest/simplest.ino", SECRETS=str(tmp_path))
    async with Board(program) as simplest:
        await onlooker.message("voice/gateway/status", b"online")
        board = VoiceBoard(simplest, tmp_path, tmp_path / "none.wav")
        while (await simplest.counters())["connects"] == 0:
            pass
        await board.ask(1)
        assert int((await simplest.line(r"^answer: (\d+) bytes of MP3"))[1]) > 1_000
    done = await onlooker.json("voice/simplest/event", event="done")
    assert done["reply"] == "Answer to question 1."


async def certificate(folder: Path, name: str) -> Path:
    """A certificate that vouches for itself, valid for this machine, and beside it its key."""
    path = folder / f"{name}.pem"
    openssl = await asyncio.create_subprocess_exec(
        find_program("openssl"),
        *("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", f"/CN={name}"),
        *("-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(folder / f"{name}.key"), "-out", str(path)),
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert await openssl.wait() == 0
    return path


async def test_over_tls_it_trusts_only_the_authority_that_it_was_given(
    start_gateway: StartGateway, start_board: StartBoard, tmp_path: Path
) -> None:
    trusted, other = await certificate(tmp_path, "trusted"), await certificate(tmp_path, "other")
    header = f'static const char voice_ca_cert[] = R"CERT({trusted.read_text()})CERT";'
    (tmp_path / "ca_cert.h").write_text(header)
    program = build_board(TLS="1", SECRETS=str(tmp_path))
    port, other_port = free_port(), free_port()
    listeners = "".join(
        f"listener {each} 127.0.0.1\ncertfile {pem}\nkeyfile {pem.with_suffix('.key')}\n"
        for each, pem in ((port, trusted), (other_port, other))
    )
    async with Mosquitto(settings=listeners) as broker:
        await start_gateway(mqtt_url=broker.url)
        board = await start_board(program=program, mqtt_port=str(port))
        await board.is_answered(0)
        board.board.type(f"set mqtt_port {other_port}")
        board.board.type("save")
        await board.board.line("^!tls: certificate verify failed")
        await board.board.line(f"^mqtt: no TLS connection to 127.0.0.1:{other_port}; check .* ca_cert.h")
