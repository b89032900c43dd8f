"""What is said of a database that cannot be used, and how the store bears one that goes away."""

import asyncio
import sqlite3
import sys
from pathlib import Path

import pytest

from gateway.errors import ConfigurationError, StoreError
from gateway.store import Store
from tests.fakes.postgres import PostgresServer
from tests.store.samples import KITCHEN, MANY, NOW, turn

SECRET = "hunter2"


@pytest.mark.parametrize(
    ("url", "description"),
    [
        ("sqlite:///data/gateway.db", "SQLite data/gateway.db"),
        ("sqlite:////var/lib/voice gateway/100%.db", "SQLite /var/lib/voice gateway/100%.db"),
        (f"postgresql://me:{SECRET}@db.example:6432/voice", "PostgreSQL db.example:6432/voice"),
        (f"postgres://me:{SECRET}@[::1]/voice?sslmode=require", "PostgreSQL ::1:5432/voice"),
        ("postgresql:///voice?host=/run/postgresql&port=5433", "PostgreSQL /run/postgresql:5433/voice"),
    ],
)
def test_the_description_says_where_without_the_password(url: str, description: str) -> None:
    assert Store(url).description == description


@pytest.mark.parametrize(
    "url",
    [
        "",
        "gateway.db",
        "sqlite://gateway.db",
        "sqlite:///",
        "sqlite:///folder/",
        "sqlite:///:memory:",
        f"mysql://me:{SECRET}@host/voice",
        f"{SECRET}",
        f"postgresql://me:{SECRET}@host",
        f"postgresql://me:{SECRET}@host:{SECRET}/voice",
        f"postgresql://me:{SECRET}/x@host/voice",
        f"postgresql://me:{SECRET}@[host/voice",
    ],
)
def test_a_bad_url_is_refused_with_an_example_and_without_the_password(url: str) -> None:
    with pytest.raises(ConfigurationError, match="postgresql://user:password@host:5432/name") as caught:
        Store(url)
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("url", [f"postgresql://me:x@{SECRET}@host/voice", f"postgresql://host/voice?{SECRET}=1"])
async def test_what_only_the_driver_finds_wrong_is_refused_at_start(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        await Store(url).start()
    assert SECRET not in str(caught.value)


async def test_a_server_out_of_reach_says_what_to_check(tmp_path: Path) -> None:
    store = Store(f"postgresql://me:{SECRET}@/voice?host={tmp_path}")
    with pytest.raises(ConfigurationError, match="check that the server runs") as caught:
        await store.start()
    assert SECRET not in str(caught.value)


async def test_a_database_that_does_not_exist_says_so(postgres: PostgresServer) -> None:
    url = postgres.new_database().replace("/postgres?", "/absent?")
    with pytest.raises(ConfigurationError, match='"absent" does not exist'):
        await Store(url).start()


async def test_without_psycopg_it_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'mqtt-voice-gateway\[postgres\]'"):
        await Store("postgresql://host/voice").start()


async def test_a_folder_that_cannot_be_made_says_what_to_change(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ConfigurationError, match="GATEWAY_DATA_DIR"):
        await Store(f"sqlite:///{tmp_path}/file/gateway.db").start()


async def test_sqlite_writes_ahead_and_leaves_one_file_when_closed(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path}/gateway.db")
    await store.start()
    await store.open_session(KITCHEN, MANY, NOW)
    assert (tmp_path / "gateway.db-wal").exists()
    await store.close()
    assert not (tmp_path / "gateway.db-wal").exists()


async def test_a_locked_file_is_an_error_after_the_busy_timeout(tmp_path: Path) -> None:
    path = tmp_path / "gateway.db"
    store = Store(f"sqlite:///{path}", busy_timeout_s=0.05)
    await store.start()
    epoch = await store.open_session(KITCHEN, MANY, NOW)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match="locked"):
        await store.record_turn(turn(), epoch)
    assert await store.history(KITCHEN.id, 10) == []  # reading goes on
    with pytest.raises(ConfigurationError, match="locked"):
        await Store(f"sqlite:///{path}", busy_timeout_s=0.05).start()
    other.execute("ROLLBACK")
    other.close()
    assert await store.record_turn(turn(), epoch)
    assert (await store.statistics(NOW)).total_messages == 2
    await store.close()


async def test_a_file_that_another_program_keeps_for_itself_says_so(tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "gateway.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(ConfigurationError, match="locked"):
        await Store(f"sqlite:///{tmp_path}/gateway.db", busy_timeout_s=0.05).start()
    other.close()


async def test_the_store_comes_back_with_the_server(postgres: PostgresServer) -> None:
    store = Store(postgres.new_database())
    await store.start()
    epoch = await store.open_session(KITCHEN, MANY, NOW)
    await asyncio.to_thread(postgres.halt)
    try:
        for _ in range(2):
            with pytest.raises(StoreError, match="PostgreSQL"):
                await store.record_turn(turn(), epoch)
    finally:
        await asyncio.to_thread(postgres.resume)
    assert await store.record_turn(turn(), epoch)
    # A connection that died unnoticed costs nothing.
    await asyncio.to_thread(postgres.halt)
    await asyncio.to_thread(postgres.resume)
    assert await store.record_turn(turn(), epoch)
    assert len(await store.history(KITCHEN.id, 10)) == 4
    await store.close()


async def test_many_that_start_at_once_make_one_database(url: str) -> None:
    stores = [Store(url) for _ in range(6)]
    await asyncio.gather(*(store.start() for store in stores))
    epochs = await asyncio.gather(*(store.open_session(KITCHEN, MANY, NOW) for store in stores))
    assert len(set(epochs)) == 1
    assert (await stores[0].statistics(NOW)).total_sessions == 1
    for store in stores:
        await store.close()


async def test_what_a_device_waits_for_is_not_waited_for_long_and_nor_is_the_end(tmp_path: Path) -> None:
    file = tmp_path / "gateway.db"
    store = Store(f"sqlite:///{file}", busy_timeout_s=60)
    await store.start()
    epoch = await store.open_session(KITCHEN, MANY, NOW)
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    writing = asyncio.create_task(store.record_turn(turn(KITCHEN, "heard", "said"), epoch))
    await asyncio.sleep(0)  # it is the first in the queue
    with pytest.raises(StoreError, match="did not answer within 2 s"):
        await store.history(KITCHEN.id, 20)
    assert store.failed == 1
    async with asyncio.timeout(10):
        await store.close()
    other.close()
    assert await writing is True
