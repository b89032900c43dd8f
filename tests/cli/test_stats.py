"""`voice-gateway stats`."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.cli.conftest import CommandLine
from tests.cli.data import add_conversation, make_database


async def test_figures_over_everything(cli: CommandLine, tmp_path: Path) -> None:
    now = datetime.now(UTC)
    await add_conversation(tmp_path / "data", "hall", now - timedelta(days=3))
    await add_conversation(tmp_path / "data", "cellar", now)

    told = await cli("stats")
    assert told.code == 0
    assert "2, 1 of them active in the last 24 hours" in told.out
    assert "2 completed, 0 interrupted, 0 silent, 0 failed" in told.out

    data = (await cli("stats", "--json")).json
    assert (data["total_sessions"], data["avg_messages_per_session"]) == (2, 2.0)
    assert data["turns"] == {"completed": 2, "interrupted": 0, "silent": 0, "failed": 0}
    assert data["last_activity"] == now.isoformat()
    assert [one["session_id"] for one in data["active_sessions"]] == ["cellar"]


async def test_an_empty_database(cli: CommandLine, tmp_path: Path) -> None:
    await make_database(tmp_path / "data")
    assert "no answers yet" in (await cli("stats")).out
    assert (await cli("stats", "--json")).json["latency_ms"] == {"p50": None, "p95": None}
