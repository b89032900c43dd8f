"""The token that people log in with beyond this machine: the setting's, or one that is made once and kept; and what
their browsers keep instead of it."""

import logging
import os
import secrets
from pathlib import Path

from gateway.config import Settings
from gateway.errors import ConfigurationError
from gateway.web.address import WebAddress

log = logging.getLogger(__name__)


def token_file(data_dir: Path) -> Path:
    """Where a token that was made is kept."""
    return data_dir / "web-token"


def web_token(settings: Settings, address: WebAddress) -> str | None:
    """Return the token that is asked for at `address`; None if only this machine can reach it and none is set.

    Raises:
        ConfigurationError: one cannot be kept in the data folder.
    """
    if settings.web_token:
        return settings.web_token
    return None if address.loopback else _kept(token_file(settings.data_dir))


def cookie_key(data_dir: Path) -> str:
    """What cookies are made with besides the token; one that cannot be kept holds for this run. Of the token alone they
    could be made by whoever guesses at it, and wrong cookies are not counted: a browser goes on sending an old one."""
    try:
        return _kept(data_dir / "web-cookie-key")
    except ConfigurationError as error:
        log.warning("who logs in at the page has to do so again after a restart: %s", error)
        return _made()


def _made() -> str:
    return secrets.token_urlsafe(16)


def _kept(file: Path) -> str:
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not file.exists():
            with os.fdopen(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as new:
                new.write(f"{_made()}\n")
        token = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"the page's secret cannot be kept in {file}: {error}") from error
    if not token:
        raise ConfigurationError(f"{file} is empty: write the page's secret into it, or delete it")
    return token
