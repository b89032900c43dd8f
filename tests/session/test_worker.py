"""The task of a session: when it exists, and what it waits for."""

import asyncio

from gateway.session.worker import Worker
from tests.fakes.virtual_time import in_virtual_time


class Steps:
    """What a worker has to do: it notes when each step is taken, and waits until `until` unless something came."""

    def __init__(self) -> None:
        self.worker = Worker("steps", self.step, self.defects)
        self.told: list[Exception] = []
        self.taken: list[float] = []
        self.until: float | None = None
        self.came: list[object] = []
        self.over = False

    def defects(self, defect: Exception) -> None:
        self.told.append(defect)

    async def step(self) -> bool:
        now = asyncio.get_running_loop().time()
        if self.came:
            if isinstance(came := self.came.pop(0), Exception):
                raise came
            self.taken.append(now)
            return True
        if self.over:
            return False
        if self.until is not None and self.until <= now:
            self.taken.append(now)
            self.until = None
        await self.worker.wait(self.until, now)
        return True


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


@in_virtual_time
async def test_it_works_only_while_there_is_something_to_do() -> None:
    steps = Steps()
    assert not steps.worker.works
    steps.worker.stir()
    await settle()
    assert steps.worker.works
    steps.over = True
    steps.worker.wake()
    await settle()
    assert not steps.worker.works
    steps.worker.wake()
    await settle()
    assert not steps.worker.works, "to wake is not to begin"


@in_virtual_time
async def test_what_comes_is_done_at_once_and_what_is_due_at_its_time() -> None:
    steps = Steps()
    steps.until = 1.0
    steps.worker.stir()
    await asyncio.sleep(0.25)
    steps.came.append("a message")
    steps.worker.stir()
    await asyncio.sleep(2)
    assert steps.taken == [0.25, 1.0]
    await steps.worker.close(1)


@in_virtual_time
async def test_a_moment_that_is_put_off_again_and_again_comes_after_the_last_time() -> None:
    steps = Steps()
    for message in range(20):
        steps.until = asyncio.get_running_loop().time() + 1.0
        steps.came.append(message)
        steps.worker.stir()
        await asyncio.sleep(0.125)
    assert len(steps.taken) == 20
    await asyncio.sleep(2)
    assert steps.taken[20:] == [19 * 0.125 + 1.0]
    await steps.worker.close(1)


@in_virtual_time
async def test_a_moment_that_is_brought_forward_comes_early() -> None:
    steps = Steps()
    steps.until = 5.0
    steps.worker.stir()
    await asyncio.sleep(1)
    steps.until = 2.0
    steps.worker.stir()
    await asyncio.sleep(5)
    assert steps.taken == [2.0]
    await steps.worker.close(1)


@in_virtual_time
async def test_a_defect_is_told_and_ends_only_what_it_hit() -> None:
    steps = Steps()
    defect = ValueError("a defect")
    steps.came += [defect, "a message"]
    steps.worker.stir()
    await asyncio.sleep(1)
    assert steps.told == [defect]
    assert len(steps.taken) == 1
    await steps.worker.close(1)
    assert not steps.worker.works


@in_virtual_time
async def test_a_device_at_which_everything_fails_leaves_the_others_their_time() -> None:
    steps = Steps()
    steps.came += [ValueError("a defect")] * 1000
    steps.worker.stir()
    await asyncio.sleep(1)
    assert 1 < len(steps.told) <= 11
    await steps.worker.close(1)
