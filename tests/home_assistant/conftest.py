"""One Home Assistant for the tests of a module, with a whole gateway, its broker and its providers."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from gateway.app import Gateway
from gateway.device import SoftwareDevice
from gateway.settings_sources import load_settings
from tests.conformance.openai_failures import KEY
from tests.e2e.onlooker import Onlooker
from tests.fakes.mosquitto import Mosquitto
from tests.fakes.openai_server import Audio, OpenAIServer, tone
from tests.home_assistant.examples import automations
from tests.home_assistant.home_assistant import VERSIONS, HomeAssistant

SOUND = Audio(tone(0.2), "audio/pcm")
"""What every piece of an answer sounds like: nobody waits for it."""
SETTINGS = {
    "stt": "openai", "llm": "openai", "tts": "openai", "language": "en", "speculation": "off", "web": "off",
    "stats_interval_s": 0.1, "personas": {"butler": {"system_prompt": "You are a butler."}, "pirate": {"name": "Jack"}},
}  # fmt: skip


@dataclass(frozen=True)
class House:
    """Everything that a house has."""

    home: HomeAssistant
    gateway: Gateway
    provider: OpenAIServer
    onlooker: Onlooker
    board: Callable[..., Awaitable[SoftwareDevice]]
    """Connects a software device, until the end of the module."""


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=VERSIONS)
async def house(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    async with AsyncExitStack() as stack:
        broker = await stack.enter_async_context(Mosquitto())
        provider = await stack.enter_async_context(OpenAIServer())
        provider.transcriptions.answer = "What time is it?"
        provider.chat.answer = "It is noon."
        provider.speech.answer = SOUND
        data: Path = tmp_path_factory.mktemp("data")
        settings = load_settings({**SETTINGS, "mqtt_url": broker.url, "data_dir": data}, {}, None).settings
        home = await stack.enter_async_context(HomeAssistant(request.param, broker.port, automations()))
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("OPENAI_API_KEY", KEY)
            environment.setenv("OPENAI_BASE_URL", provider.base_url)
            gateway = await stack.enter_async_context(Gateway(settings))
        await gateway.wait_connected(20)
        onlooker = await stack.enter_async_context(Onlooker(broker.url, "voice/#", "homeassistant/#"))

        async def board(spelling: str, **options: Any) -> SoftwareDevice:
            return await stack.enter_async_context(SoftwareDevice(broker.url, spelling, **options))

        yield House(home, gateway, provider, onlooker, board)
