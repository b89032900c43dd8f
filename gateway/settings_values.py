"""What the values of settings must be, beyond their type, and what follows from them.

Each check returns the value or raises `ValueError`.
"""

import json
import re
import zoneinfo
from difflib import get_close_matches
from string import Formatter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.config import Settings

PROMPT_PLACEHOLDERS = ("device", "name", "language", "date", "time")


def nearest(word: str, known: list[str]) -> str | None:
    """Return the one of `known` that `word` was probably meant to be."""
    matches = get_close_matches(word, known, n=1)
    return matches[0] if matches else None


def check_pattern(pattern: str) -> str:
    """Accept a regular expression."""
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"{pattern!r} is no regular expression: {error}") from None
    return pattern


def check_prompt(template: str) -> str:
    """Accept a template whose placeholders are all plain and known."""
    known = ", ".join(f"{{{name}}}" for name in PROMPT_PLACEHOLDERS)
    try:
        parts = list(Formatter().parse(template))
    except ValueError as error:
        raise ValueError(f"{error}; write a brace that is meant as such twice") from None
    for _, name, form, conversion in parts:
        if name is not None and (name not in PROMPT_PLACEHOLDERS or form or conversion):
            raise ValueError(
                f"the placeholder {{{name}}} is not one of {known}; write a brace that is meant as such twice"
            )
    return template


def check_timezone(name: str) -> str:
    """Accept the name of an IANA time zone, or nothing."""
    if name and name not in (known := zoneinfo.available_timezones()):
        hint = nearest(name, sorted(known))
        raise ValueError(f"{name!r} is no IANA time zone" + (f"; did you mean {hint!r}?" if hint else ""))
    return name


def decode_list(value: object) -> object:
    """Turn the text of an environment variable, a JSON list, into that list."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError as error:
        raise ValueError(f'a list is written as JSON, such as ["one", "two"] ({error})') from None


def database_url(settings: "Settings") -> str:
    """The database in effect: the one set, else a SQLite file in the data folder."""
    return settings.database_url or f"sqlite:///{settings.data_dir / 'gateway.db'}"
