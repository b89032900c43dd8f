"""What all commands have in common."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gateway import __version__
from gateway.cli import COMMANDS
from gateway.cli.calling import as_called
from gateway.config import Settings
from gateway.settings_sources import option_name
from tests.cli.conftest import CommandLine

ROOT = Path(__file__).parents[2]
IN_A_PROCESS = [sys.executable, "-c", "from gateway.cli import main; main()"]
GROUPS = {
    "sessions": ("list", "show", "export", "forget"),
    "devices": ("add", "list", "rotate", "remove"),
    "broker": ("init", "rotate", "certs"),
}
# gateway/cli/broker.py is what other commands know of the broker.
NAMES = ["broker" if name == "broker_admin" else name for name in COMMANDS]
EVERY_COMMAND = [(name, *verb) for name in NAMES for verb in ([(each,) for each in GROUPS.get(name, ())] or [()])]


async def test_help_lists_every_command(cli: CommandLine) -> None:
    told = await cli("--help")
    assert told.code == 0
    listed = [line.split()[0] for line in told.out.partition("Commands:")[2].splitlines() if line.strip()]
    assert set(listed) >= set(NAMES)


async def test_version(cli: CommandLine) -> None:
    assert (await cli("version")).out == f"{__version__}\n"


@pytest.mark.parametrize("command", EVERY_COMMAND, ids=" ".join)
async def test_every_command_shows_examples_of_itself(cli: CommandLine, command: tuple[str, ...]) -> None:
    told = await cli(*command, "--help")
    assert told.code == 0
    assert f"voice-gateway {' '.join(command)}" in told.out.partition("Examples:")[2]


async def test_run_has_every_setting_as_an_option(cli: CommandLine) -> None:
    told = await cli("run", "--help")
    assert all(f" {option_name(name)} " in told.out for name in Settings.model_fields)


async def test_an_unknown_option_is_named_with_the_nearest_right_one(cli: CommandLine) -> None:
    told = await cli("run", "--llm-modle", "x")
    assert told.code == 2
    assert "--llm-modle" in told.err
    assert "--llm-model" in told.err.replace("--llm-modle", "")


async def test_an_unknown_command_is_refused(cli: CommandLine) -> None:
    told = await cli("clean")
    assert (told.code, told.out) == (2, "")
    assert "clean" in told.err


@pytest.mark.parametrize("command", ["run", "cleanup", "stats", "doctor", "engines", "config"])
async def test_a_wrong_setting_ends_every_command_alike(
    cli: CommandLine, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setenv("GATEWAY_DATABSE_URL", "x")
    told = await cli(command)
    assert (told.code, told.out) == (2, "")
    assert told.err == (
        "voice-gateway: unknown setting GATEWAY_DATABSE_URL in the environment: did you mean GATEWAY_DATABASE_URL?\n"
    )


async def test_a_database_that_is_none_is_a_clear_error(cli: CommandLine) -> None:
    told = await cli("stats", "--database-url", "mysql://me:hunter2@host/db")
    assert (told.code, told.out) == (2, "")
    assert "sqlite:///" in told.err
    assert "hunter2" not in told.err
    assert "Traceback" not in told.err


@pytest.mark.parametrize(
    "command",
    [
        ["sessions", "list"],
        ["sessions", "show", "hall"],
        ["sessions", "export", "hall"],
        ["sessions", "forget", "hall", "--yes"],
        ["stats"],
        ["cleanup", "--dry-run"],
        ["cleanup", "--yes"],
    ],
    ids=" ".join,
)
async def test_a_mistyped_database_is_told_and_not_made(cli: CommandLine, tmp_path: Path, command: list[str]) -> None:
    told = await cli(*command, "--database-url", f"sqlite:///{tmp_path}/dta/gateway.db")
    assert (told.code, told.out) == (2, "")
    assert f"there is no database {tmp_path}/dta/gateway.db" in told.err
    assert "--data-dir" in told.err
    assert not (tmp_path / "dta").exists()


def test_a_reader_that_leaves_early_is_no_error() -> None:
    command = subprocess.Popen([*IN_A_PROCESS, "run", "--help"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert command.stdout is not None
    command.stdout.close()
    _, err = command.communicate()
    assert err == b""


async def test_ctrl_c_while_it_still_loads_leaves_no_traceback(tmp_path: Path) -> None:
    # Tells on standard error each module that has been loaded; the command line's own library is one of the first.
    slow = [sys.executable, "-X", "importtime", *IN_A_PROCESS[1:], "run", "--mqtt-url", "embedded://127.0.0.1:0"]
    process = await asyncio.create_subprocess_exec(
        *slow, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, stderr=asyncio.subprocess.PIPE
    )
    assert process.stderr is not None
    async with asyncio.timeout(30):
        while not (await process.stderr.readline()).endswith(b" typer.models\n"):
            assert process.returncode is None
        process.send_signal(signal.SIGINT)
        _, rest = await process.communicate()
    assert process.returncode == 130
    assert b"Traceback" not in rest


HANGING_VOICE = """
import asyncio, threading
class Voice:
    name = description = "hanging"
    @classmethod
    def from_settings(cls, settings): return cls()
    async def start(self): pass
    async def close(self): pass
    def voice(self, language, wanted=None): return ""
    async def speak(self, text, language, voice=None):
        await asyncio.to_thread(threading.Event().wait)
        yield
"""


async def test_a_command_ends_also_when_a_thread_of_an_engine_hangs(tmp_path: Path) -> None:
    package = tmp_path / "hanging-1.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Name: hanging\nVersion: 1\n")
    (package / "entry_points.txt").write_text("[mqtt_voice_gateway.tts]\nhanging = hanging:Voice\n")
    (tmp_path / "hanging.py").write_text(HANGING_VOICE)
    options = ("--tts", "hanging", "--tts-timeout-s", "0.2", "--llm", "offline", "--mqtt-url", "embedded://127.0.0.1:0")
    process = await asyncio.create_subprocess_exec(
        *IN_A_PROCESS,
        "doctor",
        *options,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}", "HF_HUB_OFFLINE": "1"},
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(30):
            told, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    assert b"fail  tts: hanging" in told
    assert process.returncode == 1


@pytest.mark.parametrize(("on_path", "told"), [(False, "bin/voice-gateway run"), (True, "voice-gateway run")])
async def test_commands_that_are_told_can_be_typed_as_they_stand(tmp_path: Path, on_path: bool, told: str) -> None:
    program = tmp_path / "bin" / "voice-gateway"
    program.parent.mkdir()
    program.write_text(f"#!{sys.executable}\nfrom gateway.cli import main\nmain()\n")
    program.chmod(0o755)
    path = f"{program.parent}{os.pathsep}{os.environ['PATH']}" if on_path else "/usr/bin:/bin"

    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        environ = os.environ | {"PYTHONPATH": str(ROOT), "PATH": path}
        return subprocess.run(
            ["bin/voice-gateway", *arguments], cwd=tmp_path, env=environ, capture_output=True, text=True, check=False
        )

    assert f"\n    {told}\n" in (await asyncio.to_thread(call, "run", "--help")).stdout
    unknown = await asyncio.to_thread(call, "sessions", "show", "hall", "--database-url", "mysql://host/db")
    assert unknown.stderr.startswith("voice-gateway: the database URL")
    refused = await asyncio.to_thread(call, "talk")
    assert f"one of them: {told.replace('run', 'talk')} question.wav" in refused.stderr


def test_what_is_to_be_installed_is_installed_beside_the_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "bin" / "voice-gateway"
    program.parent.mkdir()
    for name in ("voice-gateway", "pip"):
        program.with_name(name).touch(mode=0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["bin/voice-gateway"])
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    advice = "one more package: pip install 'mqtt-voice-gateway[mic]'"
    assert as_called(advice) == advice.replace("pip install", "bin/pip install")
    monkeypatch.setenv("PATH", str(program.parent))
    assert as_called(advice) == advice
