"""Chat by any server that speaks OpenAI's chat completions: OpenAI, Ollama, llama.cpp, vLLM, …"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Iterable, Mapping
from typing import Any, Final, Self, cast

import openai
from openai.types.chat import (
    ChatCompletionChunk,
    ChatCompletionFunctionToolParam,
    ChatCompletionMessageParam,
)

from gateway.config import Settings
from gateway.engines.choice import own_choice
from gateway.engines.llm.tool_calls import ToolCalls, offered
from gateway.engines.openai_client import Client, errors_mapped, open_client, quoted, server_name
from gateway.engines.protocols import ChatRequest, Tools
from gateway.errors import EngineFailed

DEFAULT_MODEL = "gpt-4o-mini"
ROUNDS_MAX: Final = 4
"""How often a model may call functions for one answer; then it has to make do with what it has been told."""
_REFUSALS_MAX: Final = 256
"""Models, each with the functions that it was offered, that are remembered to refuse functions."""
_DISPENSABLE: Final = frozenset({"max_tokens", "temperature"})
"""Parameters that OpenAI's newer models refuse; the first has another name there."""

_log = logging.getLogger(__name__)


class OpenAIChat:
    """Streams answers. A model that wants other parameters, or no functions, is asked again once for each, and this
    is remembered."""

    name = "openai"

    def __init__(self, *, model: str, max_tokens: int, temperature: float, timeout_s: float) -> None:
        """`timeout_s` limits the wait for the connection and for each piece of the answer."""
        self._model = model
        self._max_tokens = max_tokens
        self._temperature = temperature
        self._timeout_s = timeout_s
        self._client: Client | None = None
        self._unwanted: dict[str, frozenset[str]] = {}
        """The parameters that a model refuses. As many models as operators have named."""
        self._refused: dict[tuple[str, frozenset[str]], None] = {}
        self._without_tools = 0
        self._calls_ignored = 0

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        return cls(
            model=own_choice(settings.llm_model, cls.name) or DEFAULT_MODEL,
            max_tokens=settings.llm_max_tokens,
            temperature=settings.llm_temperature,
            timeout_s=settings.llm_first_token_s,
        )

    @property
    def description(self) -> str:
        return f"openai {self._model} {server_name(self._client)}".rstrip()

    @property
    def counters(self) -> Mapping[str, int]:
        """Answers for which functions were there and the model did not take them; and calls that were too many at
        once. Empty while there were none."""
        counted = {"without_tools": self._without_tools, "calls_ignored": self._calls_ignored}
        return counted if any(counted.values()) else {}

    async def start(self) -> None:
        self._client = await open_client(timeout_s=self._timeout_s)

    async def prepare(self) -> None:
        if self._client is not None:
            await self._client.connect_ahead()

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()

    async def reply(self, request: ChatRequest) -> AsyncGenerator[str]:
        """Answer, as the text comes, calling functions in between as the model wants. Closing the iterator closes the
        connection, so that the server stops too.

        Raises:
            EngineFailed: the server cannot be reached, refuses, breaks off or answers nothing.
        """
        client = self._client
        assert client is not None, "reply() before start()"
        messages: list[dict[str, Any]] = [{"role": one.role, "content": one.text} for one in request.messages]
        empty = True
        for rounds_left in range(ROUNDS_MAX, -1, -1):
            calls, text = ToolCalls(), ""
            with errors_mapped(client, chosen=request.model is not None):
                stream = await self._open(client, messages, request, last=rounds_left == 0)
                async with stream:
                    async for chunk in stream:
                        # The last chunk of some servers has figures only, and no choice.
                        delta = chunk.choices[0].delta if chunk.choices else None
                        if delta is None:
                            continue
                        calls.add(delta.tool_calls or ())
                        if delta.content:
                            empty = False
                            text += delta.content
                            yield delta.content
            self._calls_ignored += calls.ignored
            if not calls.calls or request.tools is None or rounds_left == 0:
                break
            # What was said before is one sentence, what comes after another.
            yield " " if text else ""
            messages += await _called(request.tools, calls, text)
        if empty:
            raise EngineFailed(f"{request.model or self._model} answered nothing")

    async def _open(
        self, client: openai.AsyncOpenAI, messages: list[dict[str, Any]], request: ChatRequest, *, last: bool
    ) -> openai.AsyncStream[ChatCompletionChunk]:
        """Ask, and once more for each parameter that the model refuses. In the `last` round no function is called."""
        model = request.model or self._model
        tokens = request.max_tokens or self._max_tokens
        specs = request.tools.specs if request.tools is not None else ()
        offer = (model, frozenset(spec.name for spec in specs))
        if specs and offer in self._refused:
            self._without_tools += 1
            specs = ()
        while True:
            with_tools = cast(Iterable[ChatCompletionFunctionToolParam], offered(specs)) if specs else openai.omit
            unwanted = self._unwanted.get(model, frozenset())
            try:
                return await client.chat.completions.create(
                    model=model,
                    messages=cast(list[ChatCompletionMessageParam], messages),
                    stream=True,
                    max_tokens=openai.omit if "max_tokens" in unwanted else tokens,
                    max_completion_tokens=tokens if "max_tokens" in unwanted else openai.omit,
                    temperature=openai.omit if "temperature" in unwanted else self._temperature,
                    tools=with_tools,
                    tool_choice="none" if specs and last else openai.omit,
                )
            except openai.APIStatusError as error:
                if isinstance(error, openai.BadRequestError) and self._adapt(model, error):
                    continue
                if not specs or not _is_about_tools(error):
                    raise
                self._remember_refusal(offer, quoted(error, client))
                specs = ()

    def _adapt(self, model: str, error: openai.BadRequestError) -> bool:
        """Do without the parameter that OpenAI's newer models refuse, if that is what `error` is about."""
        unwanted = self._unwanted.get(model, frozenset())
        if error.param is None or error.param not in _DISPENSABLE - unwanted:
            return False
        self._unwanted[model] = unwanted | {error.param}
        _log.info("%s refuses the parameter %s; asking without it from now on", model, error.param)
        return True

    def _remember_refusal(self, offer: tuple[str, frozenset[str]], said: str) -> None:
        """This model is asked without these functions from now on; with others it is tried again."""
        while len(self._refused) >= _REFUSALS_MAX:
            self._refused.pop(next(iter(self._refused)))
        self._refused[offer] = None
        self._without_tools += 1
        model, names = offer
        _log.warning("%s takes no tools (%s), and is asked without: %s", model, ", ".join(sorted(names)), said)


async def _called(tools: Tools, calls: ToolCalls, text: str) -> list[dict[str, Any]]:
    """Call what the model wants, all at the same time, and return what it is to read next."""
    async with asyncio.TaskGroup() as group:
        results = [
            group.create_task(tools.call(call.name, call.arguments), name=f"call {call.name}") for call in calls.calls
        ]
    return [
        calls.said(text),
        *(
            {"role": "tool", "tool_call_id": call.id, "content": result.result()}
            for call, result in zip(calls.calls, results, strict=True)
        ),
    ]


def _is_about_tools(error: openai.APIStatusError) -> bool:
    """Whether a server refuses the functions: Ollama says 400, OpenRouter 404, llama.cpp 500, none with a code."""
    if error.status_code in (401, 403, 429) or error.code == "context_length_exceeded":
        return False
    return "tool" in f"{error.param or ''} {error.message}".lower()
