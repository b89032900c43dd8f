"""`voice-gateway simulate`: what it tells and how it ends. What it checks is tested in tests/simulator."""

import asyncio
import multiprocessing
import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.cli.quantities import seconds, share
from gateway.errors import ConfigurationError
from gateway.simulator.checks import Check
from tests.cli.conftest import CommandLine
from tests.cli.retained import retained_topics
from tests.cli.test_main import IN_A_PROCESS
from tests.device.peer import mp3_of, tone
from tests.e2e.speech import sound_file
from tests.fakes.mosquitto import Mosquitto
from tests.simulator.fake_gateway import SOUND, Asked, FakeGateway

ROOT = Path(__file__).parents[2]
QUICK = ("--devices", "2", "--minutes", "0.02", "--ramp", "0", "--pause", "100ms", "--wav", "question.wav")


@pytest.fixture
async def broker() -> AsyncIterator[Mosquitto]:
    async with Mosquitto() as running:
        yield running


@pytest.fixture
def question(tmp_path: Path) -> None:
    (tmp_path / "question.wav").write_bytes(sound_file(tone(0.1)))


async def too_large(gateway: FakeGateway, asked: Asked) -> None:
    sound = mp3_of(0.9)
    await gateway.frames(asked, [sound])
    await gateway.done(asked, sound, chunks=1)


@pytest.mark.usefixtures("question")
async def test_answers_that_are_right_end_well_and_leave_nothing_behind(cli: CommandLine, broker: Mosquitto) -> None:
    async with FakeGateway(broker.url):
        told = await cli("simulate", "--mqtt-url", broker.url, *QUICK)
        assert told.code == 0, told.out
        kept = await retained_topics(broker.url)
    for line in ("check ", *(check.value for check in Check), "first sound ", "simulator 0", "Every answer passed."):
        assert line in told.out
    assert f"2 devices on {broker.url} for 0.02 min" in told.err
    assert "stayed behind" not in told.err
    assert kept == {"voice/gateway/status", "voice/gateway/stats"}


@pytest.mark.usefixtures("question")
async def test_one_wrong_answer_is_told_and_ends_badly(cli: CommandLine, broker: Mosquitto) -> None:
    async with FakeGateway(broker.url, too_large):
        told = await cli("simulate", "--mqtt-url", broker.url, *QUICK)
    assert told.code == 1
    assert "not within the packet limit: a message of" in told.out
    assert "Not every answer passed." in told.out
    assert "Traceback" not in told.err


@pytest.mark.usefixtures("question")
@pytest.mark.parametrize(
    ("code", "outcome", "note"),
    [
        ("audio_too_short", "failed", "what --wav holds is shorter than the gateway's utterance_min_s"),
        ("audio_too_long", "failed", "what --wav holds is longer than the gateway's utterance_max_s"),
        ("rate_limited", "failed", "let the devices rest longer (--pause)"),
        (None, "silent", "the gateway understood nothing: listen to what --wav holds"),
    ],
)
async def test_what_comes_from_the_way_it_was_called_is_said(
    cli: CommandLine, broker: Mosquitto, code: str | None, outcome: str, note: str
) -> None:
    async def refuse(gateway: FakeGateway, asked: Asked) -> None:
        if code is not None:
            await gateway.event(asked, "error", code=code, stage="receive", message="no", retryable=False)
        await gateway.frames(asked, [SOUND])
        await gateway.done(asked, outcome=outcome, chunks=1)

    async with FakeGateway(broker.url, refuse):
        told = await cli("simulate", "--mqtt-url", broker.url, *QUICK)
    assert told.code == 1
    assert note in told.out


@pytest.mark.usefixtures("question")
async def test_scripts_get_every_figure(cli: CommandLine, broker: Mosquitto) -> None:
    async with FakeGateway(broker.url, too_large) as gateway:
        told = await cli("simulate", "--mqtt-url", broker.url, *QUICK, "--json", "--loss", "20%", "--duplicate")
        answered = gateway.answered
    assert told.code == 1
    data = told.json
    assert not data["ok"]
    assert data["answers"] == answered > 0
    assert data["checks"]["fits"] == {"passed": 0, "failed": answered}
    assert data["failures"][0]["check"] == "fits"
    assert set(data["first_sound_ms"]) == {"p50", "p95", "max"}


@pytest.mark.usefixtures("question")
async def test_without_a_gateway_it_says_what_to_do(
    cli: CommandLine, broker: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.simulator.watched_gateway.GATEWAY_S", 0.3)
    told = await cli("simulate", "--mqtt-url", broker.url, *QUICK)
    assert (told.code, told.out) == (1, "")
    assert "no gateway is online on" in told.err
    assert "voice-gateway run" in told.err
    assert "--own-gateway" in told.err


@pytest.mark.usefixtures("question")
async def test_a_wrong_login_is_said_at_once_and_nothing_else_is_advised(cli: CommandLine) -> None:
    async with Mosquitto(password="right") as broker:
        told = await cli("simulate", "--mqtt-url", broker.url.replace("right", "wrong"), *QUICK)
    assert (told.code, told.out) == (1, "")
    assert "check user and password" in told.err
    assert "voice-gateway run" not in told.err


async def test_with_a_gateway_of_its_own_one_command_is_a_load_test(cli: CommandLine) -> None:
    """A Ctrl-C, which in a terminal reaches the gateway's process too, is for the command alone, however early."""
    simulating = asyncio.ensure_future(
        cli(
            *("simulate", "--own-gateway", "--devices", "3", "--minutes", "0.06", "--ramp", "1s", "--pause", "100ms"),
            *("--form", "mixed", "--language", "en", "--json"),
        )
    )
    await asyncio.to_thread(_interrupt_the_gateway_that_starts)
    told = await simulating
    assert told.code == 0, (told.out, told.err)
    data = told.json
    assert data["ok"]
    assert data["memory_checked"]
    assert data["answers"] >= 3
    assert data["gateway"]["cpu_cores"] > 0


def _interrupt_the_gateway_that_starts() -> None:
    """Send a Ctrl-C to the process of the gateway while it imports, which takes it seconds."""
    give_up_at = time.monotonic() + 60
    while time.monotonic() < give_up_at:
        for process in multiprocessing.active_children():
            if "_pydantic_core" in Path(f"/proc/{process.pid}/maps").read_text():
                assert process.pid is not None
                os.kill(process.pid, signal.SIGINT)
                return
        time.sleep(0.01)
    raise TimeoutError("no gateway was started")


@pytest.mark.usefixtures("question")
async def test_ctrl_c_ends_it_early_with_what_is_known(broker: Mosquitto, tmp_path: Path) -> None:
    pipe = asyncio.subprocess.PIPE
    async with FakeGateway(broker.url) as gateway:
        process = await asyncio.create_subprocess_exec(
            *IN_A_PROCESS,
            *("simulate", "--mqtt-url", broker.url, *QUICK, "--minutes", "10"),
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(ROOT), "HOME": str(tmp_path)},
            stdout=pipe,
            stderr=pipe,
        )
        try:
            for _ in range(4):  # with the fourth, at least one has been judged
                await gateway.until_answered()
            process.send_signal(signal.SIGINT)
            async with asyncio.timeout(30):
                out, err = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        assert await retained_topics(broker.url) == {"voice/gateway/status", "voice/gateway/stats"}
    assert process.returncode == 0, err
    assert b"ended early" in out
    assert b"Every answer passed." in out
    assert b"Traceback" not in err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--form", "mp3"), "--form is one of pcm, adpcm, opus, raw, file, mixed, not mp3"),
        (("--loss", "2 percent"), "--loss is a share such as 2% or 0.02, not '2 percent'"),
        (("--loss", "90%"), "--loss is at most 50%"),
        (("--jitter", "soon"), "--jitter is a time such as 30ms, 2s or 1min, not 'soon'"),
        (("--patience", "0"), "--patience is more than 0"),
        (("--slow-consumer", "--mqtt-url", "mqtts://broker.local"), "--slow-consumer needs mqtt://"),
        (("--wav", "nothing.wav", "--own-gateway"), "nothing.wav cannot be read as sound"),
    ],
)
async def test_what_cannot_work_is_refused_before_it_begins(
    cli: CommandLine, arguments: tuple[str, ...], told: str
) -> None:
    result = await cli("simulate", *arguments)
    assert (result.code, result.out) == (2, "")
    assert told in result.err


def test_shares_and_times_are_read_as_people_write_them() -> None:
    assert [share("--x", text) for text in ("2%", "0.02", "0", "100%")] == [0.02, 0.02, 0, 1]
    assert [seconds("--x", text) for text in ("30ms", "2s", "1.5", "2min", "0")] == [0.03, 2, 1.5, 120, 0]
    for text in ("", "%", "-1%", "101%", "nan", "x"):
        with pytest.raises(ConfigurationError):
            share("--x", text)
    for text in ("", "s", "-1s", "inf", "nan", "2h"):
        with pytest.raises(ConfigurationError):
            seconds("--x", text)
