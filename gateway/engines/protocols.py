"""The three seams behind which engines are plugged in.

Constructors only store; `start()` loads models and opens connections, and raises `ConfigurationError` when the
engine cannot work as configured. Work that fails raises `EngineFailed`; cancellation is never swallowed. An engine
serves many devices at once, and blocking code never runs on the event loop.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from gateway.audio import Pcm
from gateway.values import Message, Transcript


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A function that a chat model may call: `parameters` is the JSON schema of its arguments, an object. One that
    `acts` changes something in the world; all others may be called again without harm."""

    name: str
    description: str
    parameters: Mapping[str, Any]
    acts: bool = False


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call of a function that has ended; `ms` is how long it took. `arguments` and `result` are private: they hold
    what a person said."""

    name: str
    ok: bool
    ms: int
    arguments: str
    result: str


OnCalled = Callable[[ToolCall], None]


class Tools(Protocol):
    """What may be done for one turn; see `gateway.engines.turn_tools`."""

    @property
    def specs(self) -> Sequence[ToolSpec]: ...

    def allow(self, on_called: OnCalled) -> None:
        """The question is whole: let calls be done from now on, and tell `on_called` of each."""
        ...

    async def call(self, name: str, arguments: str) -> str:
        """Call the function `name` with `arguments`, a JSON object, and return what the model is to know of it. What
        goes wrong is told there too: it never raises for it."""
        ...

    async def perform(self, name: str, arguments: Mapping[str, Any], work: Callable[[], Awaitable[str]]) -> str:
        """Do `work` of an engine's own as if it were the function `name`: once a turn, and not before it may be done.

        Raises:
            ToolFailed: it may not be done, or failed.
        """
        ...


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """What a chat model answers: the system prompt and the conversation, the new question last."""

    messages: tuple[Message, ...]
    language: str
    now: datetime
    """Local time, with its zone."""
    tools: Tools | None = field(default=None, compare=False)
    """What the model may do; None: nothing but answer."""
    model: str | None = None
    """The model that is to answer; None: the engine's own."""
    max_tokens: int | None = None
    """Longest answer, in tokens; None: the engine's own."""


class Engine(Protocol):
    """What every engine has."""

    name: str

    @property
    def description(self) -> str:
        """For the banner and `voice-gateway engines`: model, voice, where it runs. No secrets."""
        ...

    async def start(self) -> None: ...

    async def close(self) -> None: ...


@runtime_checkable
class Preparable(Protocol):
    """An engine that can do something ahead of its next work: one behind a network opens the connection."""

    async def prepare(self) -> None:
        """Called when a device begins to speak, often in vain. Never raises for what goes wrong."""
        ...


@runtime_checkable
class Counting(Protocol):
    """An engine that counts what it does, for the statistics."""

    @property
    def counters(self) -> Mapping[str, int]:
        """Names in snake case; counts since the start."""
        ...


@runtime_checkable
class Checkable(Protocol):
    """An engine that can be tried without doing what it is for: one that acts, say."""

    async def check(self) -> str:
        """Try it, without changing anything, and say in a few words what it can do, for `voice-gateway doctor`.

        Raises:
            ToolFailed: it does not work now.
        """
        ...


class SpeechToText(Engine, Protocol):
    local: bool
    """Whether it recognises on this machine, where to do so in vain costs nothing but time. One behind a network is
    asked by `speculation = auto` for nothing that may turn out to be of no use: it may have a price."""

    async def transcribe(self, speech: NDArray[np.float32], language: str | None) -> Transcript:
        """Recognise `speech`: mono, shape (n,), -1..1, 16 kHz. `language` None means: detect it.

        The text is empty when nobody speaks.
        """
        ...


class ChatModel(Engine, Protocol):
    def reply(self, request: ChatRequest) -> AsyncIterator[str]:
        """Answer, as the text comes: pieces of any length, to be joined without anything between.

        An empty piece before any text says that tools are at work: from then on the whole answer's time limit is the
        only one.
        """
        ...


class TextToSpeech(Engine, Protocol):
    def voice(self, language: str, wanted: str | None = None) -> str:
        """The voice used for `language` where `wanted` is asked for; with the engine's name and the text it names the
        audio (for caching)."""
        ...

    def speak(self, text: str, language: str, voice: str | None = None) -> AsyncIterator[Pcm]:
        """Speak `text`, as the audio comes, in `voice`; None: in the engine's own. One sample rate throughout.

        A voice that the engine does not have is an `EngineFailed` with `rest_s` 0: the engine is well.
        """
        ...
