"""What the values of settings must be, beyond their type, and what follows from them.

Each check returns the value or raises `ValueError`.
"""

import json
import re
import zoneinfo
from difflib import get_close_matches

from gateway.values import end_of_speech_ms

ROOT_TOPIC_MAX = 200
"""Bytes. What follows it in a topic, at most about 80 bytes, is far within MQTT's 65535."""


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


def check_end_of_speech(wish: object) -> str:
    """Accept the name of a preset, or a number of milliseconds."""
    end_of_speech_ms(text := str(wish))
    return text


def check_timezone(name: str) -> str:
    """Accept the name of an IANA time zone, or nothing."""
    if name and name not in (known := zoneinfo.available_timezones()):
        hint = nearest(name, sorted(known))
        raise ValueError(f"{name!r} is no IANA time zone" + (f"; did you mean {hint!r}?" if hint else ""))
    return name


def check_root_topic(root: str) -> str:
    """Accept what may stand before every topic: names that can be published to, one or more levels of them."""
    example = "write it like voice or home/voice"
    if not all(root.split("/")):
        raise ValueError(f"has an empty level (nothing before, between or after a /): {example}")
    if any(character in root for character in "+#\0"):
        raise ValueError(f"must not hold +, # or a NUL character, with which nothing can be published: {example}")
    if root.startswith("$"):
        raise ValueError(f"must not begin with $, which belongs to the broker itself: {example}")
    if (size := len(root.encode("utf-8", "surrogatepass"))) > ROOT_TOPIC_MAX:
        raise ValueError(f"is {size} bytes long, more than {ROOT_TOPIC_MAX}: {example}")
    return root


def decode_list(value: object) -> object:
    """Turn the text of an environment variable, a JSON list, into that list."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError as error:
        raise ValueError(f'a list is written as JSON, such as ["one", "two"] ({error})') from None
