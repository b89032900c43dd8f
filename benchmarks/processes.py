"""Starts the parts, and the broker that they meet at."""

import asyncio
import contextlib
import json
import os
import shutil
import subprocess
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from tests.fakes.mosquitto import SEARCH_PATH, Mosquitto

ROOT = Path(__file__).parents[1]
START_S = 30.0
ANSWER_S = 60.0
END_S = 15.0


class Part:
    """A process of `benchmarks.parts` that is ready; `told` is what it said then."""

    def __init__(self, process: Process, told: dict[str, Any]) -> None:
        self._process = process
        self.told = told

    async def ask(self, question: str) -> dict[str, Any]:
        """Send `question` and return the answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{question}\n".encode())
        return await _line(self._process, ANSWER_S)


@contextlib.asynccontextmanager
async def part(name: str, **options: object) -> AsyncIterator[Part]:
    """Run the part `name` with `options` (True is a switch that is on; None and False are left out)."""
    arguments = [name]
    for option, value in options.items():
        if value is True:
            arguments.append(f"--{option}")
        elif value is not None and value is not False:
            arguments += [f"--{option}", str(value)]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "benchmarks.parts", *arguments),
        stdin=PIPE,
        stdout=PIPE,
        cwd=ROOT,
        # Ctrl-C in a terminal is for this process; the parts end with their standard input.
        start_new_session=True,
    )
    try:
        yield Part(process, await _line(process, START_S))
    finally:
        assert process.stdin is not None
        process.stdin.close()
        try:
            async with asyncio.timeout(END_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


async def _line(process: Process, timeout_s: float) -> dict[str, Any]:
    assert process.stdout is not None
    async with asyncio.timeout(timeout_s):
        line = await process.stdout.readline()
    if not line:
        raise RuntimeError("a part of the benchmark ended early; what it said is above")
    return dict(json.loads(line))


@contextlib.asynccontextmanager
async def broker(kind: str, folder: Path) -> AsyncIterator[tuple[str, str]]:
    """Run a broker of `kind` (mosquitto, embedded) for everyone: yields its URL and what it is."""
    if kind == "mosquitto":
        async with Mosquitto() as mosquitto:
            yield mosquitto.url, _mosquitto_version()
    else:
        async with part("broker", folder=folder) as embedded:
            yield str(embedded.told["url"]), "embedded, in a process of its own"


def broker_cpu_s() -> float | None:
    """CPU time so far, in seconds, of the Mosquitto that this process has started; None where that cannot be told."""
    for children in Path("/proc/self/task").glob("*/children"):
        for pid in children.read_text().split():
            name, _, figures = Path(f"/proc/{pid}/stat").read_text().rpartition(")")
            if name.endswith("(mosquitto"):
                user, system = figures.split()[11:13]
                return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
    return None


def installed_broker() -> str:
    """Mosquitto if there is one, else the embedded broker."""
    return "embedded" if _mosquitto() is None else "mosquitto"


def _mosquitto() -> str | None:
    return shutil.which("mosquitto", path=SEARCH_PATH)


def _mosquitto_version() -> str:
    said = subprocess.run([_mosquitto() or "", "-h"], capture_output=True, text=True, check=False).stdout
    return said.splitlines()[0].replace(" version", "")
