"""What the chat model may do within one turn, and what becomes of each call.

However the answer comes about (a model that is asked again, another one after it, a speculation that turns out right),
the same thing is done once, and nothing before the end of the question is certain.
"""

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from gateway.engines.protocols import OnCalled, ToolCall, ToolSpec
from gateway.engines.tools.protocol import Toolbox, ToolContext
from gateway.errors import ToolFailed

CALLS_MAX: Final = 16
"""Different calls in one turn."""
ARGUMENTS_MAX: Final = 16_384
"""Characters of the arguments of a call."""
RESULT_MAX: Final = 4_000
"""Characters of a result that the model is told, some thousand tokens."""

_log = logging.getLogger(__name__)
_MAY_BE_DONE: Final = "it was interrupted, and may have been done or not"


@dataclass(slots=True)
class CallCounts:
    """Calls of one function, over all devices."""

    calls: int = 0
    failed: int = 0
    repeated: int = 0
    """Asked for again in the same turn, and not done again."""


@dataclass(frozen=True, slots=True)
class _Known:
    """A call that was begun in this turn: `text` will be what became of it, and whether it worked."""

    acts: bool
    outcome: "asyncio.Future[tuple[bool, str]]" = field(default_factory=lambda: asyncio.Future())


class TurnTools:
    """The functions of one turn. Calls wait until `allow` says that what they answer has been said to the end."""

    def __init__(
        self,
        functions: Mapping[str, tuple[Toolbox, ToolSpec]],
        may_use: Callable[[str], bool],
        context: ToolContext,
        timeout_s: float,
        counts: Callable[[str], CallCounts],
    ) -> None:
        """`functions` are those that may be called, by name; `may_use` says it of an engine's own; `timeout_s` limits
        each call."""
        self._functions = functions
        self._may_use = may_use
        self._context = context
        self._timeout_s = timeout_s
        self._counts = counts
        self._allowed = asyncio.Event()
        self._on_called: OnCalled | None = None
        self._known: dict[str, _Known] = {}
        self._begun = 0

    @property
    def specs(self) -> Sequence[ToolSpec]:
        return tuple(spec for _, spec in self._functions.values())

    def allow(self, on_called: OnCalled) -> None:
        """The question is whole: let calls be done from now on, and tell `on_called` of each."""
        self._on_called = on_called
        self._allowed.set()

    async def call(self, name: str, arguments: str) -> str:
        """Call a function, and return what the model is to know of it: also when there is no such function, when the
        arguments are no JSON object, and when it failed or took too long."""
        try:
            if name not in self._functions:
                raise ToolFailed(f"there is no function {name!r}; there are: {', '.join(self._functions) or 'none'}")
            given = _object(arguments)
        except ToolFailed as error:
            self._refuse(name if name in self._functions else "", str(error))
            return f"error: {error}"
        toolbox, spec = self._functions[name]
        ok, text = await self._once(spec.name, spec.acts, given, lambda: toolbox.call(name, given, self._context))
        return text if ok else f"error: {text}"

    async def perform(self, name: str, arguments: Mapping[str, Any], work: Callable[[], Awaitable[str]]) -> str:
        """Do `work` of an engine's own as the function `name`, which acts.

        Raises:
            ToolFailed: the device may not use it, or it failed.
        """
        if not self._may_use(name):
            raise ToolFailed(f"this device may not use {name}")
        ok, text = await self._once(name, True, arguments, work)
        if not ok:
            raise ToolFailed(text)
        return text

    async def _once(
        self, name: str, acts: bool, arguments: Mapping[str, Any], work: Callable[[], Awaitable[str]]
    ) -> tuple[bool, str]:
        """Do `work`, or wait for what became of it where the same was begun in this turn."""
        key = f"{name} {json.dumps(arguments, sort_keys=True, ensure_ascii=False, default=str)}"
        counts = self._counts(name)
        if (known := self._known.get(key)) is not None:
            counts.repeated += 1
            return await asyncio.shield(known.outcome)
        if len(self._known) >= CALLS_MAX or self._begun >= CALLS_MAX:
            reason = f"no more than {CALLS_MAX} calls for one question"
            self._refuse(name, reason)
            return False, reason
        self._known[key] = mine = _Known(acts)
        begun = False
        try:
            await self._allowed.wait()
            begun = True
            self._begun += 1
            counts.calls += 1
            began = time.monotonic()
            ok, text = await self._timed(name, work)
        except BaseException:
            mine.outcome.set_result((False, _MAY_BE_DONE))
            if not (acts and begun):
                self._known.pop(key, None)
            raise
        counts.failed += not ok
        text = _shortened(text)
        mine.outcome.set_result((ok, text))
        if acts:
            # What was read before may be otherwise now.
            self._known = {key: call for key, call in self._known.items() if call.acts}
        if self._on_called is not None:
            spent = round((time.monotonic() - began) * 1000)
            self._on_called(ToolCall(name, ok, spent, json.dumps(dict(arguments), ensure_ascii=False), text))
        return ok, text

    async def _timed(self, name: str, work: Callable[[], Awaitable[str]]) -> tuple[bool, str]:
        try:
            async with asyncio.timeout(self._timeout_s) as limit:
                return True, await work()
        except TimeoutError:
            if not limit.expired():
                raise
            return False, f"no answer within {self._timeout_s:g} s: it may have been done or not"
        except ToolFailed as error:
            return False, str(error)
        except Exception as error:
            # One that a toolbox did not foresee must not cost the person the answer.
            _log.exception("the tool %s failed in an unforeseen way", name)
            return False, f"unforeseen {type(error).__name__}"

    def _refuse(self, name: str, reason: str) -> None:
        """Count and tell a call that is not even begun; `name` is empty for a function that does not exist."""
        counts = self._counts(name)
        counts.calls += 1
        counts.failed += 1
        if self._on_called is not None:
            self._on_called(ToolCall(name or "unknown", False, 0, "", reason))


def _object(arguments: str) -> dict[str, Any]:
    """Read the arguments of a call, which some models leave out when there are none.

    Raises:
        ToolFailed: they are too long, or no JSON object.
    """
    if len(arguments) > ARGUMENTS_MAX:
        raise ToolFailed(f"the arguments are longer than {ARGUMENTS_MAX} characters")
    try:
        given = json.loads(arguments.strip() or "{}")
    except (ValueError, RecursionError):
        given = None
    if not isinstance(given, dict):
        raise ToolFailed("the arguments are no JSON object")
    return given


def _shortened(text: str) -> str:
    return text if len(text) <= RESULT_MAX else f"{text[:RESULT_MAX]}… (cut off: {len(text)} characters)"
