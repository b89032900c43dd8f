"""Conversations that the commands under test find."""

from datetime import datetime
from pathlib import Path

from gateway.config import Settings, database_url
from gateway.store import Store
from tests.store.samples import device, turn


async def make_database(folder: Path) -> None:
    """Make the database of the data folder `folder`, without any conversation."""
    store = Store(database_url(Settings(data_dir=folder)))
    await store.start()
    await store.close()


async def add_conversation(folder: Path, spelling: str, began: datetime, name: str = "") -> None:
    """Keep a conversation of one turn, which began at `began`, in the database of the data folder `folder`."""
    store = Store(database_url(Settings(data_dir=folder)))
    await store.start()
    try:
        epoch = await store.open_session(device(spelling), 100, began)
        if name:
            await store.save_device_info(device(spelling), {"v": 1, "name": name}, 100, began)
        await store.record_turn(turn(device(spelling), "¿Qué hora es?", "Son las tres.", started_at=began), epoch)
    finally:
        await store.close()
