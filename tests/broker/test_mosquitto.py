"""Our connection on a real Mosquitto."""

from collections.abc import AsyncIterator

import pytest

from tests.conformance.broker import BrokerConformance
from tests.fakes.mosquitto import Mosquitto


class TestMosquitto(BrokerConformance):
    @pytest.fixture
    async def broker(self) -> AsyncIterator[Mosquitto]:
        async with Mosquitto() as broker:
            yield broker

    @pytest.fixture
    async def locked_broker(self) -> AsyncIterator[Mosquitto]:
        async with Mosquitto(password="right:/#") as broker:
            yield broker
