"""A real PostgreSQL server of the tests' own: in a folder of its own, reached by a socket there, gone afterwards."""

import itertools
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import psycopg


def find_binaries() -> Path | None:
    """The folder of `initdb` and `pg_ctl`; None if there is no PostgreSQL server here."""
    pg_config = shutil.which("pg_config")
    candidates = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    if pg_config:
        found = subprocess.run([pg_config, "--bindir"], capture_output=True, text=True, check=True).stdout.strip()
        candidates.insert(0, Path(found))
    return next(
        (folder for folder in candidates if (folder / "initdb").exists() and (folder / "pg_ctl").exists()), None
    )


class PostgresServer:
    """`start()` takes a second or two; each `new_database()` is empty."""

    def __init__(self, binaries: Path) -> None:
        self._binaries = binaries
        self._folder = Path()
        self._numbers = itertools.count(1)

    def start(self) -> None:
        # Not below pytest's own folder: that is closed to the other user as whom the server has to run.
        self._folder = Path(tempfile.mkdtemp(prefix="voice-gateway-pg-"))
        if os.geteuid() == 0:
            shutil.chown(self._folder, *self._user())
        self._run(
            "initdb", "-D", self._data, "-U", "tester", "-A", "trust", "-E", "UTF8", "--no-sync", "--no-instructions"
        )
        self._control("start")

    def halt(self) -> None:
        """Every connection breaks, as when the server crashes; `resume()` brings it back with its databases."""
        self._control("stop", "-m", "immediate")

    def resume(self) -> None:
        self._control("start")

    def stop(self) -> None:
        """End it for good."""
        self.halt()
        shutil.rmtree(self._folder)

    def new_database(self) -> str:
        """The URL of a new, empty database: in truth a schema, which is a thousand files less to copy and remove."""
        name = f"test_{next(self._numbers)}"
        server = f"postgresql://tester@/postgres?host={self._folder}"
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(f"CREATE SCHEMA {name}")
        return f"{server}&options=-csearch_path%3D{name}"

    @property
    def _data(self) -> str:
        return str(self._folder / "data")

    def _control(self, action: str, *arguments: str) -> None:
        # Durability is not what the tests ask of PostgreSQL, and it is slow.
        options = f"-c listen_addresses='' -c fsync=off -c full_page_writes=off -k {self._folder}"
        extra = ["-o", options, "-l", str(self._folder / "log")] if action == "start" else []
        self._run("pg_ctl", "-D", self._data, "-w", "-s", *extra, *arguments, action)

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._binaries / program), *arguments]
        if os.geteuid() == 0:  # which PostgreSQL refuses to run as
            user, group = self._user()
            command = ["setpriv", f"--reuid={user}", f"--regid={group}", "--clear-groups", *command]
        # To a file, not a pipe: the server inherits it and would hold the pipe open.
        with tempfile.TemporaryFile() as output:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd="/", timeout=50, check=False
            )
            output.seek(0)
            assert done.returncode == 0, f"{program} failed: {output.read().decode(errors='replace')}"

    @staticmethod
    def _user() -> tuple[str, str]:
        known = Path("/etc/passwd").read_text(encoding="utf-8")
        return ("postgres", "postgres") if "\npostgres:" in known else ("nobody", "nogroup")
