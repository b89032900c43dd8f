"""`voice-gateway engines`."""

import pytest

from tests.cli.conftest import CommandLine

OFFLINE = ("--stt", "pocketsphinx", "--llm", "offline", "--tts", "espeak", "--language", "en")


async def test_it_says_which_can_work_and_why_others_cannot(cli: CommandLine) -> None:
    told = await cli("engines", *OFFLINE)
    assert told.code == 0
    rows = {tuple(line.split()[:2]): line.split(maxsplit=2)[2] for line in told.out.splitlines() if line[:4].strip()}
    assert rows["llm", "offline"] == "yes"
    assert rows["llm", "openai"].startswith("no: ")
    assert "OPENAI_API_KEY" in rows["llm", "openai"]
    assert "A run uses:" in told.out
    assert "espeak, as configured" in told.out


async def test_json_says_the_same(cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-hunter2")
    told = (await cli("engines", *OFFLINE[:-2], "--llm", "openai,offline", "--json")).json
    usable = {(one["stage"], one["engine"]): one["usable"] for one in told["engines"]}
    assert usable["llm", "openai"]
    assert [one["engine"] for one in told["chosen"]["llm"]] == ["openai", "offline"]
    assert told["problem"] is None


async def test_a_choice_that_cannot_work_is_an_error_after_the_table(cli: CommandLine) -> None:
    told = await cli("engines", "--llm", "opnai")
    assert told.code == 2
    assert "offline" in told.out
    assert "did you mean openai?" in told.err


async def test_a_voice_whose_server_is_out_of_reach_cannot_work(
    cli: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    told = await cli("engines", *OFFLINE)
    (gtts,) = (line for line in told.out.splitlines() if "gtts" in line)
    assert "no: https://translate.google.com cannot be reached from here" in gtts


async def test_tools_are_listed_with_what_they_need(cli: CommandLine) -> None:
    told = await cli("engines", *OFFLINE, "--home-assistant-url", "http://home:8123", "--json")
    usable = {one["engine"]: one["usable"] for one in told.json["engines"] if one["stage"] == "tools"}
    assert usable == {"clock": True, "home-assistant": True, "mcp": False}
    assert [one["engine"] for one in told.json["chosen"]["tools"]] == ["home-assistant", "clock"]
    told = await cli("engines", *OFFLINE)
    assert "home-assistant (tools) needs the setting home_assistant_url" in told.out
