"""`voice-gateway sessions`."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.cli.conftest import CommandLine
from tests.cli.data import add_conversation, make_database
from tests.cli.retained import publish_retained, retained_topics
from tests.fakes.mosquitto import Mosquitto

BEGAN = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
MAC = "A4:CF:12:8B:3F:9E"
NO_BROKER = "mqtt://127.0.0.1:1"


@pytest.fixture(autouse=True)
async def conversations(tmp_path: Path) -> None:
    await add_conversation(tmp_path / "data", MAC, BEGAN, "Cocina")
    await add_conversation(tmp_path / "data", "hall", BEGAN.replace(hour=13))


async def test_the_latest_is_listed_first(cli: CommandLine) -> None:
    told = await cli("sessions", "list")
    assert [line.split()[0] for line in told.out.splitlines()] == ["session", "hall", "a4cf128b3f9e"]
    assert "Cocina" in told.out


async def test_the_list_as_json(cli: CommandLine) -> None:
    (latest,) = (await cli("sessions", "list", "--limit", "1", "--json")).json
    assert latest == {
        "session_id": "hall",
        "spelling": "hall",
        "created_at": "2026-05-01T13:00:00+00:00",
        "updated_at": "2026-05-01T13:00:00+00:00",
        "message_count": 2,
        "device_info": {},
    }


async def test_an_empty_database_says_so(cli: CommandLine, tmp_path: Path) -> None:
    await make_database(tmp_path / "other")
    told = await cli("sessions", "list", "--data-dir", str(tmp_path / "other"))
    assert told.out == f"No conversations in SQLite {tmp_path}/other/gateway.db.\n"


@pytest.mark.parametrize("spelling", [MAC, "a4-cf-12-8b-3f-9e", "a4cf128b3f9e", "ESP32-A4CF128B3F9E"])
async def test_every_spelling_of_a_mac_shows_the_same(cli: CommandLine, spelling: str) -> None:
    told = await cli("sessions", "show", spelling)
    assert told.code == 0
    assert told.out.startswith("a4cf128b3f9e  Cocina\n")
    assert "heard  ¿Qué hora es?" in told.out
    assert "said   Son las tres." in told.out


async def test_the_story_as_json(cli: CommandLine) -> None:
    told = (await cli("sessions", "show", MAC, "--json")).json
    assert told["session"]["session_id"] == "a4cf128b3f9e"
    (turn,) = told["turns"]
    assert (turn["outcome"], turn["heard"], turn["said"]) == ("completed", "¿Qué hora es?", "Son las tres.")
    assert set(turn["timings_ms"]) >= {"stt", "llm_first_token", "tts_first_audio", "first_audio_out", "total"}


async def test_everything_kept_can_be_exported(cli: CommandLine) -> None:
    told = (await cli("sessions", "export", MAC)).json
    assert [(one["role"], one["text"]) for one in told["messages"]] == [
        ("user", "¿Qué hora es?"),
        ("assistant", "Son las tres."),
    ]
    assert len(told["turns"]) == 1


@pytest.mark.parametrize("verb", ["show", "export", "forget"])
async def test_a_conversation_that_is_not_there(cli: CommandLine, verb: str) -> None:
    told = await cli("sessions", verb, "cellar")
    assert (told.code, told.out) == (1, "")
    assert "there is no conversation of cellar" in told.err


@pytest.mark.parametrize("verb", ["show", "export", "forget"])
async def test_what_cannot_be_an_id(cli: CommandLine, verb: str) -> None:
    told = await cli("sessions", verb, "a/b")
    assert (told.code, told.out) == (2, "")
    assert "'a/b' is no session" in told.err


async def test_forgetting_erases_that_conversation_and_its_last_state(cli: CommandLine) -> None:
    async with Mosquitto() as broker:
        await publish_retained(broker.url, [f"voice/{MAC}/state", f"voice/{MAC}/hello", "voice/hall/state"])
        told = await cli("sessions", "forget", "a4cf128b3f9e", "--yes", "--mqtt-url", broker.url)
        assert (told.code, told.err) == (0, "")
        assert told.out == "Erased the conversation of a4cf128b3f9e: 2 messages.\n"
        assert await retained_topics(broker.url) == {f"voice/{MAC}/hello", "voice/hall/state"}
    assert [one["session_id"] for one in (await cli("sessions", "list", "--json")).json] == ["hall"]


@pytest.mark.usefixtures("short_wait_for_broker")
async def test_forgetting_without_a_broker_says_what_stays(cli: CommandLine) -> None:
    told = await cli("sessions", "forget", MAC, "--mqtt-url", NO_BROKER, "--json")
    assert told.code == 0
    assert told.json["forgotten"]["session_id"] == "a4cf128b3f9e"
    assert "refused" in told.json["retained_left"]
