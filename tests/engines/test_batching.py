"""Which work is done together, which first, and what becomes of work that nobody waits for. Steps are held and released
one by one, so that what a free thread takes next is certain."""

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence

import pytest

from gateway.engines.batching import Batcher, Job
from gateway.engines.workers import CLOSE_S
from gateway.errors import EngineBusy, EngineFailed


class Word(Job):
    """`rounds` is how often it goes through both steps."""

    def __init__(self, name: str, length: int = 1, rounds: int = 1) -> None:
        super().__init__()
        self.name, self.length, self.rounds = name, length, rounds

    def __repr__(self) -> str:
        return self.name


class Steps:
    """Notes every step; each waits until it is released, once the hold is on."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.held = threading.Semaphore(0)
        self.hold = False
        self.begun = threading.Semaphore(0)

    def first(self, words: Sequence[Word]) -> None:
        self._note("first", words)
        for word in words:
            word.key = word.length
            if word.name == "broken":
                raise ValueError("cannot")

    def second(self, words: Sequence[Word]) -> None:
        self._note("second", words)
        if any(word.name == "bad" for word in words):
            raise ValueError("cannot")
        for word in words:
            word.rounds -= 1
            word.done = word.rounds == 0

    def _note(self, step: str, words: Sequence[Word]) -> None:
        self.log.append(f"{step} {' '.join(word.name for word in words)}")
        self.begun.release()
        if self.hold:
            assert self.held.acquire(timeout=10)

    async def begin(self) -> None:
        """Wait until one more step has begun."""
        assert await asyncio.to_thread(self.begun.acquire, timeout=10)

    def release(self) -> None:
        """Let all steps run through from now on."""
        self.hold = False
        self.held.release(100)


@pytest.fixture
def steps() -> Steps:
    return Steps()


def make(
    steps: Steps, *, threads: int = 1, queue: int = 32, first_together: int = 1, most: int = 4, shares: bool = True
) -> Batcher[Word]:
    batcher = Batcher(
        "test",
        steps.first,
        steps.second,
        threads=threads,
        queue=queue,
        first_together=first_together,
        second_together=most,
        shares=shares,
    )
    batcher.start()
    return batcher


@pytest.fixture
async def batcher(steps: Steps) -> AsyncIterator[Batcher[Word]]:
    batcher = make(steps)
    yield batcher
    steps.release()
    await batcher.close()


async def given(batcher: Batcher[Word], *words: Word) -> list[asyncio.Task[None]]:
    tasks = [asyncio.create_task(batcher.run(word)) for word in words]
    await asyncio.sleep(0)
    return tasks


async def test_work_alone_is_done_alone(batcher: Batcher[Word], steps: Steps) -> None:
    await batcher.run(Word("a"))
    assert steps.log == ["first a", "second a"]
    assert batcher.pending == 0


async def test_what_came_meanwhile_is_done_together(batcher: Batcher[Word], steps: Steps) -> None:
    steps.hold = True
    tasks = await given(batcher, Word("a"))
    await steps.begin()
    tasks += await given(batcher, Word("b"), Word("c"))
    steps.release()
    await asyncio.gather(*tasks)
    assert steps.log == ["first a", "first b", "first c", "second a b c"]
    assert (batcher.counters.batches, batcher.counters.largest_batch, batcher.counters.done) == (1, 3, 3)


async def test_what_does_not_fit_waits_for_its_own_turn_and_no_longer(batcher: Batcher[Word], steps: Steps) -> None:
    """One of an odd length among many: all that came before it go first, nothing that came after."""
    steps.hold = True
    tasks = await given(batcher, Word("a"))
    await steps.begin()
    tasks += await given(batcher, Word("b"), Word("odd", length=9), *(Word(name) for name in "cdefg"))
    steps.release()
    await asyncio.gather(*tasks)
    # A batch is full at four, and then goes before any more first steps.
    assert [entry for entry in steps.log if entry.startswith("second")] == [
        "second a b c d",
        "second odd",
        "second e f g",
    ]


async def test_a_full_batch_does_not_wait_for_more(batcher: Batcher[Word], steps: Steps) -> None:
    steps.hold = True
    tasks = await given(batcher, Word("a"))
    await steps.begin()
    tasks += await given(batcher, *(Word(name) for name in "bcdef"))
    steps.release()
    await asyncio.gather(*tasks)
    assert steps.log.index("second a b c d") < steps.log.index("first e")


async def test_work_that_came_later_does_not_hold_up_what_has_gathered(batcher: Batcher[Word], steps: Steps) -> None:
    """A stream of newcomers, each there before the last is done with its first step, starves nobody."""
    steps.hold = True
    tasks = await given(batcher, Word("a"), Word("b"))
    await steps.begin()
    steps.held.release()
    await steps.begin()
    tasks += await given(batcher, Word("late", length=2), Word("later", length=2))
    steps.release()
    await asyncio.gather(*tasks)
    assert steps.log.index("second a b") < steps.log.index("first late")


async def test_several_threads_work_at_once(steps: Steps) -> None:
    batcher = make(steps, threads=2)
    steps.hold = True
    tasks = await given(batcher, Word("a"), Word("b"))
    await steps.begin()
    await steps.begin()
    assert sorted(steps.log) == ["first a", "first b"]
    steps.release()
    await asyncio.gather(*tasks)
    await batcher.close()


@pytest.mark.parametrize(("shares", "expected"), [(True, 2), (False, 3)])
async def test_threads_that_would_be_idle_share_the_second_step(steps: Steps, *, shares: bool, expected: int) -> None:
    """Each step here ends when it is let, so that one thread comes to the second step while the other is in the first
    with the last of four: what it takes then is its share."""
    batcher = make(steps, threads=2, shares=shares)
    steps.hold = True
    tasks = await given(batcher, *(Word(name) for name in "abcd"))
    await steps.begin()
    await steps.begin()
    for _ in range(3):
        steps.held.release()
        await steps.begin()
    (taken,) = [entry.removeprefix("second ").split() for entry in steps.log if entry.startswith("second")]
    assert len(taken) == expected
    steps.release()
    await asyncio.gather(*tasks)
    await batcher.close()


async def test_the_first_step_can_take_several_too(steps: Steps) -> None:
    batcher = make(steps, first_together=8)
    steps.hold = True
    tasks = await given(batcher, Word("a"))
    await steps.begin()
    tasks += await given(batcher, Word("b"), Word("c", length=2), Word("d"))
    steps.release()
    await asyncio.gather(*tasks)
    assert steps.log == ["first a", "first b c d", "second a b d", "second c"]
    await batcher.close()


async def test_work_that_needs_another_round_keeps_its_place(batcher: Batcher[Word], steps: Steps) -> None:
    steps.hold = True
    tasks = await given(batcher, Word("again", rounds=2))
    await steps.begin()
    tasks += await given(batcher, Word("odd", length=2), Word("odder", length=3))
    steps.release()
    await asyncio.gather(*tasks)
    seconds = [entry for entry in steps.log if entry.startswith("second")]
    assert seconds == ["second again", "second again", "second odd", "second odder"]


async def test_cancelled_work_that_waits_never_begins(batcher: Batcher[Word], steps: Steps) -> None:
    steps.hold = True
    kept, dropped = await given(batcher, Word("kept"), Word("dropped"))
    await steps.begin()
    dropped.cancel()
    await asyncio.gather(dropped, return_exceptions=True)
    assert batcher.pending == 1
    steps.release()
    await kept
    assert steps.log == ["first kept", "second kept"]
    assert batcher.counters.cancelled == 1


async def test_cancelled_work_between_its_steps_leaves(batcher: Batcher[Word], steps: Steps) -> None:
    steps.hold = True
    dropped, kept = await given(batcher, Word("dropped"), Word("kept"))
    await steps.begin()
    steps.held.release()
    await steps.begin()
    dropped.cancel()
    await asyncio.gather(dropped, return_exceptions=True)
    steps.release()
    await kept
    assert steps.log == ["first dropped", "first kept", "second kept"]


async def test_work_cancelled_in_a_step_frees_its_caller_and_its_place_at_once(steps: Steps) -> None:
    batcher = make(steps, queue=1)
    steps.hold = True
    dropped, kept = await given(batcher, Word("dropped"), Word("kept"))
    await steps.begin()
    dropped.cancel()
    with pytest.raises(asyncio.CancelledError):
        await dropped
    (next_one,) = await given(batcher, Word("next"))
    steps.release()
    await asyncio.gather(kept, next_one)
    assert steps.log == ["first dropped", "first kept", "first next", "second kept next"]
    assert (batcher.counters.done, batcher.counters.cancelled) == (2, 1)
    await batcher.close()


async def test_too_much_work_is_busy_and_less_is_not(steps: Steps) -> None:
    batcher = make(steps, queue=1)
    steps.hold = True
    tasks = await given(batcher, Word("a"), Word("b"))
    with pytest.raises(EngineBusy, match="2 pieces of work"):
        await batcher.run(Word("c"))
    steps.release()
    await asyncio.gather(*tasks)
    await batcher.run(Word("d"))
    assert batcher.counters.busy == 1
    await batcher.close()


async def test_an_error_reaches_those_who_were_in_it_only(batcher: Batcher[Word], steps: Steps) -> None:
    tasks = await given(batcher, Word("a"), Word("broken"), Word("b"))
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(result) for result in results] == [type(None), ValueError, type(None)]
    assert (batcher.counters.done, batcher.counters.failed) == (2, 1)


async def test_one_bad_piece_does_not_cost_the_others_theirs(batcher: Batcher[Word], steps: Steps) -> None:
    steps.hold = True
    words = [Word(name) for name in ("a", "b", "bad", "c")]
    calls = [asyncio.create_task(batcher.run(word)) for word in words]
    await steps.begin()
    steps.release()
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert steps.log[4:] == ["second a b bad c", "second a", "second b", "second bad", "second c"]
    assert [type(result) for result in results] == [type(None), type(None), ValueError, type(None)]
    assert (batcher.counters.done, batcher.counters.failed) == (3, 1)


async def test_closing_frees_every_caller_and_does_not_wait_for_ever(steps: Steps) -> None:
    batcher = make(steps)
    steps.hold = True
    tasks = await given(batcher, Word("runs"), Word("waits"))
    await steps.begin()
    try:
        async with asyncio.timeout(CLOSE_S + 3):
            await batcher.close()
        for task in tasks:
            with pytest.raises(EngineFailed, match="being closed"):
                await task
        with pytest.raises(EngineFailed, match="being closed"):
            await batcher.run(Word("late"))
    finally:
        steps.release()
    assert steps.log == ["first runs"]
