"""From a database URL to an open database: what differs between SQLite and PostgreSQL, and nothing else does.

SQLite runs in WAL mode with `synchronous = NORMAL`: what was committed survives the death of the process; a power cut
may take the last transactions, never the database. Every wait is bounded, by the constants and settings below.
"""

import re
import sqlite3
import time
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import parse_qs, unquote, urlsplit

from peewee import Database, PeeweeException, PostgresqlDatabase, SqliteDatabase

from gateway.errors import ConfigurationError

CONNECT_TIMEOUT_S = 5
STATEMENT_TIMEOUT_MS = 10_000
"""PostgreSQL ends a statement that takes longer, and a connection whose data is not acknowledged for as long."""
JOURNAL_BYTES = 16 * 1024 * 1024
"""What SQLite keeps of the file that a large transaction, as of a migration, wrote beside the database."""

_LOCK_POLL_S = 0.01
_SQLITE_PREFIX = "sqlite:///"
_FORMS = "sqlite:///folder/file.db, sqlite:////absolute/file.db or postgresql://user:password@host:5432/name"
_UNREADABLE = f"the database URL cannot be read: write {_FORMS}, and in a password %2F for /, %3A for :, %40 for @"


class Target(Protocol):
    """Where a database URL leads. Neither `description` nor any error holds the password."""

    @property
    def description(self) -> str: ...

    def open(self) -> Database:
        """Connect on the calling thread.

        Raises:
            ConfigurationError: it cannot work as configured; the message says what to do.
        """
        ...

    def revive(self, db: Database) -> None:
        """Connect anew if the connection has died since it was last used."""
        ...

    def errors(self) -> tuple[type[Exception], ...]:
        """What the driver raises when the database refuses or is out of reach."""
        ...


class SqliteTarget:
    """A file, made with its folder when absent if it may be (`create`)."""

    def __init__(self, path: str, busy_timeout_s: float, *, create: bool) -> None:
        self._path = path
        self._create = create
        self._busy_timeout_s = busy_timeout_s

    @property
    def description(self) -> str:
        return f"SQLite {self._path}"

    def open(self) -> Database:
        if not self._create and not Path(self._path).exists():
            raise ConfigurationError(
                f"there is no database {self._path}: a gateway makes it at its first start. If it is elsewhere, name"
                " its folder (--data-dir, GATEWAY_DATA_DIR) or the database (--database-url, GATEWAY_DATABASE_URL)"
            )
        advice = "choose another file in GATEWAY_DATABASE_URL, or another GATEWAY_DATA_DIR"
        try:
            # What people say is in it: a folder that is made for it is nobody else's to read.
            Path(self._path).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as exc:
            raise ConfigurationError(
                f"the folder of {self.description} cannot be made ({exc.strerror}): {advice}"
            ) from exc
        db = SqliteDatabase(
            self._path,
            pragmas={
                "journal_mode": "wal",
                "synchronous": "normal",
                "foreign_keys": 1,
                "journal_size_limit": JOURNAL_BYTES,
            },
            timeout=self._busy_timeout_s,
            lock_type="IMMEDIATE",  # a transaction that reads first cannot be refused the lock when it comes to write
        )
        deadline = time.monotonic() + self._busy_timeout_s
        while True:
            try:
                db.connect()
                return db
            except self.errors() as exc:
                # SQLite does not wait, as it does elsewhere, for another process that turns WAL on at this moment.
                if "locked" not in str(exc) or time.monotonic() >= deadline:
                    raise ConfigurationError(f"{self.description} cannot be opened ({exc}): {advice}") from exc
                time.sleep(_LOCK_POLL_S)

    def revive(self, db: Database) -> None:
        """A file does not go away."""

    def errors(self) -> tuple[type[Exception], ...]:
        return (PeeweeException, sqlite3.Error)


class PostgresTarget:
    """A server, reached through psycopg."""

    def __init__(self, url: str) -> None:
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            # Without its cause, which quotes the URL and so the password.
            raise ConfigurationError(_UNREADABLE) from None
        if parts.netloc.count("@") > 1:  # libpq would take part of the password for the host, and name it
            raise ConfigurationError(_UNREADABLE)
        query = parse_qs(parts.query)
        host = parts.hostname or query.get("host", ["localhost"])[0]
        name = unquote(parts.path.lstrip("/"))
        if not name or "/" in name:
            raise ConfigurationError(
                "the database URL names no database: write postgresql://user:password@host:5432/name"
            )
        self._url = "postgresql" + url[len(parts.scheme) :]
        self._given = frozenset(query)
        self._description = f"PostgreSQL {host}:{port or query.get('port', ['5432'])[0]}/{name}"

    @property
    def description(self) -> str:
        return self._description

    def open(self) -> Database:
        try:
            import psycopg
        except ImportError as exc:
            raise ConfigurationError(
                "PostgreSQL needs psycopg, which is not installed: pip install 'mqtt-voice-gateway[postgres]'"
            ) from exc
        try:
            psycopg.conninfo.conninfo_to_dict(self._url)
        except psycopg.Error:
            raise ConfigurationError(_UNREADABLE) from None
        defaults: dict[str, Any] = {
            "application_name": "voice-gateway",
            "connect_timeout": CONNECT_TIMEOUT_S,
            "tcp_user_timeout": STATEMENT_TIMEOUT_MS,
        }
        options = {name: value for name, value in defaults.items() if name not in self._given}
        db = PostgresqlDatabase(self._url, prefer_psycopg3=True, autoconnect=False, **options)
        try:
            self._connect(db)
        except self.errors() as exc:
            reason = " ".join(str(exc).split())
            raise ConfigurationError(
                f"{self.description} cannot be reached ({reason}): check that the server runs, that the database exists"
                " and that the user may use it"
            ) from exc
        return db

    def revive(self, db: Database) -> None:
        # Asked before the work, not learnt from its failure: work that died half-way may or may not have been
        # committed, and must not be done twice.
        try:
            db.execute_sql("SELECT 1")
        except self.errors():
            db.close()
            self._connect(db)

    def errors(self) -> tuple[type[Exception], ...]:
        import psycopg

        return (PeeweeException, psycopg.Error)

    @staticmethod
    def _connect(db: Database) -> None:
        db.connect()
        db.execute_sql(f"SET statement_timeout = {STATEMENT_TIMEOUT_MS}")


def parse_url(url: str, busy_timeout_s: float, *, create: bool) -> Target:
    """Where `url` leads; nothing is opened. Whether a file that is not there may be made, `create` says.

    Raises:
        ConfigurationError: it is not a URL of a database that the gateway knows.
    """
    if url.startswith(_SQLITE_PREFIX):
        path = url.removeprefix(_SQLITE_PREFIX)
        if not path or path.endswith("/") or path == ":memory:":
            raise ConfigurationError(f"the database URL names no file: write {_FORMS}")
        return SqliteTarget(path, busy_timeout_s, create=create)
    if re.match(r"postgres(ql)?://", url):
        return PostgresTarget(url)
    raise ConfigurationError(f"the database URL is of no kind that is known here: write {_FORMS}")
