"""What the values of settings must be, beyond their type, and what follows from them.

Each check returns the value or raises `ValueError`.
"""

import json
import re
import shlex
import zoneinfo
from difflib import get_close_matches

from pydantic import ValidationInfo

from gateway.personality import Personality, check_group
from gateway.values import DeviceId, end_of_speech_ms, parse_device_id

LAST_PORT = 65_535
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
    return _check_levels(root, "write it like voice or home/voice")


def check_discovery_prefix(prefix: str) -> str:
    """Accept what may stand before the topics of discovery, or nothing."""
    return _check_levels(prefix, "write it like homeassistant, or leave it empty") if prefix else prefix


def _check_levels(root: str, example: str) -> str:
    if not all(root.split("/")):
        raise ValueError(f"has an empty level (nothing before, between or after a /): {example}")
    if any(character in root for character in "+#\0"):
        raise ValueError(f"must not hold +, # or a NUL character, with which nothing can be published: {example}")
    if root.startswith("$"):
        raise ValueError(f"must not begin with $, which belongs to the broker itself: {example}")
    if (size := len(root.encode("utf-8", "surrogatepass"))) > ROOT_TOPIC_MAX:
        raise ValueError(f"is {size} bytes long, more than {ROOT_TOPIC_MAX}: {example}")
    return root


def check_web_address(address: str) -> str:
    """Accept `auto`, `off`, or where to listen: `host:port`, an IPv6 host in brackets."""
    if address in ("auto", "off"):
        return address
    host, _, port = address.rpartition(":")
    name = re.fullmatch(r"\[[0-9A-Fa-f:.%]+\]|[\w.-]+", host)
    if name is None or not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > LAST_PORT:
        raise ValueError("must be auto, off or host:port, such as 127.0.0.1:8080 or 0.0.0.0:8080")
    return address


def check_personas(personas: dict[str, Personality]) -> dict[str, Personality]:
    """Accept personas: they are what devices and groups have, and have neither themselves."""
    for name, persona in personas.items():
        if persona.persona is not None or persona.groups is not None:
            raise ValueError(f"{name}: a persona has no persona and no groups itself")
    return personas


def check_groups(groups: dict[str, Personality], info: ValidationInfo) -> dict[str, Personality]:
    """Accept what is said of groups: each may have a persona, and none is in a group."""
    for name, said in groups.items():
        check_group(name)
        if said.groups is not None:
            raise ValueError(f"{name}: a group is not in groups itself")
    _check_known_personas(groups, info)
    return groups


def check_devices(devices: dict[str, Personality], info: ValidationInfo) -> dict[DeviceId, Personality]:
    """Accept what is said of devices, each in any spelling of its id, and return it by their ids."""
    by_id: dict[DeviceId, Personality] = {}
    for spelling, said in devices.items():
        try:
            device = parse_device_id(spelling)
        except ValueError as error:
            raise ValueError(f"{spelling}: {error}") from None
        if device in by_id:
            raise ValueError(f"{spelling} is spelled twice: both are the device {device}")
        by_id[device] = said
    _check_known_personas(devices, info)
    return by_id


def _check_known_personas(said: dict[str, Personality], info: ValidationInfo) -> None:
    personas = info.data.get("personas")
    for name, one in said.items():
        # Personas that are wrong themselves have been told.
        if personas is not None and one.persona is not None and one.persona not in personas:
            there_are = f"there are: {', '.join(personas)}" if personas else "none is set in personas"
            raise ValueError(f"{name}: there is no persona {one.persona!r}; {there_are}")


def decode_table(value: object) -> object:
    """Turn the text of an environment variable, a JSON object, into a table."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError as error:
        raise ValueError(f'a table is written as JSON, such as {{"kitchen": {{"name": "Ana"}}}} ({error})') from None


def check_entity_pattern(pattern: str) -> str:
    """Accept the id of an entity of Home Assistant, or a pattern of such ids."""
    if not re.fullmatch(r"[a-z_*?\[\]]+\.[a-z0-9_*?\[\]-]+", pattern):
        raise ValueError(f"{pattern!r} is no pattern of entities: write it like light.*, switch.fan or *.kitchen_*")
    return pattern


def check_weather_entity(entity: str) -> str:
    """Accept the id of a weather entity of Home Assistant, or nothing."""
    if entity and not re.fullmatch(r"weather\.[a-z0-9_]+", entity):
        raise ValueError("must be a weather entity, such as weather.home")
    return entity


def check_mcp_server(server: str) -> str:
    """Accept `name=URL` or `name=command`."""
    name, equals, where = server.partition("=")
    if not equals or not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,23}", name) or not where.strip():
        # What follows the name may hold a key of the server's.
        raise ValueError("write an MCP server like files=npx server /data or home=http://127.0.0.1:8000/mcp")
    try:
        shlex.split(where)
    except ValueError as error:
        raise ValueError(f"the command of {name}: {error}") from None
    return server


def decode_list(value: object) -> object:
    """Turn the text of an environment variable, a JSON list, into that list."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError as error:
        raise ValueError(f'a list is written as JSON, such as ["one", "two"] ({error})') from None
