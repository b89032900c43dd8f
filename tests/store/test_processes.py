"""Several processes on one database, and one that dies."""

import asyncio
import sys

from gateway.store import Store
from gateway.store.database import parse_url
from gateway.values import DeviceAddress
from tests.store.samples import HALL, KITCHEN, MANY, NOW, turn


async def other_process(job: str, url: str) -> tuple[asyncio.subprocess.Process, asyncio.StreamReader]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.store.other_process", job, url, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    return process, process.stdout


async def test_sigkill_loses_no_turn_that_was_reported_as_written(url: str) -> None:
    process, said = await other_process("write", url)
    written = [int(await said.readline()) for _ in range(30)]
    process.kill()
    written += [int(line) for line in (await said.read()).splitlines() if line]
    await process.wait()

    store = Store(url)
    await store.start()
    turns = await store.turns(KITCHEN.id, MANY)
    assert len(turns) in (len(written), len(written) + 1)  # the last may have been written and not yet reported
    assert [record.heard for record in turns] == [f"question {number}" for number in range(len(turns))]
    assert len(await store.history(KITCHEN.id, 2 * MANY)) == 2 * len(turns)
    assert (await store.statistics(NOW)).total_messages == 2 * len(turns)
    await store.close()


async def test_a_gateway_writes_while_the_command_line_erases(url: str) -> None:
    store = Store(url)
    await store.start()
    process, said = await other_process("erase", url)
    assert await said.readline() == b"ready\n"
    done = asyncio.Event()

    async def talk(device: DeviceAddress) -> int:
        """Three turns a session, then the next, while the other process lives. How many found themselves erased."""
        refused = 0
        while not done.is_set():
            epoch = await store.open_session(device, MANY, NOW)
            for _ in range(3):
                refused += not await store.record_turn(turn(device), epoch)
        return refused

    talks = [asyncio.create_task(talk(device)) for device in (KITCHEN, HALL)]
    erased = int(await said.readline())
    done.set()
    assert await process.wait() == 0
    assert sum(await asyncio.gather(*talks)) > 0
    assert erased >= 20

    for device in (KITCHEN, HALL):
        await store.forget(device.id)
    statistics = await store.statistics(NOW)
    assert (statistics.total_sessions, statistics.total_conversations, statistics.total_messages) == (0, 0, 0)
    await store.close()
    target = parse_url(url, 5, create=True)
    db = target.open()
    assert db.execute_sql("SELECT (SELECT COUNT(*) FROM messages) + (SELECT COUNT(*) FROM turns)").fetchone() == (0,)
    db.close()
