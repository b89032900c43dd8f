"""How the database comes to its present shape: numbered steps, each run once, in order, in one transaction.

A step is never changed once released; a change of the schema is a new step. The steps are spelled in SQL rather than
through the models, which say how the tables look today. Written for SQLite 3.35 and PostgreSQL 12 or newer.
"""

from collections.abc import Callable
from typing import Protocol

from peewee import Database, PostgresqlDatabase

from gateway.errors import ConfigurationError
from gateway.store.models import SchemaVersion

_SQLITE_TYPES = {"id": "INTEGER PRIMARY KEY", "time": "TEXT", "json": "TEXT", "blob": "BLOB", "bigint": "INTEGER"}
_POSTGRES_TYPES = {
    "id": "BIGSERIAL PRIMARY KEY",
    "time": "TIMESTAMPTZ",
    "json": "JSON",
    "blob": "BYTEA",
    "bigint": "BIGINT",
}
_POSTGRES_LOCK = 0x564F4943  # any number that no other program locks: "VOIC"


class Execute(Protocol):
    """Runs a statement, in which {id} and the like stand for the database's own types."""

    def __call__(self, statement: str, *, postgres_only: bool = False, sqlite_only: bool = False) -> None: ...


def _base(execute: Execute) -> None:
    execute(
        "CREATE TABLE conversations (session_id TEXT PRIMARY KEY, spelling TEXT NOT NULL, epoch {bigint} NOT NULL,"
        " created_at {time} NOT NULL, updated_at {time} NOT NULL, message_count INTEGER NOT NULL,"
        " device_info {json} NOT NULL)"
    )
    execute("CREATE INDEX conversations_activity ON conversations (updated_at, session_id)")
    owner = "session_id TEXT NOT NULL REFERENCES conversations (session_id) ON DELETE CASCADE"
    execute(
        f"CREATE TABLE messages (id {{id}}, {owner}, role TEXT NOT NULL, text TEXT NOT NULL,"
        " created_at {time} NOT NULL)"
    )
    execute("CREATE INDEX messages_session ON messages (session_id, id)")
    execute(
        f"CREATE TABLE turns (id {{id}}, {owner}, turn INTEGER NOT NULL, kind TEXT NOT NULL, outcome TEXT NOT NULL,"
        " started_at {time} NOT NULL, heard TEXT NOT NULL, said TEXT NOT NULL, language TEXT NOT NULL, error TEXT,"
        " cached BOOLEAN NOT NULL, chunks INTEGER NOT NULL, bytes {bigint} NOT NULL, lost INTEGER NOT NULL,"
        " duplicate INTEGER NOT NULL, late INTEGER NOT NULL, first_audio_out_ms INTEGER, timings {json} NOT NULL)"
    )
    execute("CREATE INDEX turns_session ON turns (session_id, id)")
    # The audio comes last: what precedes it is then read without it.
    execute(
        f"CREATE TABLE cache (id {{id}}, {owner}, input_hash TEXT NOT NULL, input_text TEXT NOT NULL,"
        " size {bigint} NOT NULL, created_at {time} NOT NULL, last_accessed {time} NOT NULL,"
        " access_count INTEGER NOT NULL, rate INTEGER NOT NULL, bitrate_kbps INTEGER NOT NULL, output TEXT NOT NULL,"
        " audio {blob} NOT NULL, UNIQUE (session_id, input_hash))"
    )
    execute("CREATE TABLE counters (name TEXT PRIMARY KEY, value {bigint} NOT NULL)")


def _indexes_for_figures_and_eviction(execute: Execute) -> None:
    execute("CREATE INDEX turns_latency ON turns (outcome, id, first_audio_out_ms)")
    execute("CREATE INDEX cache_session_use ON cache (session_id, last_accessed)")
    execute("CREATE INDEX cache_use ON cache (last_accessed)")
    execute("CREATE INDEX cache_age ON cache (created_at)")


def _how_the_device_speaks(execute: Execute) -> None:
    execute("ALTER TABLE turns ADD COLUMN reply_form TEXT")
    execute("ALTER TABLE turns ADD COLUMN largest_message {bigint}")


def _one_index_by_conversation(execute: Execute) -> None:
    """PostgreSQL looked for the newest rows of a device that had said much by reading everybody's, newest first, along
    the index of the ids alone. That goes; the ids stay unique, as they come from a sequence. SQLite does not do so."""
    for table in ("messages", "turns"):
        execute(f"ALTER TABLE {table} DROP CONSTRAINT {table}_pkey", postgres_only=True)
        execute(f"DROP INDEX {table}_session", postgres_only=True)
        execute(f"ALTER TABLE {table} ADD PRIMARY KEY (session_id, id)", postgres_only=True)


def _personalities(execute: Execute) -> None:
    """No reference to the conversations: what an operator said of a device outlives what was said to it."""
    execute("CREATE TABLE personalities (target TEXT PRIMARY KEY, said {json} NOT NULL)")


def _messages_by_conversation(execute: Execute) -> None:
    """SQLite kept messages in the order in which they came: those that a turn reads of a device each lay on a page of
    their own, between those of all others. PostgreSQL is as fast with them there as it is without the others."""
    execute(
        "CREATE TABLE messages_by_conversation"
        " (session_id TEXT NOT NULL REFERENCES conversations (session_id) ON DELETE CASCADE, id {bigint} NOT NULL,"
        " role TEXT NOT NULL, text TEXT NOT NULL, created_at {time} NOT NULL, PRIMARY KEY (session_id, id))"
        " WITHOUT ROWID",
        sqlite_only=True,
    )
    execute(
        "INSERT INTO messages_by_conversation (session_id, id, role, text, created_at)"
        " SELECT session_id, id, role, text, created_at FROM messages ORDER BY session_id, id",
        sqlite_only=True,
    )
    execute("DROP TABLE messages", sqlite_only=True)
    execute("ALTER TABLE messages_by_conversation RENAME TO messages", sqlite_only=True)


MIGRATIONS: tuple[Callable[[Execute], None], ...] = (
    _base,
    _indexes_for_figures_and_eviction,
    _how_the_device_speaks,
    _one_index_by_conversation,
    _personalities,
    _messages_by_conversation,
)
"""Step n, counted from 1, brings a database of version n - 1 to version n."""


def migrate(db: Database, steps: tuple[Callable[[Execute], None], ...] = MIGRATIONS) -> None:
    """Bring `db` to the newest version, all of it or nothing. Of two processes at once, one waits for the other.

    Raises:
        ConfigurationError: a newer gateway made this database.
    """
    postgres = isinstance(db, PostgresqlDatabase)
    types = _POSTGRES_TYPES if postgres else _SQLITE_TYPES

    def execute(statement: str, *, postgres_only: bool = False, sqlite_only: bool = False) -> None:
        if not (sqlite_only if postgres else postgres_only):
            db.execute_sql(statement.format_map(types))

    # On SQLite `atomic` begins with IMMEDIATE: it holds the write lock from here on.
    with db.atomic():
        if postgres:
            db.execute_sql("SELECT pg_advisory_xact_lock(%s)", (_POSTGRES_LOCK,))
        db.execute_sql("CREATE TABLE IF NOT EXISTS schema_version (version INTEGER NOT NULL)")
        stored = SchemaVersion.select(SchemaVersion.version).scalar(db)
        version = stored or 0
        if version > len(steps):
            raise ConfigurationError(
                f"the database was made by a newer gateway (its schema is version {version}, this gateway knows"
                f" {len(steps)}): upgrade the gateway, or choose another database"
            )
        if version == len(steps):
            return
        if postgres:
            # A step may have to go through all that was ever said.
            db.execute_sql("SET LOCAL statement_timeout = 0")
        for step in steps[version:]:
            step(execute)
        if stored is None:
            SchemaVersion.insert(version=len(steps)).as_rowcount().execute(db)
        else:
            SchemaVersion.update(version=len(steps)).execute(db)
