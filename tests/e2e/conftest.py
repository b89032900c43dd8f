"""A whole gateway with a real broker, a real database and a real provider API, in this process."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from gateway.app import Gateway
from gateway.config import Settings
from gateway.device import SoftwareDevice
from gateway.settings_sources import load_settings
from tests.conformance.openai_failures import openai_environment
from tests.e2e.speech import hear_numbers
from tests.fakes.mosquitto import Mosquitto
from tests.fakes.openai_server import OpenAIServer

__all__ = ["openai_environment"]

StartGateway = Callable[..., Awaitable[Gateway]]
StartDevice = Callable[..., Awaitable[SoftwareDevice]]


@pytest.fixture
async def provider(openai_environment: pytest.MonkeyPatch) -> AsyncIterator[OpenAIServer]:
    """The server of all three engines. It hears `question N` in `spoken(N)` and answers `answer to <question>`."""
    async with OpenAIServer() as server:
        openai_environment.setenv("OPENAI_BASE_URL", server.base_url)
        server.transcriptions.answer = hear_numbers
        server.chat.answer = lambda request: f"Answer to {request.json['messages'][-1]['content']}."
        yield server


@pytest.fixture(params=["mosquitto", "embedded"])
async def broker_url(request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """A private Mosquitto, or the broker inside the gateway."""
    if request.param == "embedded":
        yield "embedded://127.0.0.1:0"
    else:
        async with Mosquitto() as mosquitto:
            yield mosquitto.url


@pytest.fixture
def settings(provider: OpenAIServer, tmp_path: Path) -> Callable[..., Settings]:
    """Makes settings: all engines of `provider`, data in a folder of this test; given values come first."""

    def make(**given: Any) -> Settings:
        values = {"stt": "openai", "llm": "openai", "tts": "openai", "language": "en", "data_dir": tmp_path}
        values["web"] = "off"
        # The questions of these tests are told apart by how much silence they end with, and who speculates does not
        # wait for that.
        values["speculation"] = "off"
        return load_settings(values | given, {}, None).settings

    return make


@pytest.fixture
async def start_gateway(settings: Callable[..., Settings]) -> AsyncIterator[StartGateway]:
    """Starts a gateway with the settings given, and ends it with the test."""
    async with AsyncExitStack() as stack:

        async def start(**given: Any) -> Gateway:
            gateway = await stack.enter_async_context(Gateway(settings(**given)))
            await gateway.wait_connected(10)
            return gateway

        yield start


@pytest.fixture
async def start_device() -> AsyncIterator[StartDevice]:
    """Connects a device to a gateway's broker, and ends it with the test."""
    async with AsyncExitStack() as stack:

        async def start(gateway: Gateway, spelling: str = "a4cf128b3f9e", **options: Any) -> SoftwareDevice:
            url = f"mqtt://{gateway.broker_url.address}"
            return await stack.enter_async_context(SoftwareDevice(url, spelling, **options))

        yield start
