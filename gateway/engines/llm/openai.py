"""Chat by any server that speaks OpenAI's chat completions: OpenAI, Ollama, llama.cpp, vLLM, …"""

import logging
from collections.abc import AsyncGenerator
from typing import Self, cast

import openai
from openai.types.chat import ChatCompletionChunk, ChatCompletionMessageParam

from gateway.config import Settings
from gateway.engines.choice import own_choice
from gateway.engines.openai_client import Client, errors_mapped, open_client, server_name
from gateway.engines.protocols import ChatRequest
from gateway.errors import EngineFailed

DEFAULT_MODEL = "gpt-4o-mini"

_log = logging.getLogger(__name__)


class OpenAIChat:
    """Streams answers. A model that wants other parameters is asked again once for each, and this is remembered."""

    name = "openai"

    def __init__(self, *, model: str, max_tokens: int, temperature: float, timeout_s: float) -> None:
        """`timeout_s` limits the wait for the connection and for each piece of the answer."""
        self._model = model
        self._max_tokens: int | openai.Omit = max_tokens
        self._max_completion_tokens: int | openai.Omit = openai.omit
        self._temperature: float | openai.Omit = temperature
        self._timeout_s = timeout_s
        self._client: Client | None = None

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

    async def start(self) -> None:
        self._client = await open_client(timeout_s=self._timeout_s)

    async def prepare(self) -> None:
        if self._client is not None:
            await self._client.connect_ahead()

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()

    async def reply(self, request: ChatRequest) -> AsyncGenerator[str]:
        """Answer, as the text comes. Closing the iterator closes the connection, so that the server stops too.

        Raises:
            EngineFailed: the server cannot be reached, refuses, breaks off or answers nothing.
        """
        client = self._client
        assert client is not None, "reply() before start()"
        empty = True
        with errors_mapped(client):
            stream = await self._open(client, request)
            async with stream:
                async for chunk in stream:
                    # The last chunk of some servers has figures only, and no choice.
                    text = chunk.choices[0].delta.content if chunk.choices else None
                    if text:
                        empty = False
                        yield text
        if empty:
            raise EngineFailed(f"{self._model} answered nothing")

    async def _open(self, client: openai.AsyncOpenAI, request: ChatRequest) -> openai.AsyncStream[ChatCompletionChunk]:
        """Ask, and once more for each parameter that the model refuses."""
        messages = [{"role": message.role, "content": message.text} for message in request.messages]
        while True:
            try:
                return await client.chat.completions.create(
                    model=self._model,
                    messages=cast(list[ChatCompletionMessageParam], messages),
                    stream=True,
                    max_tokens=self._max_tokens,
                    max_completion_tokens=self._max_completion_tokens,
                    temperature=self._temperature,
                )
            except openai.BadRequestError as error:
                if not self._adapt(error):
                    raise

    def _adapt(self, error: openai.BadRequestError) -> bool:
        """Do without the parameter that OpenAI's newer models refuse, if that is what `error` is about."""
        if error.param == "max_tokens" and not isinstance(self._max_tokens, openai.Omit):
            self._max_completion_tokens, self._max_tokens = self._max_tokens, openai.omit
        elif error.param == "temperature" and not isinstance(self._temperature, openai.Omit):
            self._temperature = openai.omit
        else:
            return False
        _log.info("%s refuses the parameter %s; asking without it from now on", self._model, error.param)
        return True
