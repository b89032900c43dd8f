"""Reads the settings from where they are given: the command line, the environment, a TOML file; else the default.

Every mistake is told at once, in one `ConfigurationError`: the name, where it came from, the nearest right name
and what is allowed. A value that may hold a password is never repeated.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import ValidationError
from pydantic_core import ErrorDetails, to_json

from gateway.config import Settings
from gateway.errors import ConfigurationError
from gateway.personality import reason
from gateway.settings_values import nearest

ENV_PREFIX = Settings.model_config["env_prefix"]
CONFIG_VARIABLE = f"{ENV_PREFIX}CONFIG"
"""The environment variable that names the file; the one `GATEWAY_…` variable that is no setting."""
_SERVER_NAME = re.compile(r"[A-Za-z0-9_-]{1,24}(?==)")


class Source(StrEnum):
    """The kinds of places that a value comes from, the strongest first."""

    COMMAND_LINE = "command line"
    ENVIRONMENT = "environment"
    FILE = "file"
    DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value came from: `spelling` is how the setting is written there (`GATEWAY_STT`, `--stt`, `stt`),
    and `place` is the path of the file."""

    source: Source
    spelling: str
    place: str = ""

    def __str__(self) -> str:
        if self.source is Source.DEFAULT:
            return "default"
        return f"{self.spelling} in {self.place}" if self.place else self.spelling


@dataclass(frozen=True, slots=True)
class Loaded:
    """The settings in effect, and where each of them came from."""

    settings: Settings
    origins: Mapping[str, Origin]
    file: Path | None
    """The file that was read, if any."""


def option_name(name: str) -> str:
    """How the setting `name` is spelled on the command line."""
    return "--" + name.replace("_", "-")


def variable_name(name: str) -> str:
    """How the setting `name` is spelled in the environment."""
    return ENV_PREFIX + name.upper()


def load_settings(cli: Mapping[str, object], environ: Mapping[str, str], config_file: Path | None = None) -> Loaded:
    """Return the settings in effect.

    `cli` has the options given, by setting name. `config_file` is the file given on the command line; without
    one it is the file that `GATEWAY_CONFIG` names, else the first that exists of `gateway.toml` in the current
    folder and in the user's configuration folder.

    Raises:
        ConfigurationError: a file cannot be read, a name is unknown or a value is wrong.
    """
    file = find_config_file(environ, config_file)
    given: dict[str, tuple[object, Origin]] = {}
    mistakes: list[str] = []
    if file is not None:
        for name, value in _read_toml(file).items():
            given[name] = value, Origin(Source.FILE, name, str(file))
    for variable, text in environ.items():
        # An empty variable is as good as none: compose files pass on what is not set as "".
        if variable.upper().startswith(ENV_PREFIX) and variable != CONFIG_VARIABLE and text:
            name = variable.removeprefix(ENV_PREFIX).lower()
            known = variable == variable_name(name)
            given[name if known else variable] = text, Origin(Source.ENVIRONMENT, variable)
    for name, value in cli.items():
        given[name] = value, Origin(Source.COMMAND_LINE, option_name(name))

    for name in [name for name in given if name not in Settings.model_fields]:
        mistakes.append(_unknown(given.pop(name)[1]))
    settings = None
    try:
        settings = Settings(**{name: _decode(name, value) for name, (value, _) in given.items()})  # type: ignore[arg-type]
    except ValidationError as error:
        # `from None` below: the library's own message repeats the values.
        mistakes += [_wrong(details, given[str(details["loc"][0])][1]) for details in error.errors()]
    if mistakes or settings is None:
        raise ConfigurationError("\n".join(mistakes)) from None
    origins = {
        name: given[name][1] if name in given else Origin(Source.DEFAULT, name) for name in Settings.model_fields
    }
    return Loaded(settings, origins, file)


def find_config_file(environ: Mapping[str, str], config_file: Path | None = None) -> Path | None:
    """Return the file that settings are read from, or None when there is none.

    Raises:
        ConfigurationError: a file that was asked for by name is not there.
    """
    named = config_file or (Path(environ[CONFIG_VARIABLE]) if environ.get(CONFIG_VARIABLE) else None)
    if named is not None:
        if not named.expanduser().is_file():
            raise ConfigurationError(f"there is no configuration file {named}")
        return named.expanduser()
    home = Path(environ.get("XDG_CONFIG_HOME") or Path(environ.get("HOME") or "~").expanduser() / ".config")
    for candidate in (Path("gateway.toml"), home / "mqtt-voice-gateway" / "gateway.toml"):
        if candidate.is_file():
            return candidate
    return None


def shown(name: str, value: object) -> str:
    """Return `value` of the setting `name` as it may be shown: the addresses may hold a password, a token is one, and
    of MCP servers only the names are no secret."""
    if name.endswith("_token") and value:
        return "***"
    if name == "mcp_servers":
        servers = value if isinstance(value, tuple | list) else [value]
        return ", ".join(f"{found[0]}=***" if (found := _SERVER_NAME.match(str(one))) else "***" for one in servers)
    if is_table(name):
        return to_json(value).decode()
    return hide_secrets(str(value)) if name.endswith("_url") else str(value)


def hide_secrets(text: str) -> str:
    """Return `text` with the password of a URL, and any `password=` in its query, replaced by `***`.

    A password that was not escaped may hold any character, so everything up to the last `@` counts as its part.
    """
    text = re.sub(r"^([^:/@]*:/*[^:/@]*:).*@", r"\1***@", text, flags=re.DOTALL)
    return re.sub(r"([?&][^=&]*(?:pass|secret|token|key)[^=&]*=)[^&]*", r"\1***", text, flags=re.IGNORECASE)


def allowed(name: str) -> str:
    """Say in words what the setting `name` may be."""
    field = Settings.model_fields[name]
    kind: Any = field.annotation
    if get_origin(kind) is Literal:
        return "one of " + ", ".join(str(choice) for choice in get_args(kind))
    if kind is bool:
        return "true or false"
    if kind in (int, float):
        bounds = {
            word: limit
            for constraint in field.metadata
            for word in ("gt", "ge", "le")
            if (limit := getattr(constraint, word, None)) is not None
        }
        number = "a whole number" if kind is int else "a number"
        if "le" in bounds:
            return f"{number} from {bounds['ge']:g} to {bounds['le']:g}"
        return f"{number} above {bounds['gt']:g}" if "gt" in bounds else f"{number}, {bounds['ge']:g} or more"
    if kind is str:
        pattern = next((found for part in field.metadata if (found := getattr(part, "pattern", None))), None)
        return f"text that matches {pattern}" if pattern else "text"
    if is_table(name):
        return "a table of tables"
    return "a list of texts" if get_origin(kind) is tuple else "a path"


def is_table(name: str) -> bool:
    """Whether the setting `name` is a table: in the environment and on the command line it is written as JSON."""
    return get_origin(Settings.model_fields[name].annotation) is dict


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"cannot read {file}: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{file} is not valid TOML: {error}") from error


def _decode(name: str, value: object) -> object:
    """Turn the text of one of a fixed set of values into that value; everything else is the model's to convert."""
    choices = get_args(Settings.model_fields[name].annotation)
    return next((choice for choice in choices if isinstance(value, str) and str(choice) == value), value)


def _unknown(origin: Origin) -> str:
    place, spell = {
        Source.COMMAND_LINE: ("on the command line", option_name),
        Source.ENVIRONMENT: ("in the environment", variable_name),
    }.get(origin.source, (f"in {origin.place}", str))
    bare = origin.spelling.lower().removeprefix(spell("").lower()).replace("-", "_")
    hint = nearest(bare, list(Settings.model_fields))
    advice = f"did you mean {spell(hint)}?" if hint else "`voice-gateway config` lists them all"
    return f"unknown setting {origin.spelling} {place}: {advice}"


def _wrong(details: ErrorDetails, origin: Origin) -> str:
    name = str(details["loc"][0])
    if len(details["loc"]) > 1 and is_table(name):
        within = ".".join(map(str, details["loc"]))
        return f"{origin}: {within} is {details['input']!r}: {reason(details)}"
    why = str(details["ctx"]["error"]) if details["type"] == "value_error" else f"must be {allowed(name)}"
    if is_table(name) and details["type"] == "value_error":
        return f"{origin}: {why}"
    return f"{origin} is {shown(name, details['input'])!r}: {why}"
