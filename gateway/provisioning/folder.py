"""The broker's folder: its password file, and what is known of the devices in it."""

import contextlib
import fcntl
import os
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from gateway.errors import ConfigurationError, GatewayError
from gateway.provisioning.logins import Device, Logins, decode_known, encode_known

LOCK_TIMEOUT_S = 10.0
LOCK_POLL_S = 0.02


class BrokerFolder:
    """The folder `path`, of which one command at a time changes the logins.

    The facts of the devices are in a file of their own, for programs other than ours rewrite the password file; and
    beside it, not in the gateway's database, for the broker may be another machine's.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def certificates(self) -> Path:
        return self.path / "certs"

    @property
    def gateway_env(self) -> Path:
        """The gateway's own login, as an environment file."""
        return self.path / "gateway.env"

    def gateway_url(self) -> str:
        """The broker with the gateway's login, as `gateway_env` has it.

        Raises:
            ConfigurationError: it is not there, or may not be read.
        """
        name = "GATEWAY_MQTT_URL="
        for line in self._text(self.gateway_env.name).splitlines():
            if line.startswith(name):
                return line.removeprefix(name)
        raise ConfigurationError(f"the gateway's login is not in {self.gateway_env}")

    def logins(self) -> Logins:
        """Read them; none when none were made yet.

        Raises:
            ConfigurationError: there is no such folder, or a file in it cannot be read.
        """
        self._check()
        return Logins(self._text("passwords"), self._known())

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep every other command from changing the logins meanwhile.

        Raises:
            ConfigurationError: there is no such folder, or it may not be read.
            GatewayError: another command holds it for longer than `LOCK_TIMEOUT_S`.
        """
        self._check()
        try:
            # The folder itself: files in it are replaced, and a lock on one that is gone locks nothing.
            descriptor = os.open(self.path, os.O_RDONLY)
        except OSError as error:
            raise ConfigurationError(f"the broker's folder {self.path} cannot be opened: {error.strerror}") from error
        try:
            deadline = time.monotonic() + LOCK_TIMEOUT_S
            while not _locked(descriptor):
                if time.monotonic() > deadline:
                    raise GatewayError(f"another command is changing the logins in {self.path}; try again")
                time.sleep(LOCK_POLL_S)
            yield
        finally:
            os.close(descriptor)

    def save(self, logins: Logins) -> None:
        """Write them, so that a reader sees the old or the new and a crash leaves one of them. Only when `locked`.

        Raises:
            ConfigurationError: they cannot be written.
        """
        # The facts of a device without a password mean nothing; a password without facts is one that nobody explains.
        replace_file(self.path / "devices.json", encode_known(logins.known))
        replace_file(self.path / "passwords", logins.passwords)

    def _check(self) -> None:
        if not self.path.is_dir():
            raise ConfigurationError(
                f"there is no folder {self.path}: name the broker's with --broker-dir or GATEWAY_BROKER_DIR"
                " (it is mosquitto/ of this project, or where that was copied to)"
            )

    def _text(self, name: str) -> str:
        try:
            return (self.path / name).read_text(encoding="utf-8")
        except FileNotFoundError:
            return ""
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"{self.path / name} cannot be read: {error}") from error

    def _known(self) -> dict[str, Device]:
        text = self._text("devices.json")
        try:
            return decode_known(text) if text else {}
        except ValueError as error:
            raise ConfigurationError(f"{self.path / 'devices.json'} cannot be understood: {error}") from error


def replace_file(path: Path, text: str, *, mode: int | None = None) -> None:
    """Write a file whole or not at all. It keeps owner and mode of the one that it replaces, but where `mode` gives
    nothing to everybody, nor does what it replaces; a new one has `mode`, or what `private_mode` says.

    Raises:
        ConfigurationError: it cannot be written.
    """
    try:
        try:
            old = path.stat()
        except FileNotFoundError:
            old = None
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as new:
                if old is None:
                    os.fchmod(new.fileno(), private_mode(path.parent) if mode is None else mode)
                else:
                    kept = stat.S_IMODE(old.st_mode)
                    if mode is not None and not mode & stat.S_IRWXO:
                        kept &= ~stat.S_IRWXO
                    _take_over(new.fileno(), old, kept)
                new.write(text)
                new.flush()
                os.fsync(new.fileno())
            Path(name).replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                Path(name).unlink()
            raise
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written: {error.strerror}") from error


def private_mode(folder: Path) -> int:
    """The mode of a new secret that the broker reads: for its owner alone. Where new files get the folder's group
    (set-group-id, as docs/broker.md has it for Debian's service) also for that group, which is the broker's."""
    return 0o640 if folder.stat().st_mode & stat.S_ISGID else 0o600


def _take_over(descriptor: int, old: os.stat_result, mode: int) -> None:
    new = os.fstat(descriptor)
    if (new.st_uid, new.st_gid) != (old.st_uid, old.st_gid):
        os.fchown(descriptor, old.st_uid, old.st_gid)
    os.fchmod(descriptor, mode)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
