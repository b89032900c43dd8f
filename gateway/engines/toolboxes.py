"""The toolboxes of a run: what of them a device may use, and how often it was used."""

import asyncio
import logging
from collections.abc import Sequence
from fnmatch import fnmatchcase
from functools import partial
from typing import Any, Final

from gateway.engines.closing import close_all
from gateway.engines.protocols import Preparable, ToolSpec
from gateway.engines.tools.protocol import Toolbox, ToolContext
from gateway.engines.turn_tools import CallCounts, TurnTools

FUNCTIONS_MAX: Final = 64
"""Functions that a chat model is told of; the rest is left out, and counted. Many servers refuse more than 128, and a
model chooses worse the more there are."""
UNKNOWN: Final = "unknown"
"""Under this name calls of functions that do not exist are counted: models make up names without end."""

_log = logging.getLogger(__name__)


class Toolboxes:
    """Several toolboxes, all started, as one."""

    def __init__(self, toolboxes: Sequence[Toolbox] = (), *, timeout_s: float = 8.0) -> None:
        """`timeout_s` limits each call."""
        self.toolboxes = tuple(toolboxes)
        self._timeout_s = timeout_s
        self._counts: dict[str, CallCounts] = {}
        self._preparing: dict[str, asyncio.Task[None]] = {}
        self._told_left_out = 0
        self.left_out = 0
        """How often a function was not offered in a turn, as there were too many or one of that name already."""

    def for_turn(self, allowed: Sequence[str] | None, context: ToolContext) -> TurnTools:
        """Return what may be done in a turn of the device `context`, once `TurnTools.allow` is called.

        `allowed` names toolboxes or functions, as they are or as patterns (`home_*`); None: all.
        """

        def may_use(*names: str) -> bool:
            return allowed is None or any(fnmatchcase(name, pattern) for name in names for pattern in allowed)

        functions: dict[str, tuple[Toolbox, ToolSpec]] = {}
        left_out = 0
        for toolbox in self.toolboxes:
            for spec in toolbox.specs:
                if not may_use(toolbox.name, spec.name):
                    continue
                if spec.name in functions or len(functions) >= FUNCTIONS_MAX:
                    left_out += 1
                    continue
                functions[spec.name] = (toolbox, spec)
        if left_out and left_out != self._told_left_out:
            _log.warning("%d functions of the tools are left out: more than %d, or twice", left_out, FUNCTIONS_MAX)
        self._told_left_out = left_out
        self.left_out += left_out
        return TurnTools(functions, may_use, context, self._timeout_s, self._counts_of)

    def prepare(self) -> None:
        """Somebody begins to speak: let each toolbox prepare itself, in the background, unless it still does."""
        for toolbox in self.toolboxes:
            if isinstance(toolbox, Preparable) and toolbox.name not in self._preparing:
                task = asyncio.create_task(toolbox.prepare(), name=f"prepare {toolbox.name}")
                self._preparing[toolbox.name] = task
                task.add_done_callback(partial(self._prepared, toolbox.name))

    def report(self) -> list[dict[str, Any]]:
        """What was called how often, for the statistics."""
        return [
            {"name": name, "calls": one.calls, "failed": one.failed, "repeated": one.repeated}
            for name, one in sorted(self._counts.items())
        ]

    async def close(self) -> None:
        """Close every toolbox, also when closing one of them fails."""
        for task in tuple(self._preparing.values()):
            task.cancel()
            await asyncio.wait({task})
        await close_all(toolbox.close() for toolbox in self.toolboxes)

    def _counts_of(self, name: str) -> CallCounts:
        return self._counts.setdefault(name or UNKNOWN, CallCounts())

    def _prepared(self, toolbox: str, task: "asyncio.Task[None]") -> None:
        del self._preparing[toolbox]
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("the tools of %s cannot be prepared", toolbox, exc_info=error)
