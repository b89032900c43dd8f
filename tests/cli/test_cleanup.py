"""`voice-gateway cleanup`."""

import asyncio
import os
import pty
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gateway.device import SoftwareDevice
from tests.cli.conftest import CommandLine
from tests.cli.data import add_conversation
from tests.cli.retained import publish_retained, retained_topics
from tests.cli.test_main import IN_A_PROCESS
from tests.fakes.mosquitto import Mosquitto

MAC = "A4:CF:12:8B:3F:9E"
NO_BROKER = "mqtt://127.0.0.1:1"


@pytest.fixture(autouse=True)
async def conversations(tmp_path: Path) -> None:
    """One of 40 days ago, one of 20 and one of today."""
    now = datetime.now(UTC)
    for spelling, days in ((MAC, 40), ("hall", 20), ("cellar", 0)):
        await add_conversation(tmp_path / "data", spelling, now - timedelta(days=days))


async def kept(cli: CommandLine) -> set[str]:
    return {one["session_id"] for one in (await cli("sessions", "list", "--json")).json}


async def test_a_dry_run_removes_nothing(cli: CommandLine) -> None:
    told = await cli("cleanup", "--days", "10", "--dry-run")
    assert told.code == 0
    assert told.out.startswith("Would remove 2 conversations without activity in the last 10 days.\n")
    assert "a4cf128b3f9e" in told.out
    assert "hall" in told.out
    assert await kept(cli) == {"a4cf128b3f9e", "hall", "cellar"}


async def test_what_is_older_goes_with_what_the_broker_keeps_of_it(cli: CommandLine) -> None:
    async with Mosquitto() as broker:
        of_both = [f"voice/{device}/{leaf}" for device in (MAC, "hall") for leaf in ("state", "hello", "online")]
        introduced = [
            f"homeassistant/sensor/voice-gateway/{device}-state/config" for device in ("a4cf128b3f9e", "hall")
        ]
        await publish_retained(broker.url, of_both + introduced)
        told = await cli("cleanup", "--mqtt-url", broker.url)
        assert (told.code, told.err) == (0, "")
        assert told.out.startswith("Removed 1 conversations without activity in the last 30 days.\n")
        assert await retained_topics(broker.url) == {*(topic for topic in of_both if "/hall/" in topic), introduced[1]}
    assert await kept(cli) == {"hall", "cellar"}


async def test_a_device_that_is_connected_stays_known(cli: CommandLine) -> None:
    async with Mosquitto() as broker, SoftwareDevice(broker.url, MAC, hello={"v": 1}):
        await publish_retained(broker.url, [f"voice/{device}/state" for device in (MAC, "hall")])
        await publish_retained(broker.url, [f"voice/hall/{leaf}" for leaf in ("hello", "online")])
        # A person may be around who connects as something that is no device.
        await publish_retained(broker.url, ["voice/no device/online"], b"online")
        told = await cli("cleanup", "--days", "10", "--yes", "--json", "--mqtt-url", broker.url)
        assert (told.code, told.err, told.json["removed"], told.json["retained_left"]) == (0, "", 2, None)
        left = {f"voice/{MAC}/hello", f"voice/{MAC}/online", "voice/no device/online"}
        assert await retained_topics(broker.url) == left
    assert await kept(cli) == {"cellar"}


@pytest.mark.usefixtures("short_wait_for_broker")
async def test_json_says_what_was_removed(cli: CommandLine) -> None:
    told = await cli("cleanup", "--days", "10", "--json", "--yes", "--mqtt-url", NO_BROKER)
    assert told.code == 0
    assert "refused" in told.json.pop("retained_left")
    assert told.json | {"retained_left": None} == {
        "days": 10,
        "dry_run": False,
        "removed": 2,
        "session_ids": ["a4cf128b3f9e", "hall"],
        "messages": 4,
        "retained_left": None,
    }


async def test_nothing_to_remove_needs_no_broker(cli: CommandLine) -> None:
    told = await cli("cleanup", "--days", "100", "--json", "--mqtt-url", NO_BROKER)
    assert (told.json["removed"], told.json["retained_left"]) == (0, None)


async def test_the_age_is_a_setting(cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_CLEANUP_DAYS", "10")
    assert (await cli("cleanup", "--dry-run", "--json")).json["removed"] == 2


@pytest.mark.parametrize("days", ["-1", "nan", "1e9"])
async def test_an_age_that_cannot_be(cli: CommandLine, days: str) -> None:
    told = await cli("cleanup", "--days", days)
    assert (told.code, told.out) == (2, "")
    assert "days" in told.err


@pytest.mark.parametrize(("answer", "left"), [("n", 3), ("y", 1)])
async def test_a_person_is_asked(cli: CommandLine, tmp_path: Path, answer: str, left: int) -> None:
    terminal, stdin = pty.openpty()
    try:
        os.write(terminal, f"{answer}\n".encode())
        arguments = ["cleanup", "--days", "10", "--mqtt-url", NO_BROKER]
        asked = await asyncio.to_thread(
            subprocess.run,
            [*IN_A_PROCESS, *arguments],
            stdin=stdin,
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
            check=False,
        )
    finally:
        os.close(terminal)
        os.close(stdin)
    assert "Remove these 2 conversations for good?" in asked.stdout + asked.stderr
    assert asked.returncode == (0 if answer == "y" else 1)
    assert len(await kept(cli)) == left
