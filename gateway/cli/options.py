"""Options that commands share, derived from the declaration of the settings."""

import functools
import inspect
import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import typer

from gateway.cli.calling import as_called
from gateway.config import Settings
from gateway.settings_sources import load_settings, option_name

LONGEST_DEFAULT = 40
"""Characters of a default that help still shows; longer ones are in docs/configuration.md."""

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]

Command = Callable[..., None]


def takes_settings(*names: str) -> Callable[[Command], Command]:
    """Give a command the option `--config` and one for each of the settings `names` (for all, when none is named).

    The command's parameter `loaded` becomes the `Loaded` settings, read from the options, the environment and the
    file; its other parameters stay.
    """
    chosen = names or tuple(Settings.model_fields)

    def decorate(command: Command) -> Command:
        @functools.wraps(command)
        def with_settings(**arguments: Any) -> None:
            file = arguments.pop("config")
            options = {name: arguments.pop(name) for name in chosen}
            given = {name: value for name, value in options.items() if value is not None}
            command(loaded=load_settings(given, os.environ, file), **arguments)

        own = [part for part in inspect.signature(command).parameters.values() if part.name != "loaded"]
        added = [_parameter("config", Path | None, _CONFIG), *(_setting(name) for name in chosen)]
        signature = inspect.Signature([part.replace(kind=inspect.Parameter.KEYWORD_ONLY) for part in own] + added)
        with_settings.__signature__ = signature  # type: ignore[attr-defined]
        return with_settings

    return decorate


def examples(*lines: str) -> str:
    """Return the examples at the end of a command's help, each on its own line."""
    return "\n\n".join(("Examples:", "\b\n" + "\n".join(f"  {as_called(line)}" for line in lines)))


_CONFIG = typer.Option(
    "--config", metavar="FILE", help="TOML file with settings; else GATEWAY_CONFIG, ./gateway.toml or the user's."
)


def _setting(name: str) -> inspect.Parameter:
    field = Settings.model_fields[name]
    kind: Any = field.annotation
    option = option_name(name)
    default = " ".join(str(field.default).split())
    help_text = f"{field.description}"
    if default and field.default is not None and not isinstance(field.default, tuple | dict):
        help_text += f" [{default.lower() if kind is bool else default}]" if len(default) <= LONGEST_DEFAULT else ""
    if kind is bool:
        return _parameter(name, bool | None, typer.Option(f"{option}/--no-{option[2:]}", help=help_text))
    if get_origin(kind) is tuple:
        return _parameter(
            name, list[str] | None, typer.Option(option, metavar="TEXT", help=f"{help_text}; may be given repeatedly")
        )
    # Taken as text: the settings' own model converts and checks it, as for every other source.
    return _parameter(name, str | None, typer.Option(option, metavar=_metavar(kind), help=help_text))


def _metavar(kind: Any) -> str:
    if get_origin(kind) is dict:
        return "JSON"
    if get_origin(kind) is Literal:
        return "|".join(str(choice) for choice in get_args(kind))
    return {int: "INTEGER", float: "NUMBER", str: "TEXT"}.get(kind, "PATH")


def _parameter(name: str, kind: Any, option: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind, option])
