"""`voice-gateway demo`: the whole thing, with everything real but the providers' servers."""

import asyncio
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest

from gateway.cli.demonstration import CALLERS, Answered, faults
from gateway.device import Chunk, Ended, PlaybackReport, Reply, read_sound
from gateway.values import ReplyForm
from tests.cli.conftest import CommandLine
from tests.conformance.openai_failures import openai_environment
from tests.device.peer import mp3_of
from tests.fakes.http_server import Request
from tests.fakes.openai_server import SPEECH_RATE, Audio, OpenAIServer, Status

__all__ = ["openai_environment"]

HEARD = {"es": ("Qué hora es", "¿Qué te pregunté antes?"), "en": ("What time is it?", "what did I ask before")}
"""What a recogniser makes of the questions, with its own ideas of capitals, marks, and for once of words: the answer
to this one is short."""
WITH_SERVER = ("--stt", "openai", "--llm", "offline", "--tts", "espeak")


@pytest.fixture
async def provider(openai_environment: pytest.MonkeyPatch) -> AsyncIterator[OpenAIServer]:
    """A server that hears the questions of the demonstration."""
    asked: Counter[str] = Counter()

    def hear(request: Request) -> str:
        language = request.fields["language"]
        asked[language] += 1
        return HEARD[language][asked[language] - 1]

    async with OpenAIServer() as server:
        openai_environment.setenv("OPENAI_BASE_URL", server.base_url)
        server.transcriptions.answer = hear
        yield server


async def test_with_nothing_set_up_two_devices_are_answered(
    cli: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    told = await cli("demo")
    assert (told.code, told.err) == (0, "")
    for line in (
        "Cocina (A4:CF:12:8B:3F:9E, es), turn 2",
        "heard  ¿Qué te pregunté antes?",
        "said   Antes me preguntaste: ¿Qué hora es?",
        "Office (b8d61a44027c, en), turn 2",
        "heard  What did I ask before?",
        "said   Before, you asked: Who are you?",
        "Note: No chat model is configured",
        "the miniature test model knows",
        "Each device was answered, and remembers its own questions only.",
        "Questions and answers are in demo-output/ (*.wav, *.mp3)",
    ):
        assert line in told.out
    answers = sorted(path.name for path in (tmp_path / "demo-output").glob("*.mp3"))
    assert answers == ["cocina-1.mp3", "cocina-2.mp3", "office-1.mp3", "office-2.mp3"]
    assert all(read_sound(tmp_path / "demo-output" / name).seconds > 1 for name in answers)
    again = read_sound(tmp_path / "demo-output" / "cocina-1-question.wav")
    assert again.rate == 16_000
    assert 0.5 < again.seconds < 2
    kept = await cli("sessions", "list", "--json", "--database-url", "sqlite:///demo-output/demo.db")
    assert {session["session_id"] for session in kept.json} == {"a4cf128b3f9e", "b8d61a44027c"}


async def test_scripts_get_every_figure_whatever_a_chat_model_says(
    cli: CommandLine, provider: OpenAIServer, tmp_path: Path
) -> None:
    provider.chat.answer = "Something that nobody could foresee."
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "demo.db").write_text("left by an earlier run")
    told = await cli("demo", "--stt", "openai", "--llm", "openai", "--tts", "espeak", "--json", "--output", "here")
    assert told.code == 0
    data = told.json
    assert data["failures"] == []
    assert Counter(turn["name"] for turn in data["turns"]) == {"Cocina": 2, "Office": 2}
    for turn in data["turns"]:
        assert turn["said"] == "Something that nobody could foresee."
        assert turn["timings_ms"]["received"] > 0
        assert turn["timings_ms"]["first_audio_out"] <= turn["timings_ms"]["total"]
        assert turn["audio_ms"] > 1000
        assert 0 < turn["peak_held_ms"] <= 2200
        assert turn["answer"].startswith("here/")


async def test_a_conversation_that_is_forgotten_is_a_failure(
    cli: CommandLine, provider: OpenAIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATEWAY_HISTORY_MESSAGES", "1")
    told = await cli("demo", *WITH_SERVER)
    assert told.code == 1
    assert "Cocina is not told its first question “Qué hora es”, but “Es tu primera pregunta.”" in told.err
    assert "Office is not told its first question" in told.err
    assert "remembers its own" not in told.out


async def test_a_device_that_is_told_of_the_other_is_a_failure(cli: CommandLine, provider: OpenAIServer) -> None:
    asked: Counter[str] = Counter()

    def hear(request: Request) -> str:
        language = request.fields["language"]
        asked[language] += 1
        # The Spanish device is taken to ask first what the English one asks.
        return HEARD["en"][0] if (language, asked[language]) == ("es", 1) else HEARD[language][asked[language] - 1]

    provider.transcriptions.answer = hear
    told = await cli("demo", *WITH_SERVER)
    assert told.code == 1
    assert "Cocina is told what another asked" in told.err


async def test_a_turn_that_fails_is_said_with_its_reason(cli: CommandLine, provider: OpenAIServer) -> None:
    provider.transcriptions.answer = Status(500)
    told = await cli("demo", *WITH_SERVER, "--json")
    assert told.code == 1
    assert "Office, “Who are you?”: the turn is failed (" in told.err
    assert len(told.json["failures"]) == 4


async def test_an_answer_of_silence_is_a_failure(cli: CommandLine, provider: OpenAIServer) -> None:
    provider.speech.answer = Audio(bytes(2 * SPEECH_RATE), "audio/pcm")
    told = await cli("demo", "--stt", "openai", "--llm", "offline", "--tts", "openai")
    assert told.code == 1
    assert "Cocina, “¿Qué hora es?”: the answer cannot be played: it is silence" in told.err


SOUND = mp3_of(1.0)
GOOD = Reply(
    turn=1,
    form=ReplyForm.FRAMES,
    chunks=(Chunk(0, SOUND, 0.0),),
    ended=Ended.END,
    started_after_s=0.1,
    ended_after_s=0.2,
    largest_message=4000,
    lost=0,
    duplicate=0,
    playback=PlaybackReport(audio_ms=1000, peak_ms=1000, dry_count=0, dry_ms=0, buffer_ms=2000),
)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({}, None),
        ({"ended": None}, "the answer is not whole: 0 chunks lost, ended by None"),
        ({"lost": 2}, "the answer is not whole: 2 chunks lost"),
        ({"largest_message": 4001}, "a message of 4001 bytes is larger than the 4000 that fit"),
        ({"playback": replace(GOOD.playback, peak_ms=2001)}, "2001 ms of sound came at once; the device holds 2000"),
        ({"chunks": ()}, "the answer cannot be played"),
        ({"chunks": (Chunk(0, b"no sound" * 100, 0.0),)}, "the answer cannot be played"),
    ],
)
def test_what_is_wrong_with_an_answer_is_seen(change: dict[str, Any], fault: str | None) -> None:
    answered = Answered(
        caller=CALLERS[0],
        question="¿Qué hora es?",
        heard="¿Qué hora es?",
        said="Es la una.",
        turn=1,
        outcome="completed",
        errors=(),
        asked_ms=700,
        frames=11,
        timings_ms={},
        reply=replace(GOOD, **change),
        file=Path("answer.mp3"),
    )
    found = faults(answered, largest=4000)
    assert (found == []) if fault is None else (len(found) == 1 and found[0].startswith(fault))


async def test_what_cannot_work_is_said_at_the_start(cli: CommandLine, tmp_path: Path) -> None:
    told = await cli("demo", "--stt", "openai")
    assert (told.code, "OPENAI_API_KEY" in told.err) == (2, True)
    (tmp_path / "taken").touch()
    told = await cli("demo", "--output", "taken")
    assert (told.code, "needs a folder of its own" in told.err) == (2, True)


async def start(folder: Path, *arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        "from gateway.cli import main; main()",
        "demo",
        *WITH_SERVER,
        "--output",
        str(folder),
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def line_with(process: asyncio.subprocess.Process, text: str) -> str:
    """The next line that `process` prints with `text` in it."""
    assert process.stdout is not None
    assert process.stderr is not None
    while text not in (line := (await process.stdout.readline()).decode()):
        assert line, await process.stderr.read()
    return line


async def test_ctrl_c_ends_it_cleanly(provider: OpenAIServer, tmp_path: Path) -> None:
    process = await start(tmp_path / "demo")
    await line_with(process, "ask at the same time")
    process.send_signal(signal.SIGINT)
    _, errors = await asyncio.wait_for(process.communicate(), 10)
    assert (process.returncode, errors) == (130, b"")


async def test_who_stays_can_open_the_page(provider: OpenAIServer, tmp_path: Path) -> None:
    process = await start(tmp_path / "demo", "--stay", "--web", "127.0.0.1:0")
    line = await line_with(process, "Now you: open ")
    page = line.removeprefix("Now you: open ").partition(",")[0]
    async with httpx2.AsyncClient(base_url=page) as client:
        assert (await client.get("/readyz")).status_code == 200
        assert "text/html" in (await client.get("/")).headers["content-type"]
    process.send_signal(signal.SIGINT)
    _, errors = await asyncio.wait_for(process.communicate(), 20)
    assert (process.returncode, errors) == (0, b"")
