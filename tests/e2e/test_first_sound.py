"""What is done for the first sound of an answer to come soon, with a whole gateway and a real provider API."""

import asyncio

from tests.e2e.conftest import StartDevice, StartGateway
from tests.e2e.speech import spoken
from tests.fakes.openai_server import OpenAIServer

EMBEDDED = "embedded://127.0.0.1:0"


async def test_connections_are_opened_while_the_question_is_still_spoken(
    provider: OpenAIServer, start_gateway: StartGateway, start_device: StartDevice
) -> None:
    device = await start_device(await start_gateway(mqtt_url=EMBEDDED))
    utterance = device.begin()
    await utterance.send(spoken(0).samples)
    async with asyncio.timeout(10):
        for _engine in range(3):
            await provider.strays.get()
    # Nothing has been asked yet.
    assert provider.accepted == 3
    assert not provider.transcriptions.requests
    exchange = await utterance.end()
    assert (await exchange.done(10))["reply"] == "Answer to question 0."
    assert provider.accepted == 3
