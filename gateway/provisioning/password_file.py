"""Mosquitto's password file: a line `name:hash` for each login. Other lines are kept as they are."""

import base64
import hashlib
from collections.abc import Iterable

PASSWORD_BYTES = 24
"""Of chance in a password that we make."""
SALT_BYTES = 12
ITERATIONS = 101
"""Mosquitto's own default. More would protect passwords that can be guessed; ours are random. And Mosquitto
computes the hash of every client that is connected again at each reload, while all audio waits."""


def entry(name: str, password: str, salt: bytes) -> str:
    """The line of a login, with `$7$`: PBKDF2 with SHA-512. `salt` is random, `SALT_BYTES` long."""
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, ITERATIONS)
    return f"{name}:$7${ITERATIONS}${_base64(salt)}${_base64(digest)}"


def names(text: str) -> list[str]:
    """Who has a login, in the order of the file."""
    return [name for line in text.splitlines() if (name := _name(line))]


def with_entry(text: str, new: str) -> str:
    """The file with the line `new`, in the place of that login's old one or at the end."""
    lines = text.splitlines()
    place = next((place for place, line in enumerate(lines) if _name(line) == _name(new)), len(lines))
    # Of two lines for one login, which an editor can leave, Mosquitto takes the last: an old password would live on.
    rest = [line for line in lines[place + 1 :] if _name(line) != _name(new)]
    return _file([*lines[:place], new, *rest])


def without_entry(text: str, name: str) -> str:
    """The file without the login `name`."""
    return _file(line for line in text.splitlines() if _name(line) != name)


def _name(line: str) -> str:
    """The login of a line; nothing when it is a comment or no login."""
    name, colon, _ = line.partition(":")
    return name if colon and not line.startswith("#") else ""


def _file(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
