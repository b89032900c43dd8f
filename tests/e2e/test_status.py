"""Whether the gateway is there, as it says itself."""

from tests.e2e.conftest import StartGateway
from tests.e2e.onlooker import Onlooker
from tests.fakes.mosquitto import Mosquitto


async def test_the_will_of_an_earlier_run_is_contradicted(start_gateway: StartGateway) -> None:
    """A broker that finds out late that the power was lost publishes it after the gateway is back."""
    async with Mosquitto() as broker:
        gateway = await start_gateway(mqtt_url=broker.url)
        async with Onlooker(broker.url, "voice/gateway/status") as onlooker:
            await onlooker.publish("voice/gateway/status", b"offline", retain=True)
            said = [await onlooker.nth("voice/gateway/status", index) for index in range(3)]
            assert [(each.payload, each.retained) for each in said] == [
                (b"online", True),
                (b"offline", False),
                (b"online", False),
            ]
            await gateway.__aexit__(None, None, None)
            await onlooker.nth("voice/gateway/status", 3)
        async with Onlooker(broker.url, "voice/gateway/status") as later:
            assert (await later.nth("voice/gateway/status", 0)).payload == b"offline"
