"""The tables, as the queries see them. What makes them is `migrations.py`; a test compares the two.

The models are bound to no database: one process may hold several stores, each on its own thread, so every query is
told which database it runs on (`query.execute(db)`).
"""

import json
from datetime import UTC, datetime
from typing import Any

from peewee import (
    BigAutoField,
    BigIntegerField,
    BlobField,
    BooleanField,
    CompositeKey,
    Field,
    IntegerField,
    Model,
    TextField,
)


class CleanTextField(TextField):
    """Text that any database takes: what a device sends as JSON may hold NUL and lone surrogates."""

    def db_value(self, value: str) -> str:
        return value.replace("\x00", "").encode("utf-8", "replace").decode("utf-8")


class UtcField(Field):
    """An aware time. PostgreSQL keeps it as TIMESTAMPTZ, SQLite as text of one width, in UTC, which sorts as it is."""

    def db_value(self, value: datetime) -> str:
        return value.astimezone(UTC).isoformat(sep=" ", timespec="microseconds")

    def python_value(self, value: str | datetime) -> datetime:
        return (datetime.fromisoformat(value) if isinstance(value, str) else value).astimezone(UTC)


class JsonField(Field):
    """A JSON object. PostgreSQL's JSON, which hands it back parsed (JSONB refuses NUL); SQLite's text."""

    def db_value(self, value: dict[str, Any]) -> str:
        return json.dumps(value, separators=(",", ":"))

    def python_value(self, value: str | dict[str, Any]) -> dict[str, Any]:
        parsed: dict[str, Any] = json.loads(value) if isinstance(value, str) else value
        return parsed


class Conversation(Model):
    """One device's conversation. A turn is only written under the `epoch` it began with, so that one which was still
    running when the conversation was erased does not bring it back."""

    session_id = TextField(primary_key=True)
    spelling = TextField()
    epoch = BigIntegerField()
    created_at = UtcField()
    updated_at = UtcField()
    message_count = IntegerField()
    device_info = JsonField()

    class Meta:
        table_name = "conversations"


class MessageRow(Model):
    """One line of a conversation, in which `id` gives the order."""

    session_id = TextField()
    id = BigIntegerField()
    role = TextField()
    text = CleanTextField()
    created_at = UtcField()

    class Meta:
        table_name = "messages"
        primary_key = CompositeKey("session_id", "id")


class TurnRow(Model):
    """One turn, whatever came of it: the audit trail."""

    id = BigAutoField()
    session_id = TextField()
    turn = IntegerField()
    kind = TextField()
    outcome = TextField()
    started_at = UtcField()
    heard = CleanTextField()
    said = CleanTextField()
    language = CleanTextField()
    error = TextField(null=True)
    cached = BooleanField()
    chunks = IntegerField()
    bytes = BigIntegerField()
    lost = IntegerField()
    duplicate = IntegerField()
    late = IntegerField()
    first_audio_out_ms = IntegerField(null=True)
    timings = JsonField()
    reply_form = TextField(null=True)
    largest_message = BigIntegerField(null=True)

    class Meta:
        table_name = "turns"


class CacheRow(Model):
    """An answer that the same device may hear again. `size` is in bytes: question, answer and audio."""

    id = BigAutoField()
    session_id = TextField()
    input_hash = TextField()
    input_text = CleanTextField()
    size = BigIntegerField()
    created_at = UtcField()
    last_accessed = UtcField()
    access_count = IntegerField()
    rate = IntegerField()
    bitrate_kbps = IntegerField()
    output = CleanTextField()
    audio = BlobField()

    class Meta:
        table_name = "cache"


class CounterRow(Model):
    """A running total, so that no figure needs a pass over the rows."""

    name = TextField(primary_key=True)
    value = BigIntegerField()

    class Meta:
        table_name = "counters"


class PersonalityRow(Model):
    """What an operator said of a device or of a group: `target` is `device:<id>` or `group:<name>`."""

    target = TextField(primary_key=True)
    said = JsonField()

    class Meta:
        table_name = "personalities"


class SchemaVersion(Model):
    """One row: how many of the migrations have been run."""

    version = IntegerField()

    class Meta:
        table_name = "schema_version"
        primary_key = False


MODELS = (Conversation, MessageRow, TurnRow, CacheRow, CounterRow, PersonalityRow, SchemaVersion)
