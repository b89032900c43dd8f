"""The database as commands use it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from gateway.cli.options import takes_settings
from gateway.config import Settings, database_url

if TYPE_CHECKING:
    from gateway.store import Store

takes_database = takes_settings("data_dir", "database_url")
"""For commands that work on the database alone."""
takes_database_and_broker = takes_settings("data_dir", "database_url", "mqtt_url", "mqtt_ca_file", "root_topic")
"""For commands that also take back what the broker keeps."""


@asynccontextmanager
async def open_store(settings: Settings, *, create: bool = False) -> "AsyncIterator[Store]":
    """The database of `settings`, also while a gateway runs on it. One that is not there is made only if `create`: a
    mistyped path is to be told, not to become an empty database.

    Raises:
        ConfigurationError: it cannot be used, or is not there.
    """
    from gateway.store import Store  # peewee takes long to import, and `voice-gateway --help` does without

    store = Store(database_url(settings), create=create)
    await store.start()
    try:
        yield store
    finally:
        await store.close()
