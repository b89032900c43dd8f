"""`voice-gateway config`."""

import json
from pathlib import Path

import pytest

from gateway.config import Settings
from gateway.settings_reference import reference
from tests.cli.conftest import CommandLine


async def test_it_shows_each_value_and_where_it_came_from(
    cli: CommandLine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "gateway.toml").write_text('stt = "openai"\n')
    monkeypatch.setenv("GATEWAY_LLM", "offline")
    told = await cli("config", "--language", "en", "--log-text", "--cache-skip", "one", "--cache-skip", "two")

    assert told.code == 0
    assert told.out.startswith("file: gateway.toml\n")
    rows = {line.split()[0]: line.split()[1:] for line in told.out.splitlines() if line and line[0].islower()}
    assert rows["stt"] == ["openai", "stt", "in", "gateway.toml"]
    assert rows["llm"] == ["offline", "GATEWAY_LLM"]
    assert rows["language"] == ["en", "--language"]
    assert rows["log_text"] == ["True", "--log-text"]
    assert rows["cache_skip"] == ["('one',", "'two')", "--cache-skip"]
    assert rows["tts"] == ["auto", "default"]
    assert set(Settings.model_fields) <= set(rows)


async def test_json_says_the_same(cli: CommandLine) -> None:
    told = (await cli("config", "--json", "--stt-workers", "3")).json
    assert told["file"] is None
    assert told["settings"]["stt_workers"] == {"value": 3, "source": "command line", "spelling": "--stt-workers"}
    assert told["settings"]["stt"] == {"value": "auto", "source": "default", "spelling": None}
    assert list(told["settings"]) == list(Settings.model_fields)


async def test_of_a_table_that_is_shown_which_is_set(cli: CommandLine) -> None:
    devices = {"kitchen": {"name": "Ana", "groups": ["upstairs"]}}
    given = ["--devices", json.dumps(devices)]
    assert (await cli("config", "--json", *given)).json["settings"]["devices"]["value"] == devices
    rows = {line.split()[0]: line.split()[1] for line in (await cli("config", *given)).out.splitlines() if line}
    assert rows["devices"] == '{"kitchen":{"name":"Ana","groups":["upstairs"]}}'


@pytest.mark.parametrize("form", [[], ["--json"]], ids=["table", "json"])
async def test_passwords_are_hidden(cli: CommandLine, form: list[str]) -> None:
    addresses = ["--mqtt-url", "mqtt://me:hunter2@host", "--database-url", "postgresql://me:hunter2@host/db"]
    servers = ["--mcp-servers", "files=env KEY=hunter2 server"]
    told = await cli("config", *addresses, *servers, *form)
    assert "hunter2" not in told.out
    assert "files=***" in told.out
    assert "mqtt://me:***@host" in told.out


async def test_the_reference_page_can_be_printed(cli: CommandLine) -> None:
    assert (await cli("config", "--reference")).out == reference()


@pytest.mark.parametrize("form", [[], ["--json"]], ids=["table", "json"])
async def test_what_run_would_refuse_is_refused_after_it_is_shown(cli: CommandLine, form: list[str]) -> None:
    wrong = ["--llm", "opnai", "--tts", "auto,espeak", "--mqtt-url", "http://host", "--database-url", "mysql://host/db"]
    told = await cli("config", *wrong, *form)
    assert told.code == 2
    assert "opnai" in told.out
    lines = told.err.splitlines()
    assert len(lines) == 4
    assert "did you mean openai?" in lines[0]
    assert "auto alone" in lines[1]
    assert "mqtt://" in lines[2]
    assert "sqlite:///" in lines[3]
