"""A private Mosquitto on a free port: the real broker, as tests need it."""

import asyncio
import os
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

READY_TIMEOUT_S = 10.0
SEARCH_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"


def find_program(name: str) -> str:
    """The path of the program `name`. Without it a test is skipped; under CI it fails."""
    found = shutil.which(name, path=SEARCH_PATH)
    if found is None:
        missing = f"{name} is not installed: apt-get install mosquitto mosquitto-clients openssl"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Mosquitto:
    """`async with Mosquitto() as broker:` runs one; `stop()` and `start()` restart it on the same port.

    With `password` it admits only user `voice` with that; with `persistence` retained messages outlive a restart.
    `settings` are further lines of its configuration.
    """

    def __init__(self, *, password: str = "", persistence: bool = False, settings: str = "") -> None:
        self.port = free_port()
        self._password = password
        self._persistence = persistence
        self._settings = settings
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        login = f"voice:{self._password}@" if self._password else ""
        return f"mqtt://{login}127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Run it, and wait until its port accepts."""
        folder = self._prepare()
        with (folder / "mosquitto.log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                find_program("mosquitto"), "-c", str(folder / "mosquitto.conf"), stdout=log, stderr=log
            )
        deadline = asyncio.get_running_loop().time() + READY_TIMEOUT_S
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
            except OSError:
                assert self._process.returncode is None, f"mosquitto ended: {self.log}"
                assert asyncio.get_running_loop().time() < deadline, f"mosquitto is not ready: {self.log}"
                await asyncio.sleep(0.005)
            else:
                writer.close()
                await writer.wait_closed()
                return

    async def stop(self, *, kill: bool = False) -> None:
        """End it; with `kill` without the time to save or to say anything."""
        if self._process is not None:
            if self._process.returncode is None:
                if kill:
                    self._process.kill()
                else:
                    self._process.terminate()
            await asyncio.wait_for(self._process.wait(), READY_TIMEOUT_S)
            self._process = None

    @property
    def log(self) -> str:
        """What it has written to its log so far."""
        assert self._folder is not None
        return (Path(self._folder.name) / "mosquitto.log").read_text()

    def _prepare(self) -> Path:
        if self._folder is not None:
            return Path(self._folder.name)
        self._folder = tempfile.TemporaryDirectory(prefix="mosquitto-")
        folder = Path(self._folder.name)
        lines = [f"listener {self.port} 127.0.0.1", "set_tcp_nodelay true", "max_queued_messages 20000"]
        if os.geteuid() == 0:
            lines.append("user root")  # else it becomes another user, who cannot read this folder
        if self._persistence:
            lines += ["persistence true", f"persistence_location {folder}/"]
        if self._password:
            passwords = folder / "passwords"
            subprocess.run(
                [find_program("mosquitto_passwd"), "-b", "-c", str(passwords), "voice", self._password], check=True
            )
            lines += ["allow_anonymous false", f"password_file {passwords}"]
        else:
            lines.append("allow_anonymous true")
        (folder / "mosquitto.conf").write_text("\n".join([*lines, self._settings, ""]))
        return folder

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            await self._remove()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._remove()

    async def _remove(self) -> None:
        await self.stop()
        if self._folder is not None:
            self._folder.cleanup()
