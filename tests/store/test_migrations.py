"""A database of any age is brought up to date; one from the future is left alone."""

from collections.abc import Callable
from pathlib import Path

import pytest
from peewee import Database

from gateway.errors import ConfigurationError
from gateway.store import Store
from gateway.store.database import JOURNAL_BYTES, parse_url
from gateway.store.migrations import MIGRATIONS, migrate
from gateway.store.models import MODELS, Conversation, MessageRow, SchemaVersion
from tests.store.samples import HALL, KITCHEN, MANY, NOW, turn


def shape(db: Database) -> set[tuple[str, ...]]:
    """Every table's columns, and which columns its key and each index have."""
    found: set[tuple[str, ...]] = set()
    for table in db.get_tables():
        found |= {(table, column.name, column.data_type) for column in db.get_columns(table)}
        found.add((table, "key", *db.get_primary_keys(table)))
        found |= {(table, index.name, *index.columns) for index in db.get_indexes(table)}
    return found


@pytest.mark.parametrize("version", range(1, len(MIGRATIONS)))
async def test_an_older_database_is_upgraded_with_what_it_holds(new_url: Callable[[], str], version: int) -> None:
    url, other_url = new_url(), new_url()
    db = parse_url(url, 5, create=True).open()
    migrate(db, MIGRATIONS[:version])
    assert SchemaVersion.select(SchemaVersion.version).scalar(db) == version
    for device in (KITCHEN, HALL):
        Conversation.insert(
            session_id=device.id,
            spelling=device.spelling,
            epoch=7,
            created_at=NOW,
            updated_at=NOW,
            message_count=2,
            device_info={"v": 1},
        ).execute(db)
    said = [(KITCHEN, "long ago"), (HALL, "long ago, too"), (KITCHEN, "before"), (HALL, "before, too")]
    for number, (device, text) in enumerate(said, 1):
        MessageRow.insert(session_id=device.id, id=number, role="user", text=text, created_at=NOW).execute(db)
    db.close()

    store = Store(url)
    await store.start()
    assert await store.open_session(KITCHEN, MANY, NOW) == 7
    assert await store.record_turn(turn(heard="after"), 7)
    assert [message.text for message in await store.history(KITCHEN.id, 10)] == ["long ago", "before", "after", "hi"]
    # What belongs to a conversation is still erased with it, and nothing else.
    await store.forget(KITCHEN.id)
    assert await store.history(KITCHEN.id, 10) == []
    assert [message.text for message in await store.history(HALL.id, 10)] == ["long ago, too", "before, too"]
    await store.close()

    db = parse_url(url, 5, create=True).open()
    assert SchemaVersion.select(SchemaVersion.version).scalar(db) == len(MIGRATIONS)
    new = parse_url(other_url, 5, create=True).open()
    migrate(new)
    assert shape(db) == shape(new)
    db.close()
    new.close()


async def test_a_database_from_a_newer_gateway_is_refused(url: str) -> None:
    store = Store(url)
    await store.start()
    await store.close()
    db = parse_url(url, 5, create=True).open()
    SchemaVersion.update(version=len(MIGRATIONS) + 1).execute(db)
    db.close()
    with pytest.raises(ConfigurationError, match=r"newer gateway .* upgrade the gateway"):
        await Store(url).start()


def test_a_migration_that_fails_leaves_the_database_as_it_was(url: str) -> None:
    target = parse_url(url, 5, create=True)
    db = target.open()
    migrate(db, MIGRATIONS[:1])

    def broken(execute: object) -> None:
        execute("CREATE TABLE half (id {id})")  # type: ignore[operator]
        execute("CREATE NONSENSE")  # type: ignore[operator]

    with pytest.raises(target.errors()):
        migrate(db, (*MIGRATIONS[:1], broken))
    assert "half" not in db.get_tables()
    assert SchemaVersion.select(SchemaVersion.version).scalar(db) == 1
    db.close()


def test_the_models_say_what_the_migrations_made(url: str) -> None:
    db = parse_url(url, 5, create=True).open()
    migrate(db)
    assert sorted(db.get_tables()) == sorted(model._meta.table_name for model in MODELS)
    for model in MODELS:
        made = {column.name: column.null for column in db.get_columns(model._meta.table_name)}
        described = {field.column_name: field.null for field in model._meta.sorted_fields}
        keys = {field.column_name for field in model._meta.get_primary_keys()} if model._meta.primary_key else set()
        assert made.keys() == described.keys()
        assert all(made[name] == described[name] for name in made.keys() - keys), model
    db.close()


def test_a_file_that_is_no_database_is_refused_at_start(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("these are not the bytes of a database, and stay as they are" * 20)
    with pytest.raises(ConfigurationError, match="choose another file"):
        parse_url(f"sqlite:///{path}", 5, create=True).open()


async def test_the_upgrade_of_a_large_database_leaves_no_large_file_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "gateway.db"
    db = parse_url(f"sqlite:///{path}", 5, create=True).open()
    migrate(db, MIGRATIONS[:4])
    db.execute_sql(
        "INSERT INTO conversations VALUES (?, ?, 7, ?, ?, 25000, '{}')",
        (KITCHEN.id, KITCHEN.spelling, str(NOW), str(NOW)),
    )
    db.execute_sql(
        "WITH RECURSIVE series (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM series WHERE i < 25000)"
        " INSERT INTO messages (session_id, role, text, created_at)"
        " SELECT ?, 'user', printf('line %d%.*c', i, 1000, '.'), ? FROM series",
        (KITCHEN.id, str(NOW)),
    )
    db.close()

    store = Store(f"sqlite:///{path}")
    await store.start()
    journal = path.with_name("gateway.db-wal")
    assert journal.stat().st_size > 1.5 * JOURNAL_BYTES, "the upgrade wrote too little to tell"
    assert await store.record_turn(turn(), 7)
    assert journal.stat().st_size <= JOURNAL_BYTES
    assert [message.text.rstrip(".") for message in await store.history(KITCHEN.id, 3)] == ["line 25000", "hello", "hi"]
    await store.close()
