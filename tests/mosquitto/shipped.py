"""Mosquitto running the folder that we ship: every line as it stands, but for ports that are free."""

import asyncio
import os
import re
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.fakes.mosquitto import READY_TIMEOUT_S, find_program, free_port

SHIPPED = Path(__file__).parents[2] / "mosquitto"
LOCAL_PORT = 1883
"""What the entry files listen on; the key of their free port in `ports`."""
RELOADING = "Reloading config."
PASSWORDS = {name: f"secret of {name}" for name in ("gateway", "homeassistant", "operator", "kitchen", "hall")}


class ShippedBroker:
    """`async with ShippedBroker(folder, "plain") as broker:` runs a copy with the listeners named.

    `ports` has the free port that stands for each usual one. `login(name)` is the user name and password of each of
    `PASSWORDS`. `places` are what the entry file's absolute folders become.
    """

    def __init__(
        self, folder: Path, *listeners: str, entry: str = "mosquitto.conf", places: dict[str, str] | None = None
    ) -> None:
        self.folder = folder / "mosquitto"
        self.ports: dict[int, int] = {}
        self._entry = self.folder / entry
        self._process: asyncio.subprocess.Process | None = None
        shutil.copytree(SHIPPED, self.folder, ignore=shutil.ignore_patterns(*_own(SHIPPED)))
        for name in listeners:
            shutil.copy(self.folder / "listeners" / f"{name}.conf", self.folder / "conf.d")
        for file in (self._entry, *(self.folder / "conf.d").glob("*.conf")):
            file.write_text(re.sub(r"^listener (\d+)", self._other_port, file.read_text(), flags=re.MULTILINE))
        for usual, ours in (places or {}).items():
            self._entry.write_text(self._entry.read_text().replace(usual, ours))
        more = "log_type information\n"  # which tells of a reload
        if os.geteuid() == 0:
            more += "user root\n"  # else it becomes the user mosquitto, who cannot read this folder
        self._entry.write_text(more + self._entry.read_text())

    @property
    def acl(self) -> Path:
        return self.folder / "acl"

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    @property
    def running(self) -> asyncio.subprocess.Process:
        assert self._process is not None
        return self._process

    def login(self, name: str) -> tuple[str, str]:
        return name, PASSWORDS[name]

    def add_logins(self, passwords: dict[str, str]) -> None:
        """Write them in the password file as Mosquitto's own program does, over what is there."""
        file = self.folder / "passwords"
        file.write_text("".join(f"{name}:{password}\n" for name, password in passwords.items()))
        file.chmod(0o600)
        subprocess.run([find_program("mosquitto_passwd"), "-U", str(file)], check=True)

    async def reload(self) -> None:
        async with self.reloading():
            self.running.send_signal(signal.SIGHUP)

    @asynccontextmanager
    async def reloading(self) -> AsyncIterator[None]:
        """Wait at the end of the block until it has read its files again. It serves nobody while it does."""
        before = self.log.count(RELOADING)
        yield
        async with asyncio.timeout(READY_TIMEOUT_S):
            while self.log.count(RELOADING) == before:  # noqa: ASYNC110 - what another process writes
                await asyncio.sleep(0.005)

    async def start(self) -> None:
        """Run it in its folder, as the entry file says, and wait until every port accepts."""
        with (self.folder / "log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                find_program("mosquitto"), "-c", self._entry.name, cwd=self.folder, stdout=log, stderr=log
            )
        async with asyncio.timeout(READY_TIMEOUT_S):
            for port in self.ports.values():
                while not await _accepts(port):
                    assert self._process.returncode is None, f"mosquitto ended: {self.log}"
                    await asyncio.sleep(0.005)

    async def stop(self) -> None:
        if self._process is not None:
            if self._process.returncode is None:
                self._process.terminate()
            async with asyncio.timeout(READY_TIMEOUT_S):
                await self._process.wait()
            self._process = None

    async def __aenter__(self) -> Self:
        if not (self.folder / "passwords").exists():
            self.add_logins(PASSWORDS)
        try:
            await self.start()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()

    def _other_port(self, line: re.Match[str]) -> str:
        port = free_port()
        self.ports[int(line[1])] = port
        return f"listener {port}"


def _own(folder: Path) -> list[str]:
    """What a developer's own installation left beside the shipped files."""
    return [
        entry.removeprefix("/")
        for entry in (folder / ".gitignore").read_text().split()
        if entry.startswith("/") and not entry.startswith("/conf.d")
    ]


async def _accepts(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    await writer.wait_closed()
    return True
