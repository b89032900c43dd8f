"""The curl lines of docs/http.md, run as they are printed (but for the port)."""

import asyncio
import os
import re
import shutil
from pathlib import Path

import pytest

from gateway.device import read_sound
from tests.e2e.speech import sound_file, spoken
from tests.web.conftest import PATIENCE_S, Site, StartSite

PAGE = (Path(__file__).parents[2] / "docs" / "http.md").read_text(encoding="utf-8")
LINES = re.findall(r"^curl .*$", PAGE, re.MULTILINE)
PRINTED = "127.0.0.1:8080"
ENDS_BY_ITSELF = 28
"""What curl exits with when its `--max-time` is over."""


async def run(line: str, site: Site, folder: Path) -> str:
    """Run a line of the documentation in a shell, in `folder`; return what it printed."""
    assert PRINTED in line
    command = line.replace(PRINTED, f"127.0.0.1:{site.url.rpartition(':')[2]}")
    process = await asyncio.create_subprocess_shell(
        command, cwd=folder, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env=environment()
    )
    async with asyncio.timeout(PATIENCE_S):
        out, err = await process.communicate()
    assert process.returncode == (ENDS_BY_ITSELF if "--max-time" in line else 0), err.decode()
    return out.decode()


def environment() -> dict[str, str]:
    """As here, but without a proxy."""
    return {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where somebody tries the documentation, a question in hand."""
    if shutil.which("curl") is None:
        missing = "curl is not installed: apt-get install curl"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    (tmp_path / "question.wav").write_bytes(sound_file(spoken(1)))
    return tmp_path


def test_there_are_lines() -> None:
    assert len(LINES) > 12


@pytest.mark.parametrize("line", [line for line in LINES if "/process" in line])
async def test_questions(line: str, start_site: StartSite, folder: Path) -> None:
    told = await run(line, await start_site(), folder)
    assert read_sound(folder / "answer.mp3").seconds > 0.3
    if "--dump-header" in line:
        assert "x-session-id: " in told
        assert ("x-reply: " in told) is ("whole" in line)


@pytest.mark.parametrize("line", [line for line in LINES if "/process" not in line and "web-token" not in line])
async def test_everything_else(line: str, start_site: StartSite, folder: Path) -> None:
    site = await start_site()
    answer = await site.http.post("/process/kitchen?whole=true", content=sound_file(spoken(2)))
    assert answer.status_code == 200
    told = await run(line, site, folder)
    assert told
    assert not told.startswith('{"error"')


@pytest.mark.parametrize("line", [line for line in LINES if "web-token" in line])
async def test_with_a_token(line: str, start_site: StartSite, folder: Path) -> None:
    site = await start_site(web="0.0.0.0:0", data_dir=folder / "data")
    assert '"total_sessions":0' in await run(line, site, folder)


def test_the_codes_and_headers_that_are_named_exist() -> None:
    sources = "".join(path.read_text() for path in (Path(__file__).parents[2] / "gateway" / "web").glob("*.py"))
    for header in re.findall(r"`(X-[A-Za-z-]+)`", PAGE):
        assert f'"{header}"' in sources
    for code in ("bad_request", "too_large", "interrupted", "busy", "cross_site", "host_refused"):
        assert f"`{code}`" in PAGE
        assert f'"{code}"' in sources
