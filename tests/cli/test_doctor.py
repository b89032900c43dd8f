"""`voice-gateway doctor`."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import CommandLine
from tests.cli.data import add_conversation
from tests.e2e.speech import spoken
from tests.fakes.home_assistant import TOKEN, HomeAssistantServer
from tests.fakes.mosquitto import Mosquitto
from tests.fakes.openai_server import SPEECH_RATE, Audio, OpenAIServer, Status

SERVER_ENGINES = ("--stt", "openai", "--llm", "openai", "--tts", "openai", "--language", "en")
KEY = "sk-hunter2"


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[OpenAIServer]:
    """A provider of all three engines whose voice really speaks."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    async with OpenAIServer() as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        server.speech.answer = Audio(spoken(0, SPEECH_RATE).samples.tobytes(), "audio/pcm")
        server.transcriptions.answer = "What time is it?"
        yield server


def statuses(findings: list[dict[str, Any]]) -> dict[str, str]:
    return {finding["check"]: finding["status"] for finding in findings}


async def test_everything_works(cli: CommandLine, server: OpenAIServer) -> None:
    async with Mosquitto() as broker:
        told = await cli("doctor", *SERVER_ENGINES, "--mqtt-url", broker.url)
    assert (told.code, told.err) == (0, "")
    assert {line.split()[0] for line in told.out.splitlines()[1:]} == {"ok"}
    assert "heard 'What time is it?'" in told.out
    assert len(server.chat.requests) == len(server.speech.requests) == len(server.transcriptions.requests) == 1
    assert KEY not in told.out


async def test_it_starts_the_embedded_broker_where_none_runs(cli: CommandLine, server: OpenAIServer) -> None:
    told = await cli("doctor", "--json", *SERVER_ENGINES, "--mqtt-url", "embedded://127.0.0.1:0")
    assert statuses(told.json)["broker"] == "ok"
    assert any("embedded, starts here" in finding["detail"] for finding in told.json)


@pytest.mark.usefixtures("short_wait_for_broker")
async def test_it_says_what_to_do_where_something_fails(cli: CommandLine, server: OpenAIServer, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    server.chat.answer = Status(401)
    server.transcriptions.answer = ""
    options = ("--mqtt-url", "mqtt://me:hunter2@127.0.0.1:1", "--data-dir", str(tmp_path / "file"))
    told = await cli("doctor", "--json", *SERVER_ENGINES, *options)
    assert told.code == 1
    assert statuses(told.json) == {
        "data folder": "fail",
        "disk": "ok",
        "database": "fail",
        "clock": "ok",
        "broker": "fail",
        "tts: openai": "ok",
        "stt: openai": "fail",
        "llm: openai": "fail",
    }
    assert all(finding["advice"] for finding in told.json if finding["status"] == "fail")
    assert "hunter2" not in told.out + told.err


async def test_a_clock_that_went_back_is_noticed(cli: CommandLine, server: OpenAIServer, tmp_path: Path) -> None:
    await add_conversation(tmp_path / "data", "hall", datetime.now(UTC) + timedelta(days=2))
    told = await cli("doctor", "--json", *SERVER_ENGINES, "--mqtt-url", "embedded://127.0.0.1:0")
    assert (told.code, statuses(told.json)["clock"]) == (0, "warn")


@pytest.mark.usefixtures("short_wait_for_broker")
async def test_advice_is_printed_for_people(cli: CommandLine) -> None:
    told = await cli("doctor", "--llm", "openai", "--mqtt-url", "mqtt://127.0.0.1:1")
    assert told.code == 1
    assert "fail  broker" in told.out
    assert "broker: start the broker, or see GATEWAY_MQTT_URL" in told.out
    assert "OPENAI_API_KEY" in told.out


async def test_tools_are_tried_without_doing_anything(
    cli: CommandLine, server: OpenAIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME_ASSISTANT_TOKEN", "wrong")
    async with HomeAssistantServer() as home:
        options = ("--mqtt-url", "embedded://127.0.0.1:0", "--home-assistant-url", home.url)
        allowed = ("--home-assistant-entities", "light.*")
        told = await cli("doctor", "--json", *SERVER_ENGINES, *options, *allowed)
        assert (told.code, statuses(told.json)["tools: home-assistant"]) == (0, "warn")
        assert "refuses the token (401)" in told.out
        monkeypatch.setenv("HOME_ASSISTANT_TOKEN", TOKEN)
        told = await cli("doctor", *SERVER_ENGINES, *options, *allowed)
        assert "2 entities are allowed: light.kitchen, light.bedroom" in told.out
        assert "knows" in next(line for line in told.out.splitlines() if "tools: clock" in line)
        assert home.services == []
    told = await cli("doctor", "--json", *SERVER_ENGINES, *options, "--tools", "home-assistant")
    assert (told.code, statuses(told.json)["tools: home-assistant"]) == (1, "fail")
    assert TOKEN not in told.out + told.err


async def test_an_assistant_that_acts_is_asked_nothing(
    cli: CommandLine, server: OpenAIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME_ASSISTANT_TOKEN", TOKEN)
    async with HomeAssistantServer() as home:
        options = ("--mqtt-url", "embedded://127.0.0.1:0", "--home-assistant-url", home.url)
        told = await cli("doctor", *SERVER_ENGINES, *options, "--llm", "home-assistant,openai")
        assert (told.code, "the token is taken" in told.out) == (0, True)
        assert home.agent.requests == []
