"""A whole gateway that serves the page: a real broker, a real database, a real provider API, in this process."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest

from gateway.app import Gateway
from gateway.config import Settings
from tests.e2e.conftest import openai_environment, provider, settings, start_device
from tests.fakes.mosquitto import Mosquitto

__all__ = ["openai_environment", "provider", "settings", "start_device"]

PATIENCE_S = 20.0


@dataclass(frozen=True, slots=True)
class Site:
    """A gateway and a client of its page."""

    gateway: Gateway
    http: httpx2.AsyncClient

    @property
    def url(self) -> str:
        assert self.gateway.page_url is not None
        return self.gateway.page_url


StartSite = Callable[..., Awaitable[Site]]


@pytest.fixture(autouse=True)
def patient_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """A turn that has waited for a slow database goes on without; here the machine may be slow, and what is asked of
    the database is what is tested."""
    monkeypatch.setattr("gateway.store.worker.PATIENCE_S", PATIENCE_S)


@pytest.fixture
async def broker() -> AsyncIterator[Mosquitto]:
    async with Mosquitto() as mosquitto:
        yield mosquitto


@pytest.fixture
async def start_site(settings: Callable[..., Settings], broker: Mosquitto) -> AsyncIterator[StartSite]:
    """Starts a gateway with the settings given, whose page is at a free port."""
    async with AsyncExitStack() as stack:

        async def start(**given: Any) -> Site:
            values = {"web": "127.0.0.1:0", "mqtt_url": broker.url} | given
            gateway = await stack.enter_async_context(Gateway(settings(**values)))
            await gateway.wait_connected(PATIENCE_S)
            assert gateway.page_url is not None
            http = httpx2.AsyncClient(base_url=gateway.page_url, timeout=PATIENCE_S, trust_env=False)
            return Site(gateway, await stack.enter_async_context(http))

        yield start


@pytest.fixture
async def site(start_site: StartSite) -> Site:
    return await start_site()
