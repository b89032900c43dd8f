"""Which engine of a list is asked, and which one rests: a circuit breaker for each engine.

An engine that fails is passed over and rests. When its rest is over, one piece of work tries it while all others
still pass it over; that trial decides whether it is back or rests again.
"""

import asyncio
import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Generic, Literal, TypeVar

from gateway.engines.choice import own_choice
from gateway.engines.closing import close_all
from gateway.engines.protocols import Counting, Engine, Preparable
from gateway.errors import EngineBusy, EngineFailed, ErrorCode, Stage, StageFailed

_log = logging.getLogger(__name__)

LONGEST_REST_S: Final = 600.0
"""What an engine asks for itself (a 429's Retry-After) is not believed beyond this."""

PREPARED_FOR_S: Final = 5.0
"""Many servers end a connection that was idle for so long."""

_FAILURE_CODES: Final = {
    Stage.STT: ErrorCode.STT_FAILED,
    Stage.LLM: ErrorCode.LLM_FAILED,
    Stage.TTS: ErrorCode.TTS_FAILED,
}

Clock = Callable[[], float]
"""Seconds that only ever grow, such as `time.monotonic`."""

OnPassedOver = Callable[[Stage, str, str, float], None]
"""Called with the stage, the engine's name, what went wrong and how many seconds it rests (0 when it does not)."""

EngineT = TypeVar("EngineT", bound=Engine)


@dataclass(frozen=True, slots=True)
class EngineHealth:
    """How an engine is doing, for statistics and `doctor`.

    `failures` counts work that it failed or was too slow at; `passed_over` counts work that went past it because it
    failed, was busy or rested. `rest_left_s` is 0 when it does not rest. `failing` is true from a failure that made it
    rest until work that it does, also when its rest is over. `counters` are the engine's own, if any.
    """

    stage: Stage
    engine: str
    state: Literal["ok", "resting"]
    failures: int
    passed_over: int
    rest_left_s: float
    failing: bool
    counters: Mapping[str, int] = field(default_factory=dict)


class _Circuit(Generic[EngineT]):
    """What is known of one engine."""

    def __init__(self, engine: EngineT) -> None:
        self.engine = engine
        self.failures = 0
        self.passed_over = 0
        self.rests = 0
        self.rest_over_at: float | None = None
        self.on_trial = False
        self.prepare_again_at = -math.inf

    def may_be_asked(self, now: float) -> bool:
        return self.rest_over_at is None or (now >= self.rest_over_at and not self.on_trial)


class EngineOrder(Generic[EngineT]):
    """The engines of one stage in the order in which they are asked, with the state of each."""

    def __init__(self, stage: Stage, engines: Sequence[EngineT], *, rest_s: float, clock: Clock) -> None:
        """`rest_s` is how long an engine rests that does not itself say how long."""
        if not engines:
            raise ValueError(f"the stage {stage} needs at least one engine")
        self.stage = stage
        self.engines = tuple(engines)
        self.rest_s = rest_s
        self.clock = clock
        self._circuits = tuple(_Circuit(engine) for engine in engines)
        self._preparing: dict[str, asyncio.Task[None]] = {}

    def begin(self, on_passed_over: OnPassedOver) -> "Work[EngineT]":
        """Begin one piece of work, to be tried on one engine after the other."""
        return Work(self, self._circuits, on_passed_over)

    @property
    def next(self) -> EngineT | None:
        """The engine that would be asked first if work came now; None while all rest."""
        circuit = self._next(self.clock())
        return None if circuit is None else circuit.engine

    def prepare(self) -> None:
        """Let the engine that would be asked now prepare itself, in the background; at most one call of it runs, and
        it is not called again within `PREPARED_FOR_S` seconds."""
        now = self.clock()
        circuit = self._next(now)
        if circuit is None or now < circuit.prepare_again_at or not isinstance(circuit.engine, Preparable):
            return
        circuit.prepare_again_at = now + PREPARED_FOR_S
        if self._preparing.get(circuit.engine.name) is None:
            name = circuit.engine.name
            self._preparing[name] = task = asyncio.create_task(circuit.engine.prepare(), name=f"prepare {name}")
            task.add_done_callback(lambda done: self._prepared(name, done))

    def health(self) -> list[EngineHealth]:
        now = self.clock()
        return [self._health_of(circuit, now) for circuit in self._circuits]

    async def close(self) -> None:
        """Close every engine, also when closing one of them fails."""
        for task in tuple(self._preparing.values()):
            task.cancel()
            await asyncio.wait({task})
        await close_all(engine.close() for engine in self.engines)

    def _next(self, now: float) -> _Circuit[EngineT] | None:
        return next((one for one in self._circuits if one.may_be_asked(now)), None)

    def _prepared(self, engine: str, task: "asyncio.Task[None]") -> None:
        del self._preparing[engine]
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("%s cannot be prepared", engine, exc_info=error)

    def _health_of(self, circuit: _Circuit[EngineT], now: float) -> EngineHealth:
        rest_left_s = 0.0 if circuit.rest_over_at is None else max(0.0, circuit.rest_over_at - now)
        return EngineHealth(
            stage=self.stage,
            engine=circuit.engine.name,
            state="resting" if rest_left_s else "ok",
            failures=circuit.failures,
            passed_over=circuit.passed_over,
            rest_left_s=rest_left_s,
            failing=circuit.rest_over_at is not None,
            counters=circuit.engine.counters if isinstance(circuit.engine, Counting) else {},
        )


class Work(Generic[EngineT]):
    """One piece of work on its way through the engines. Use it so:

        work = order.begin(on_passed_over)
        for attempt in work:
            with attempt as engine:
                return await engine.do_it()
        raise work.failure()

    The `with` ends an `EngineFailed`: the engine rests and the loop goes on with the next. Engines that rest are
    left out, except that a list in which every engine rests is tried whole: no work fails untried.
    """

    def __init__(
        self,
        order: EngineOrder[EngineT],
        circuits: Sequence[_Circuit[EngineT]],
        on_passed_over: OnPassedOver,
    ) -> None:
        self._order = order
        self._circuits = circuits
        self._on_passed_over = on_passed_over
        self._errors: list[tuple[str, EngineFailed]] = []

    def __iter__(self) -> Iterator["Attempt[EngineT]"]:
        resting: list[_Circuit[EngineT]] = []
        none_asked = True
        for circuit in self._circuits:
            if not circuit.may_be_asked(self._order.clock()):
                resting.append(circuit)
                continue
            none_asked = False
            for skipped in resting:
                skipped.passed_over += 1
            resting.clear()
            yield Attempt(self, circuit, self._order.clock)
        if none_asked:
            for circuit in resting:
                yield Attempt(self, circuit, self._order.clock)

    def choosing(self, choice: str | None) -> Iterator[tuple["Attempt[EngineT]", str | None]]:
        """The attempts, each with what `choice` chooses for its engine (see `own_choice`; None: the engine's own).

        Engines that refused their choice are tried once more without it, after all others: to be answered in another
        voice, or by another model, is better than not at all.
        """
        chose = set()
        for attempt in self:
            name = attempt.engine.name
            if own := own_choice(choice or "", name):
                chose.add(name)
            yield attempt, own or None
        refused = {name for name, error in self._errors if error.rest_s == 0.0} & chose
        for circuit in self._circuits:
            if circuit.engine.name in refused:
                yield Attempt(self, circuit, self._order.clock), None

    def failure(self) -> StageFailed:
        """What to raise when no engine did the work: `busy` or `timeout` if that was the reason of every one."""
        errors = [error for _, error in self._errors]
        if all(isinstance(error, EngineBusy) for error in errors):
            code = ErrorCode.BUSY
        elif all(error.timed_out for error in errors):
            code = ErrorCode.TIMEOUT
        else:
            code = _FAILURE_CODES[self._order.stage]
        return self._stage_failed(code)

    def broken_off(self) -> StageFailed:
        """What to raise when work failed that cannot be begun again with another engine."""
        return self._stage_failed(_FAILURE_CODES[self._order.stage])

    def failed_at(self, circuit: _Circuit[EngineT], error: EngineFailed) -> None:
        """Note that `circuit`'s engine did not do it, let it rest, and tell. One that was busy, or asked for no rest
        because only this work was not for it, does not rest."""
        rest_s = 0.0
        if not isinstance(error, EngineBusy):
            rest_s = min(self._order.rest_s if error.rest_s is None else error.rest_s, LONGEST_REST_S)
            circuit.failures += 1
        if rest_s > 0:
            circuit.rests += 1
            circuit.rest_over_at = self._order.clock() + rest_s
        circuit.passed_over += 1
        self._errors.append((circuit.engine.name, error))
        self._on_passed_over(self._order.stage, circuit.engine.name, error.message, rest_s)

    def _stage_failed(self, code: ErrorCode) -> StageFailed:
        reasons = "; ".join(f"{name}: {error.message}" for name, error in self._errors)
        retryable = any(error.retryable for _, error in self._errors)
        return StageFailed(code, self._order.stage, reasons, retryable=retryable)


class Attempt(Generic[EngineT]):
    """One engine's try at one piece of work, as a context manager."""

    def __init__(self, work: Work[EngineT], circuit: _Circuit[EngineT], clock: Clock) -> None:
        self.engine = circuit.engine
        self._work = work
        self._circuit = circuit
        self._clock = clock
        self._rests_at_start = 0
        self._is_trial = False

    def __enter__(self) -> EngineT:
        circuit = self._circuit
        self._rests_at_start = circuit.rests
        self._is_trial = circuit.rest_over_at is not None and circuit.may_be_asked(self._clock())
        if self._is_trial:
            circuit.on_trial = True
        return circuit.engine

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        circuit = self._circuit
        if self._is_trial:
            circuit.on_trial = False
        if error is None:
            # Work that began before the engine was put to rest says nothing about how it is now.
            if circuit.rests == self._rests_at_start:
                circuit.rest_over_at = None
            return True
        if isinstance(error, EngineFailed):
            self._work.failed_at(circuit, error)
            return True
        if isinstance(error, Exception):
            # An adapter maps the errors it knows; one that it did not foresee must not cost the user the answer.
            _log.error("%s failed in an unforeseen way", circuit.engine.name, exc_info=error)
            self._work.failed_at(circuit, EngineFailed(f"unforeseen {type(error).__name__}"))
            return True
        return False
