"""The virtual board: the firmware, or another program for an ESP32, as a process, driven as a person drives a board."""

import asyncio
import fcntl
import functools
import os
import re
import shutil
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from gateway.device.exchange import Signal

FIRMWARE = Path(__file__).parents[2] / "firmware"
FIRMWARE_BUILD = FIRMWARE / "build"
HEADERS = ("mpg123.h", "openssl/ssl.h")
PACKAGES = "g++ make libmpg123-dev libssl-dev"
PATIENCE_S = 20.0
END_S = 10.0


def _can_build() -> bool:
    if shutil.which("make") is None or shutil.which("g++") is None:
        return False
    program = "".join(f"#include <{header}>\n" for header in HEADERS)
    return subprocess.run(["g++", "-xc++", "-fsyntax-only", "-"], input=program.encode(), check=False).returncode == 0


@functools.cache
def build_board(**choices: str) -> Path:
    """The virtual board's program, built with sanitizers and the `choices` of firmware/host/host.mk.

    PUBSUBCLIENT and MICRO_MP3 in the environment choose the real libraries. Where there is no compiler the test is
    skipped; under CI it fails.
    """
    if not _can_build():
        missing = f"the virtual board cannot be built: apt-get install {PACKAGES}"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    command = ["make", "-C", str(FIRMWARE), "host", "SANITIZE=1", f"-j{os.cpu_count()}"]
    command += [f"{name}={value}" for name, value in choices.items()]
    FIRMWARE_BUILD.mkdir(exist_ok=True)
    # Tests in several processes build in the same folder.
    with (FIRMWARE_BUILD / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout[-2000:] + built.stderr[-4000:]
    found = re.search(r"^built firmware/(\S+);", built.stdout, re.MULTILINE)
    assert found, built.stdout
    return FIRMWARE / found[1]


class Board:
    """`async with Board(program, "--nvs", path) as board:` runs one; at the end it must end cleanly, without a leak."""

    def __init__(self, program: Path, *options: str) -> None:
        self._command = (str(program), *options)
        self._signal = Signal()
        self._read: asyncio.Task[None]
        self._errors: asyncio.Task[bytes]
        self._process: asyncio.subprocess.Process
        self._seen = 0
        self.lines: list[str] = []

    async def __aenter__(self) -> Self:
        pipe = asyncio.subprocess.PIPE
        self._process = await asyncio.create_subprocess_exec(*self._command, stdin=pipe, stdout=pipe, stderr=pipe)
        self._read = asyncio.create_task(self._keep_lines())
        assert self._process.stderr is not None
        self._errors = asyncio.create_task(self._process.stderr.read())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if self._process.returncode is None and not self._read.done():
                self.type("!quit")
            async with asyncio.timeout(END_S):
                await self._process.wait()
        finally:
            if self._process.returncode is None:
                self._process.kill()
            await self._read
            errors = (await self._errors).decode()
        if kind is None:
            assert self._process.returncode == 0, errors
            assert errors == ""

    @property
    def pid(self) -> int:
        return self._process.pid

    def type(self, line: str) -> None:
        """Send a line: with `!` to the hardware, else to the serial console."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n".encode())

    async def line(self, pattern: str, timeout_s: float = PATIENCE_S) -> re.Match[str]:
        """Wait for the next line that `pattern` is found in, after the last one that was waited for."""
        return await self._signal.until(
            lambda: self._find(pattern), timeout_s, lambda: f"no line with {pattern!r} in\n" + "\n".join(self.lines)
        )

    async def call(self, command: str) -> str:
        """Have the probe of firmware/host/test do something, and return what it answers."""
        self.type(command)
        return (await self.line(r"^= (.*)"))[1]

    async def counters(self) -> dict[str, int]:
        """The hardware's counters now."""
        self.type("!counters")
        return await self.counted()

    async def counted(self) -> dict[str, int]:
        """The next counters that are printed."""
        found = await self.line(r"^!counters (.*)")
        return {name: int(value) for name, value in re.findall(r"(\w+)=(\d+)", found[1])}

    def _find(self, pattern: str) -> re.Match[str] | None:
        for index in range(self._seen, len(self.lines)):
            found = re.search(pattern, self.lines[index])
            if found:
                self._seen = index + 1
                return found
        return None

    async def _keep_lines(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            self.lines.append(line.decode(errors="replace").rstrip("\n"))
            self._signal.notify()
        self._signal.notify()
