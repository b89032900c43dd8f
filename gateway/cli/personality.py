"""`voice-gateway devices set`, `show` and `unset`: who answers on a device, or on the devices of a group."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli.options import AsJson, examples, takes_settings
from gateway.cli.output import print_json
from gateway.cli.storage import open_store
from gateway.cli.tables import table
from gateway.config import Settings
from gateway.errors import ConfigurationError, OperationRefused
from gateway.personality import Personality
from gateway.settings_sources import Loaded

if TYPE_CHECKING:
    from gateway.personalities import Personalities, Shown, Target

FILE_MARK = "@"
FILE_MAX_BYTES = 64 * 1024
_CELL_MAX = 60

Device = Annotated[str | None, typer.Argument(metavar="DEVICE", help="The device's id; a MAC in any spelling.")]
Group = Annotated[str | None, typer.Option("--group", metavar="NAME", help="Of a group of devices instead.")]


def _option(metavar: str, name: str, more: str = "") -> Any:
    description = Personality.model_fields[name].description or ""
    return typer.Option(metavar=metavar, help=f"{description[0].upper()}{description[1:]}{more}.")


def register(group: typer.Typer) -> None:
    """Add the commands to the group `devices`."""
    group.command(
        "set",
        epilog=examples(
            "voice-gateway devices set kitchen --name Ana --language es --voice nova",
            "voice-gateway devices set kitchen --system-prompt @ana.txt --groups upstairs,family",
            "voice-gateway devices set --group upstairs --quiet 22:00-07:00 --max-tokens 60",
            'voice-gateway devices set kitchen --tools ""',
        ),
    )(set_personality)
    group.command(
        epilog=examples(
            "voice-gateway devices show",
            "voice-gateway devices show kitchen",
            "voice-gateway devices show --group upstairs --json",
        )
    )(show)
    group.command(
        epilog=examples(
            "voice-gateway devices unset kitchen voice model",
            "voice-gateway devices unset --group upstairs quiet",
            "voice-gateway devices unset kitchen --all",
        )
    )(unset)


takes_database = takes_settings("data_dir", "database_url")


@takes_database
def set_personality(
    loaded: Loaded,
    device: Device = None,
    group: Group = None,
    name: Annotated[str | None, _option("TEXT", "name")] = None,
    persona: Annotated[str | None, _option("NAME", "persona")] = None,
    groups: Annotated[str | None, _option("NAME,…", "groups")] = None,
    system_prompt: Annotated[str | None, _option("TEXT", "system_prompt", ", or @FILE")] = None,
    language: Annotated[str | None, _option("CODE", "language")] = None,
    voice: Annotated[str | None, _option("TEXT", "voice")] = None,
    model: Annotated[str | None, _option("TEXT", "model")] = None,
    max_tokens: Annotated[int | None, _option("INTEGER", "max_tokens")] = None,
    tools: Annotated[str | None, _option("NAME,…", "tools")] = None,
    quiet: Annotated[str | None, _option("HH:MM-HH:MM", "quiet")] = None,
    as_json: AsJson = False,
) -> None:
    """Say who answers on a device, or on those of a group; what is not given stays. It holds from the next turn on."""
    given = {
        "name": name,
        "persona": persona,
        "groups": _names(groups),
        "system_prompt": _text_of(system_prompt),
        "language": language,
        "voice": voice,
        "model": model,
        "max_tokens": max_tokens,
        "tools": _names(tools),
        "quiet": quiet,
    }
    changes = {field: value for field, value in given.items() if value is not None}
    if not changes:
        raise ConfigurationError("say what is to be set, for example --name Ana; --help lists everything")
    _change(loaded.settings, device, group, changes, as_json=as_json)


@takes_database
def unset(
    loaded: Loaded,
    target_and_names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[DEVICE] NAME…", help="The device, unless --group is given; then what is unset."),
    ] = None,
    group: Group = None,
    everything: Annotated[bool, typer.Option("--all", help="Unset everything.")] = False,
    as_json: AsJson = False,
) -> None:
    """No longer say something of a device or of a group: what is said elsewhere holds from the next turn on."""
    names = list(target_and_names or ())
    device = names.pop(0) if group is None and names else None
    if bool(names) == everything:
        raise ConfigurationError("name what is to be unset, for example voice model, or give --all")
    fields = list(Personality.model_fields) if everything else [name.replace("-", "_") for name in names]
    _change(loaded.settings, device, group, dict.fromkeys(fields), as_json=as_json)


@takes_database
def show(loaded: Loaded, device: Device = None, group: Group = None, as_json: AsJson = False) -> None:
    """Show who answers on a device and where each value is said; without a device, all that is said of any."""
    if device is None and group is None:
        _show_everything(loaded.settings, as_json=as_json)
        return

    async def find(personalities: "Personalities") -> "Shown":
        return await personalities.show(_target(device, group))

    _print(_run(loaded.settings, find), as_json=as_json)


def _change(
    settings: Settings, device: str | None, group: str | None, changes: dict[str, Any], *, as_json: bool
) -> None:
    async def change(personalities: "Personalities") -> "Shown":
        return await personalities.change(_target(device, group), changes)

    _print(_run(settings, change), as_json=as_json)


def _target(device: str | None, group: str | None) -> "Target":
    from gateway.personalities import named_target  # it imports peewee, which takes long

    return named_target(device, group)


def _show_everything(settings: Settings, *, as_json: bool) -> None:
    found: dict[Target, Personality] = _run(settings, lambda personalities: personalities.everything())
    if as_json:
        devices = {target.device: said.said for target, said in found.items() if target.device is not None}
        groups = {target.group: said.said for target, said in found.items() if target.device is None}
        personas = {name: said.said for name, said in settings.personas.items()}
        print_json({"devices": devices, "groups": groups, "personas": personas})
    elif not found:
        typer.echo("Nothing is said of any device or group: the settings hold for all.")
    else:
        rows = [
            (str(target), name, _cell(value)) for target, said in found.items() for name, value in said.said.items()
        ]
        typer.echo(table(("of", "what", "value"), rows))


def _run(settings: Settings, work: "Callable[[Personalities], Awaitable[Any]]") -> Any:
    from gateway.personalities import Personalities

    async def with_store() -> Any:
        async with open_store(settings) as store:
            return await work(Personalities(settings, store))

    try:
        return asyncio.run(with_store())
    except OperationRefused as error:
        raise ConfigurationError(str(error)) from error


def _print(shown: "Shown", *, as_json: bool) -> None:
    if as_json:
        print_json(shown.report())
        return
    rows = [(name, _cell(value), place) for name, (value, place) in shown.effective.items()]
    typer.echo(f"{shown.target}" + ("" if rows else ": nothing is said of it"))
    if rows:
        typer.echo(table(("what", "value", "from"), rows, widest=_CELL_MAX))


def _cell(value: object) -> str:
    return (", ".join(value) or "none") if isinstance(value, tuple) else str(value)


def _names(text: str | None) -> list[str] | None:
    return None if text is None else [name.strip() for name in text.split(",") if name.strip()]


def _text_of(text: str | None) -> str | None:
    """What is given, or what the file holds that is named after an @."""
    if text is None or not text.startswith(FILE_MARK):
        return text
    path = Path(text.removeprefix(FILE_MARK)).expanduser()
    try:
        with path.open("rb") as file:
            read = file.read(FILE_MAX_BYTES + 1)
        if len(read) > FILE_MAX_BYTES:
            raise ConfigurationError(f"{path} is larger than {FILE_MAX_BYTES} bytes")
        return read.decode().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}") from error
