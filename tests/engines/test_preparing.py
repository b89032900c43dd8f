"""Before there is work, the engine that will get it may prepare itself: once in a while, and never in anyone's way."""

import asyncio

import numpy as np
import pytest

from gateway.engines.chain import SttChain
from gateway.engines.circuit import PREPARED_FOR_S
from gateway.errors import EngineFailed
from tests.fakes.engines import ScriptedStt

SPEECH = np.zeros(16_000, np.float32)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Preparing(ScriptedStt):
    """Prepares itself until `done`; a `defect` is what no engine should raise."""

    def __init__(self, name: str, defect: Exception | None = None) -> None:
        super().__init__(name, ["one"])
        self.prepared = 0
        self.interrupted = False
        self.done = asyncio.Event()
        self._defect = defect

    async def prepare(self) -> None:
        self.prepared += 1
        try:
            await self.done.wait()
        except asyncio.CancelledError:
            self.interrupted = True
            raise
        if self._defect is not None:
            raise self._defect


async def turn_of_the_loop() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


def chain(*engines: ScriptedStt, clock: Clock) -> SttChain:
    return SttChain(engines, timeout_s=15, rest_s=30, clock=clock)


async def test_only_the_engine_that_will_be_asked_prepares_itself_and_not_all_the_time() -> None:
    clock, first, second = Clock(), Preparing("first"), Preparing("second")
    first.done.set()
    engines = chain(first, second, clock=clock)
    for _ in range(3):
        engines.prepare()
        await turn_of_the_loop()
    assert (first.prepared, second.prepared) == (1, 0)
    clock.now += PREPARED_FOR_S
    engines.prepare()
    await turn_of_the_loop()
    assert (first.prepared, second.prepared) == (2, 0)


async def test_an_engine_prepares_itself_once_at_a_time() -> None:
    clock, engine = Clock(), Preparing("slow")
    engines = chain(engine, clock=clock)
    for _ in range(3):
        engines.prepare()
        clock.now += 10 * PREPARED_FOR_S
        await turn_of_the_loop()
    assert engine.prepared == 1
    await engines.close()
    assert engine.interrupted
    assert engine.closed


async def test_while_one_rests_the_next_prepares_itself() -> None:
    clock, second = Clock(), Preparing("second")
    engines = chain(ScriptedStt("broken", [EngineFailed("no")]), second, clock=clock)
    engines.prepare()
    await turn_of_the_loop()
    assert second.prepared == 0
    assert (await engines.transcribe(SPEECH, "en", lambda *_: None)).text == "one"
    engines.prepare()
    await turn_of_the_loop()
    assert second.prepared == 1
    await engines.close()


async def test_a_defect_is_logged_and_stops_nobody(caplog: pytest.LogCaptureFixture) -> None:
    clock, engine = Clock(), Preparing("odd", RuntimeError("unforeseen"))
    engine.done.set()
    engines = chain(engine, clock=clock)
    engines.prepare()
    await turn_of_the_loop()
    assert "odd cannot be prepared" in caplog.text
    assert (await engines.transcribe(SPEECH, "en", lambda *_: None)).text == "one"
