"""`voice-gateway run`, in a process of its own."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.cli.test_main import IN_A_PROCESS
from tests.fakes.mosquitto import Mosquitto

ROOT = Path(__file__).parents[2]
OFFLINE = ("--stt", "pocketsphinx", "--llm", "offline", "--tts", "espeak", "--language", "en")
PATIENCE_S = 30


@asynccontextmanager
async def running(folder: Path, *options: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """`voice-gateway run` in `folder`; killed if it has not ended with the block."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *IN_A_PROCESS,
        "run",
        *OFFLINE,
        *options,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT), "GATEWAY_WEB": "off"},
        stdout=pipe,
        stderr=pipe,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def until(stream: asyncio.StreamReader | None, text: bytes) -> bytes:
    """Everything that `stream` says up to the line with `text`."""
    assert stream is not None
    read = b""
    async with asyncio.timeout(PATIENCE_S):
        while text not in read:
            line = await stream.readline()
            assert line, f"it ended after:\n{read.decode()}"
            read += line
    return read


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
async def test_it_serves_until_it_is_told_to_end(tmp_path: Path, number: signal.Signals) -> None:
    async with Mosquitto(password="hunter2") as broker, running(tmp_path, "--mqtt-url", broker.url) as process:
        log = await until(process.stderr, b"gateway ready")
        process.send_signal(number)
        banner, rest = await asyncio.wait_for(process.communicate(), PATIENCE_S)
    assert process.returncode == 0
    assert b"voice/<device>/in" in banner
    assert b"gateway ready" not in banner
    assert b"Traceback" not in rest
    assert b"hunter2" not in banner + log + rest


async def test_the_log_can_be_json(tmp_path: Path) -> None:
    async with Mosquitto() as broker, running(tmp_path, "--mqtt-url", broker.url, "--log-format", "json") as process:
        assert b'"event": "gateway ready"' in await until(process.stderr, b"gateway ready")


async def test_an_engine_that_cannot_work_ends_the_start(tmp_path: Path) -> None:
    async with running(tmp_path, "--llm", "openai") as process:
        out, err = await asyncio.wait_for(process.communicate(), PATIENCE_S)
    assert (process.returncode, out) == (2, b"")
    assert b"OPENAI_API_KEY" in err
    assert b"Traceback" not in err
