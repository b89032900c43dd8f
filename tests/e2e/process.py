"""`voice-gateway run` as its own process, as an operator starts it."""

import asyncio
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from gateway.device.exchange import Signal

ROOT = Path(__file__).parents[2]
COMMAND = (sys.executable, "-c", "from gateway.cli import main; main()", "run")
READY_S = 40.0
END_S = 10.0
"""What the gateway has to end cleanly."""


class GatewayProcess:
    """`async with GatewayProcess(folder, "--tts", "espeak") as gateway:`; it is killed with the block if it lives."""

    def __init__(self, folder: Path, *options: str, environ: Mapping[str, str] | None = None) -> None:
        self._folder = folder
        self._options = options
        self._environ = environ or {}
        self._signal = Signal()
        self._reading: list[asyncio.Task[None]] = []
        self._process: asyncio.subprocess.Process
        self.log = ""
        self.output = ""

    async def __aenter__(self) -> Self:
        pipe = asyncio.subprocess.PIPE
        self._process = await asyncio.create_subprocess_exec(
            *COMMAND,
            *self._options,
            cwd=self._folder,
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT),
                "HOME": str(self._folder),
                "GATEWAY_WEB": "off",
                **self._environ,
            },
            stdout=pipe,
            stderr=pipe,
        )
        self._reading = [asyncio.create_task(self._read_log()), asyncio.create_task(self._read_output())]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()
        await asyncio.gather(*self._reading)

    async def logged(self, text: str, timeout_s: float = READY_S) -> None:
        """Wait until the log holds `text`."""
        await self._signal.until(lambda: True if text in self.log else None, timeout_s, lambda: self.log[-2000:])

    async def ready(self) -> None:
        await self.logged("gateway ready")

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    async def ended(self, timeout_s: float = END_S) -> int:
        """Wait for its end, and return its exit code."""
        code = await asyncio.wait_for(self._process.wait(), timeout_s)
        await asyncio.gather(*self._reading)
        return code

    async def _read_log(self) -> None:
        assert self._process.stderr is not None
        while line := await self._process.stderr.readline():
            self.log += line.decode()
            self._signal.notify()

    async def _read_output(self) -> None:
        assert self._process.stdout is not None
        self.output = (await self._process.stdout.read()).decode()
