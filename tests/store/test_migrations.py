"""A database of any age is brought up to date; one from the future is left alone."""

from collections.abc import Callable
from pathlib import Path

import pytest
from peewee import Database

from gateway.errors import ConfigurationError
from gateway.store import Store
from gateway.store.database import parse_url
from gateway.store.migrations import MIGRATIONS, migrate
from gateway.store.models import MODELS, Conversation, MessageRow, SchemaVersion
from tests.store.samples import KITCHEN, MANY, NOW, turn


def shape(db: Database) -> set[tuple[str, ...]]:
    """Every table's columns, and which columns each index has."""
    found: set[tuple[str, ...]] = set()
    for table in db.get_tables():
        found |= {(table, column.name, column.data_type) for column in db.get_columns(table)}
        found |= {(table, index.name, *index.columns) for index in db.get_indexes(table)}
    return found


@pytest.mark.parametrize("version", range(1, len(MIGRATIONS)))
async def test_an_older_database_is_upgraded_with_what_it_holds(new_url: Callable[[], str], version: int) -> None:
    url, other_url = new_url(), new_url()
    db = parse_url(url, 5, create=True).open()
    migrate(db, MIGRATIONS[:version])
    assert SchemaVersion.select(SchemaVersion.version).scalar(db) == version
    Conversation.insert(
        session_id=KITCHEN.id,
        spelling=KITCHEN.spelling,
        epoch=7,
        created_at=NOW,
        updated_at=NOW,
        message_count=1,
        device_info={"v": 1},
    ).execute(db)
    MessageRow.insert(session_id=KITCHEN.id, role="user", text="before", created_at=NOW).execute(db)
    db.close()

    store = Store(url)
    await store.start()
    assert await store.open_session(KITCHEN, MANY, NOW) == 7
    assert await store.record_turn(turn(heard="after"), 7)
    assert [message.text for message in await store.history(KITCHEN.id, 10)] == ["before", "after", "hi"]
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
