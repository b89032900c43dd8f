"""The command line as a person runs it, in this process."""

import asyncio
import json
import logging
import sys
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gateway.cli import main


@dataclass(frozen=True, slots=True)
class Result:
    """How a command ended and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


CommandLine = Callable[..., Awaitable[Result]]


@pytest.fixture
def short_wait_for_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests without a broker: commands of this process give it up soon."""
    for module in ("broker", "checks"):
        monkeypatch.setattr(f"gateway.cli.{module}.CONNECT_S", 0.3)


@pytest.fixture
def log_as_before() -> Iterator[None]:
    """A command sends the log of its process to standard error, which for a test ends with it: what a later one logs
    would go to a closed file, and not be seen."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def cli(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, log_as_before: None
) -> CommandLine:
    """Runs `voice-gateway` with arguments, in an empty folder; in a thread, so that servers of the test live on."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))

    async def run(*arguments: str) -> Result:
        monkeypatch.setattr(sys, "argv", ["voice-gateway", *arguments])
        capsys.readouterr()
        try:
            await asyncio.to_thread(main)
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
        wrote = capsys.readouterr()
        return Result(code, wrote.out, wrote.err)

    return run
