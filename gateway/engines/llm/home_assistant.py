"""Home Assistant's conversation agent as a chat engine: it does what it is told, and knows nothing else.

Before another engine in the list (`home-assistant,openai`): what it does not understand is the next one's.
"""

from collections.abc import AsyncGenerator
from typing import Final, Self

from gateway.config import Settings
from gateway.engines.home_assistant_client import HomeAssistantClient, open_home_assistant
from gateway.engines.protocols import ChatRequest
from gateway.errors import EngineFailed, ToolFailed

NOT_UNDERSTOOD: Final = "not understood: "


class HomeAssistantChat:
    """Hands each question to the agent, by itself: what was said before is not told."""

    name = "home-assistant"

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._client: HomeAssistantClient | None = None

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        return cls(settings)

    @property
    def description(self) -> str:
        return f"home-assistant {self._client.server if self._client else ''}".rstrip()

    async def start(self) -> None:
        self._client = open_home_assistant(self._settings)

    async def check(self) -> str:
        assert self._client is not None, "check() before start()"
        await self._client.check()
        return "the token is taken"

    async def prepare(self) -> None:
        if self._client is not None:
            await self._client.connect_ahead()

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()

    async def reply(self, request: ChatRequest) -> AsyncGenerator[str]:
        """Let the agent do what the newest question says, and answer what it answers.

        Raises:
            EngineFailed: it cannot be asked, or did not understand.
        """
        client = self._client
        assert client is not None, "reply() before start()"
        question = request.messages[-1].text

        async def converse() -> str:
            understood, answer = await client.converse(question, request.language, self._settings.home_assistant_agent)
            if not understood:
                raise ToolFailed(f"{NOT_UNDERSTOOD}{answer}")
            return answer

        # Like a tool: it may act, so the question must be whole, and the same is not done twice.
        yield ""
        try:
            if request.tools is None:
                answer = await converse()
            else:
                answer = await request.tools.perform(self.name, {"text": question}, converse)
        except ToolFailed as error:
            unfit = str(error).startswith(NOT_UNDERSTOOD)
            raise EngineFailed(str(error), rest_s=0.0 if unfit else None) from error
        if answer:
            yield answer
