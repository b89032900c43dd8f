"""The files of the certificates: `ca.crt` for everybody, `server.crt` and `server.key` for the broker."""

import stat
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from gateway.errors import ConfigurationError
from gateway.provisioning.certificates import Address, Certified, make_authority, make_server, parse
from gateway.provisioning.folder import private_mode, replace_file

PUBLIC = 0o644
OWNER_ONLY = 0o600


class CertificateFiles:
    """The folder `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def ca(self) -> Path:
        """What those who connect need, in order to know the broker."""
        return self.path / "ca.crt"

    def issue(
        self, hosts: Sequence[str], addresses: Sequence[Address], days: int, now: datetime
    ) -> tuple[Certified, bool]:
        """Make and write a certificate for the broker, by the authority that is here, or by a new one when none is.

        Returns the certificate, and whether the authority is new.

        Raises:
            ConfigurationError: the authority cannot be used any more, or a file cannot be read or written.
        """
        authority = self._authority()
        if authority is not None and authority.certificate.not_valid_after_utc <= now:
            raise ConfigurationError(
                f"the authority in {self.path} has ended: move that folder away for a new one, and give every board"
                " and the gateway the new ca.crt"
            )
        made = authority or make_authority(now)
        server = make_server(made, hosts, addresses, now, days)
        self._prepare()
        if authority is None:
            replace_file(self.path / "ca.key", made.key_pem, mode=OWNER_ONLY)
            replace_file(self.ca, made.certificate_pem, mode=PUBLIC)
        replace_file(self.path / "server.key", server.key_pem)
        replace_file(self.path / "server.crt", server.certificate_pem, mode=PUBLIC)
        return server, authority is None

    def _authority(self) -> Certified | None:
        key = self.path / "ca.key"
        try:
            if not self.ca.exists() and not key.exists():
                return None
            return parse(self.ca.read_text(), key.read_text())
        except (OSError, ValueError) as error:
            raise ConfigurationError(
                f"the authority in {self.path} (ca.crt, ca.key) cannot be used: {error}. Bring back both files, or move"
                " that folder away for a new one, and give every board and the gateway the new ca.crt"
            ) from error

    def _prepare(self) -> None:
        try:
            if not self.path.exists():
                self.path.mkdir(parents=True)
                # For those who can read the keys in it; a group given by the folder above is handed on.
                shared = private_mode(self.path.parent) != OWNER_ONLY
                self.path.chmod(0o750 | stat.S_ISGID if shared else 0o700)
        except OSError as error:
            raise ConfigurationError(f"the folder {self.path} cannot be made: {error.strerror}") from error
