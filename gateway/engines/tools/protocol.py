"""What a toolbox is: some functions that a chat model may call while it answers.

A toolbox is plugged in like an engine: a class with `from_settings(settings)`, named by an entry point of the group
`mqtt_voice_gateway.tools`. Constructors only store; `start()` raises `ConfigurationError` when it cannot work as
configured, but a server that is merely not there yet is no reason. One toolbox serves many devices at once, and
blocking code never runs on the event loop.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from gateway.engines.protocols import Checkable, Engine, ToolSpec


@dataclass(frozen=True, slots=True)
class ToolContext:
    """For whom a function is called: the device, what it is called, the language that is spoken with it (`es`), and
    local time with its zone."""

    device: str
    name: str
    language: str
    now: datetime


class Toolbox(Engine, Checkable, Protocol):
    """Functions under one name. One with `prepare()` is told when a device begins to speak, as an engine is."""

    @property
    def specs(self) -> Sequence[ToolSpec]:
        """The functions that there are now, by names that no other toolbox uses. Asked for at every turn."""
        ...

    async def call(self, function: str, arguments: Mapping[str, Any], context: ToolContext) -> str:
        """Do it, and return what the model is to know of it, in words or JSON. It may be cancelled at any moment.

        Raises:
            ToolFailed: it cannot be done; the message, which the model is told, says why.
        """
        ...
