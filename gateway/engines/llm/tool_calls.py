"""The calls of functions in a streamed answer of the chat completions API, put together from their pieces."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from openai.types.chat.chat_completion_chunk import ChoiceDeltaToolCall

from gateway.engines.protocols import ToolSpec
from gateway.engines.turn_tools import ARGUMENTS_MAX

CALLS_AT_ONCE: Final = 8
"""Calls of one round; a model that wants more is not told of the rest, and may ask again."""


@dataclass(slots=True)
class PendingCall:
    """A call as far as it has come."""

    id: str
    name: str = ""
    arguments: str = ""


@dataclass(slots=True)
class ToolCalls:
    """The calls of one round, in their order."""

    calls: list[PendingCall] = field(default_factory=list)
    ignored: int = 0
    """Calls that were too many."""
    _by_index: dict[int, PendingCall] = field(default_factory=dict)

    def add(self, pieces: Iterable[ChoiceDeltaToolCall]) -> None:
        """Take what a chunk brings of them."""
        for piece in pieces:
            call = self._by_index.get(piece.index)
            # Some servers number every call 0; a new id is a new call all the same.
            if call is None or (piece.id and piece.id != call.id and call.name):
                call = PendingCall(piece.id or f"call_{len(self.calls)}")
                self._by_index[piece.index] = call
                if len(self.calls) < CALLS_AT_ONCE:
                    self.calls.append(call)
                else:
                    self.ignored += 1
            if piece.function is not None:
                call.name = call.name or piece.function.name or ""
                if len(call.arguments) <= ARGUMENTS_MAX:
                    call.arguments += piece.function.arguments or ""

    def said(self, text: str) -> dict[str, Any]:
        """The message of the model that makes these calls, after it has said `text`."""
        calls = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": _json(call.arguments)}}
            for call in self.calls
        ]
        return {"role": "assistant", "content": text or None, "tool_calls": calls}


def _json(arguments: str) -> str:
    """`arguments` as servers take them back, some of which refuse a whole conversation for what is no JSON in it."""
    try:
        json.loads(arguments)
    except (ValueError, RecursionError):
        return "{}"
    return arguments


def offered(specs: Iterable[ToolSpec]) -> list[dict[str, Any]]:
    """The functions as the API wants them."""
    return [
        {
            "type": "function",
            "function": {"name": spec.name, "description": spec.description, "parameters": dict(spec.parameters)},
        }
        for spec in specs
    ]
