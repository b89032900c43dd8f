"""`voice-gateway devices set`, `show` and `unset`."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import CommandLine
from tests.cli.data import add_conversation, make_database

MAC = "A4:CF:12:8B:3F:9E"


@pytest.fixture(autouse=True)
async def database(tmp_path: Path) -> None:
    await make_database(tmp_path / "data")


async def effective(cli: CommandLine, *of: str) -> dict[str, tuple[Any, str]]:
    shown = (await cli("devices", "show", *of, "--json")).json["effective"]
    return {name: (found["value"], found["from"]) for name, found in shown.items()}


async def test_what_is_set_is_shown_with_where_it_is_said(cli: CommandLine, tmp_path: Path) -> None:
    await add_conversation(tmp_path / "data", MAC, datetime.now(UTC), name="hello's")
    (tmp_path / "ana.txt").write_text("You are {name}, the cook.\n", encoding="utf-8")
    set_it = await cli(
        "devices", "set", MAC, "--system-prompt", "@ana.txt", "--groups", "upstairs, family", "--max-tokens", "40"
    )
    assert (set_it.code, set_it.err) == (0, "")
    assert (await cli("devices", "set", "--group", "family", "--voice", "nova", "--tools", "")).code == 0
    found = await effective(cli, "a4cf128b3f9e")
    assert found["name"] == ("hello's", "hello")
    assert found["system_prompt"] == ("You are {name}, the cook.", "device")
    assert found["groups"] == (["upstairs", "family"], "device")
    assert (found["voice"], found["tools"]) == (("nova", "group family"), ([], "group family"))
    assert found["language"] == ("es", "settings")
    for_people = (await cli("devices", "show", "A4-CF-12-8B-3F-9E")).out.splitlines()
    assert for_people[0] == "a4cf128b3f9e"
    assert "voice          nova                       group family" in for_people


async def test_what_is_unset_holds_no_longer(cli: CommandLine) -> None:
    await cli("devices", "set", "kitchen", "--name", "Ana", "--max-tokens", "40", "--quiet", "22:00-07:00")
    assert (await cli("devices", "unset", "kitchen", "max-tokens", "name")).code == 0
    found = await effective(cli, "kitchen")
    assert (found["name"], found["max_tokens"]) == (("kitchen", "id"), (100, "settings"))
    assert found["quiet"] == ("22:00-07:00", "device")
    assert (await cli("devices", "unset", "kitchen", "--all")).code == 0
    assert "quiet" not in await effective(cli, "kitchen")


async def test_all_that_is_said_is_shown_together(cli: CommandLine, tmp_path: Path) -> None:
    assert "Nothing is said of any device or group" in (await cli("devices", "show")).out
    (tmp_path / "gateway.toml").write_text(
        '[personas.cook]\nvoice = "nova"\n[groups.upstairs]\npersona = "cook"\n[devices.hall]\ngroups = ["upstairs"]\n'
    )
    await cli("devices", "set", "hall", "--name", "Eva")
    assert (await cli("devices", "show", "--json")).json == {
        "devices": {"hall": {"name": "Eva", "groups": ["upstairs"]}},
        "groups": {"upstairs": {"persona": "cook"}},
        "personas": {"cook": {"voice": "nova"}},
    }
    lines = (await cli("devices", "show")).out.splitlines()
    assert [line.split() for line in lines] == [
        ["of", "what", "value"],
        ["group", "upstairs", "persona", "cook"],
        ["hall", "name", "Eva"],
        ["hall", "groups", "upstairs"],
    ]
    assert (await effective(cli, "hall"))["voice"] == ("nova", "persona cook")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("set", "kitchen"), "say what is to be set, for example --name Ana"),
        (("set", "--name", "Ana"), "name either a device or a group"),
        (("set", "kitchen", "--group", "upstairs", "--name", "Ana"), "name either a device or a group"),
        (("set", "kit chen", "--name", "Ana"), "a device id is 1 to 64 characters"),
        (("set", "kitchen", "--quiet", "late"), "write them like 22:00-07:00"),
        (("set", "kitchen", "--max-tokens", "0"), "max_tokens is 0: should be greater than or equal to 1"),
        (("set", "kitchen", "--persona", "cook"), "there is no persona 'cook'; none is set in the setting personas"),
        (("set", "kitchen", "--system-prompt", "You are {nme}"), "{nme} is not one of {device}"),
        (("set", "kitchen", "--system-prompt", "@none.txt"), "none.txt cannot be read"),
        (("set", "kitchen", "--system-prompt", "@huge.txt"), "huge.txt is larger than 65536 bytes"),
        (("unset", "kitchen"), "name what is to be unset"),
        (("unset", "kitchen", "name", "--all"), "name what is to be unset"),
        (("unset", "kitchen", "vioce"), "vioce: there is no such value; there are: name, persona"),
        (("show", "gateway"), "the device id 'gateway' is reserved"),
    ],
)
async def test_what_cannot_be_is_told_and_nothing_is_changed(
    cli: CommandLine, tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    (tmp_path / "huge.txt").write_text("x" * 70_000)
    told = await cli("devices", *arguments)
    assert (told.code, told.out) == (2, "")
    assert said in told.err
    assert (await cli("devices", "show", "--json")).json["devices"] == {}


async def test_a_database_that_is_not_there_is_not_made(cli: CommandLine, tmp_path: Path) -> None:
    told = await cli("devices", "set", "kitchen", "--name", "Ana", "--data-dir", "elsewhere")
    assert told.code == 2
    assert "there is no database" in told.err
    assert not (tmp_path / "elsewhere").exists()
