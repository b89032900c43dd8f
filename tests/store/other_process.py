"""Run as a program by the tests: another process that uses the same database."""

import asyncio
import sys

from gateway.store import Store
from tests.store.samples import HALL, KITCHEN, MANY, NOW, turn


async def write_turns(store: Store) -> None:
    """For ever: append a turn, then say that it is written."""
    epoch = await store.open_session(KITCHEN, MANY, NOW)
    number = 0
    while await store.record_turn(turn(heard=f"question {number}", said=f"answer {number}"), epoch):
        print(number, flush=True)
        number += 1


async def erase(store: Store) -> None:
    """Erase both conversations again and again, and say how many there were."""
    print("ready", flush=True)
    erased = 0
    while erased < 20:
        erased += await store.forget(KITCHEN.id) is not None
        erased += await store.forget(HALL.id) is not None
    print(erased, flush=True)


async def main(job: str, url: str) -> None:
    store = Store(url)
    await store.start()
    await {"write": write_turns, "erase": erase}[job](store)
    await store.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2]))
