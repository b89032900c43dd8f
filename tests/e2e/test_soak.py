"""The soak test, made short: `make firmware-soak` asks a hundred questions."""

from pathlib import Path

import pytest

from benchmarks.soak.__main__ import soak, table
from tests.e2e.board import build_board

pytestmark = pytest.mark.timeout(400)
"""It may have to build the board."""


async def test_questions_with_a_link_that_drops_all_the_time(tmp_path: Path) -> None:
    told: list[str] = []
    result = await soak(build_board(), turns=6, drop_every_s=8, seed=1, folder=tmp_path, tell=told.append)
    assert result["defects"] == [], told
    assert result["whole"] == 6
    assert result["drops"]
    assert "answered whole 6, " in " ".join(table(result).split())
