"""Telling a broker that its files have changed."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from gateway.provisioning import reload as module
from gateway.provisioning.reload import reload_broker
from tests.conformance.broker import connected
from tests.mosquitto.shipped import LOCAL_PORT, PASSWORDS, ShippedBroker

PYTHON = sys.executable
ROOT = Path(__file__).parents[2]


async def test_a_broker_that_runs_in_the_folder_reads_its_files_again(tmp_path: Path) -> None:
    async with ShippedBroker(tmp_path) as broker:
        broker.add_logins(PASSWORDS | {"new": "secret"})
        async with broker.reloading():
            assert reload_broker(broker.folder) is None
        async with connected(broker.ports[LOCAL_PORT], login=("new", "secret")):
            pass


async def test_the_service_is_found_by_its_own_pid_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    places = {"/run/mosquitto": str(tmp_path), "/var/lib/mosquitto": str(tmp_path)}
    monkeypatch.setattr(module, "SERVICE_PID_FILE", tmp_path / "mosquitto.pid")
    async with ShippedBroker(tmp_path, entry="debian.conf", places=places) as broker:
        async with broker.reloading():
            assert reload_broker(broker.folder) is None
        assert "no broker is known to run" in str(reload_broker(tmp_path)), "it runs in another folder"


def test_without_a_broker_it_says_what_to_run(tmp_path: Path) -> None:
    told = str(reload_broker(tmp_path))
    assert f"no broker is known to run in {tmp_path}" in told
    assert "kill -HUP" in told


@pytest.mark.parametrize("content", ["", "x", "4194304"], ids=["empty", "no number", "nobody"])
def test_a_pid_file_that_says_nothing_is_as_none(tmp_path: Path, content: str) -> None:
    (tmp_path / "mosquitto.pid").write_text(content)
    assert "no broker is known" in str(reload_broker(tmp_path))


async def test_another_program_under_the_old_number_is_left_alone(tmp_path: Path) -> None:
    other = await asyncio.create_subprocess_exec("sleep", "60", cwd=tmp_path)
    (tmp_path / "mosquitto.pid").write_text(str(other.pid))
    assert "no broker is known" in str(reload_broker(tmp_path))
    other.terminate()
    assert await other.wait() == -15, "SIGHUP would have ended it before"


def test_a_command_is_run_instead(tmp_path: Path) -> None:
    made = tmp_path / "told with spaces"
    assert reload_broker(tmp_path, f"touch '{made}'") is None
    assert made.exists()


@pytest.mark.parametrize(
    ("command", "why"),
    [
        ("false", "exit code 1"),
        (f"{PYTHON} -c 'import sys; sys.exit(\"no such service\")'", "no such service"),
        ("/no/such/program", "No such file"),
        ("touch 'x", "quotation"),
    ],
)
def test_a_command_that_fails_is_told(tmp_path: Path, command: str, why: str) -> None:
    told = str(reload_broker(tmp_path, command))
    assert command in told
    assert why in told


def test_a_command_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "COMMAND_TIMEOUT_S", 0.1)
    assert "had not ended" in str(reload_broker(tmp_path, "sleep 60"))


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a process of another user")
async def test_a_broker_of_another_user_is_named(tmp_path: Path) -> None:
    as_nobody = (
        "import os, sys; from pathlib import Path; from gateway.provisioning.reload import reload_broker\n"
        "os.chdir(sys.argv[1]); os.setgid(65534); os.setuid(65534); print(reload_broker(Path()))"
    )
    async with ShippedBroker(tmp_path) as broker:
        pid = broker.running.pid
        await asyncio.to_thread(broker.folder.chmod, 0o755)
        command = (PYTHON, "-c", as_nobody, str(broker.folder))
        asked = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
        told, _ = await asked.communicate()
    assert f"sudo kill -HUP {pid}" in told.decode()
