from collections.abc import AsyncIterator

import pytest

from tests.conformance.openai_failures import openai_environment
from tests.fakes.openai_server import OpenAIServer

__all__ = ["openai_environment"]


@pytest.fixture
async def server(openai_environment: pytest.MonkeyPatch) -> AsyncIterator[OpenAIServer]:
    """A server, with the library's variables set to it."""
    async with OpenAIServer() as server:
        openai_environment.setenv("OPENAI_BASE_URL", server.base_url)
        yield server
