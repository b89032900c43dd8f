"""Makes a running Mosquitto read its password file, access rules and certificates again."""

import os
import shlex
import signal
import subprocess
from pathlib import Path

COMMAND_TIMEOUT_S = 10.0
SERVICE_PID_FILE = Path("/run/mosquitto/mosquitto.pid")
"""What debian.conf names."""


def reload_broker(folder: Path, command: str = "") -> str | None:
    """Run `command`, if given, else send SIGHUP to the Mosquitto that runs in `folder`.

    Returns what a person has to do when that was not possible, else None. Connections stay, save those of logins
    that are gone or have another password now.
    """
    return _run(command) if command else _signal(folder)


def _run(command: str) -> str | None:
    try:
        ended = subprocess.run(  # noqa: S603 - the setting is the operator's own
            shlex.split(command), capture_output=True, text=True, timeout=COMMAND_TIMEOUT_S, check=False
        )
    except (OSError, ValueError) as error:
        return f"`{command}` could not be run ({error}): make the broker read its files again"
    except subprocess.TimeoutExpired:
        return f"`{command}` had not ended after {COMMAND_TIMEOUT_S:g} s: see whether the broker has read its files"
    if ended.returncode:
        said = (ended.stderr.strip() or ended.stdout.strip() or f"exit code {ended.returncode}").splitlines()[-1]
        return f"`{command}` failed ({said}): make the broker read its files again"
    return None


def _signal(folder: Path) -> str | None:
    for pid_file in (folder / "mosquitto.pid", SERVICE_PID_FILE):
        try:
            pid = int(pid_file.read_text())
        except (OSError, ValueError):
            continue
        try:
            if not _runs_in(pid, folder):
                continue
            os.kill(pid, signal.SIGHUP)
        except PermissionError:
            return f"the broker is another user's: run `sudo kill -HUP {pid}` so that it reads its files again"
        except ProcessLookupError:
            continue  # it ended without removing the file
        return None
    return (
        f"no broker is known to run in {folder}. Start it, or if it runs make it read its files again: `kill -HUP` its"
        " process, `sudo systemctl reload mosquitto`, or `docker compose kill -s HUP mosquitto`"
    )


def _runs_in(pid: int, folder: Path) -> bool:
    """Whether it is a Mosquitto that was started in `folder`: the number in an old file may be anybody's by now.

    Raises:
        PermissionError: it is another user's process, which this one may not look at.
        ProcessLookupError: there is no such process.
    """
    process = Path(f"/proc/{pid}")
    if not Path("/proc/self").exists():  # not Linux: nothing can be told
        os.kill(pid, 0)
        return True
    try:
        return process.joinpath("comm").read_text().strip() == "mosquitto" and process.joinpath("cwd").samefile(folder)
    except FileNotFoundError:
        raise ProcessLookupError from None
