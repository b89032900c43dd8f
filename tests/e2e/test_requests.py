"""What is asked of the gateway over MQTT: statistics, sessions, to forget, to clean up."""

import re
from datetime import UTC, datetime

import pytest

from gateway.broker.protocol import Incoming
from gateway.values import DeviceAddress, DeviceId
from tests.cli.retained import retained_topics
from tests.e2e.asking import EMBEDDED, asks, onlooker_asks
from tests.e2e.conftest import StartDevice, StartGateway
from tests.e2e.onlooker import Onlooker
from tests.e2e.speech import sound_file, spoken
from tests.fakes.mosquitto import Mosquitto


async def of_devices(url: str) -> set[str]:
    """What the broker keeps, but for what the gateway says of itself."""
    own = re.compile("voice/gateway/|homeassistant/[^/]+/voice-gateway/gateway-")
    return {topic for topic in await retained_topics(url) if not own.match(topic)}


async def test_requests_are_answered_with_their_transaction(
    start_gateway: StartGateway, start_device: StartDevice
) -> None:
    gateway = await start_gateway(mqtt_url=EMBEDDED)
    hello = {"v": 1, "name": "Cocina", "extra": [1, {"two": 2}]}
    device = await start_device(gateway, "A4:CF:12:8B:3F:9E", hello=hello)
    await asks(device, "hello")
    async with Onlooker(gateway.broker_url) as onlooker:
        for transaction in ("a1", 7, None, {"nested": [True]}):
            answer = await onlooker_asks(onlooker, "stats", {"transaction": transaction})
            assert list(answer) == ["status", "data", "error", "transaction"]
            assert (answer["status"], answer["error"], answer["transaction"]) == ("ok", None, transaction)
            assert answer["data"]["total_sessions"] == 1
        answer = await onlooker_asks(onlooker, "sessions", b"")
        (session,) = answer["data"]
        assert list(session) == ["session_id", "created_at", "updated_at", "message_count", "device_info"]
        assert (session["session_id"], session["message_count"]) == ("a4cf128b3f9e", 2)
        assert session["device_info"] == hello

        answer = await onlooker_asks(onlooker, "forget", {"session_id": "a4-cf-12-8b-3f-9e"})
        assert (answer["status"], answer["data"]) == ("ok", {"session_id": "a4cf128b3f9e", "messages": 2})
        assert (await onlooker_asks(onlooker, "sessions", b""))["data"] == []


async def test_many_sessions_are_listed_page_by_page(start_gateway: StartGateway) -> None:
    gateway = await start_gateway(mqtt_url=EMBEDDED, hello_max_bytes=16384)
    store = gateway._store
    now = datetime.now(UTC)
    names = [f"board-{number}" for number in range(300)]
    for name in names:
        await store.save_device_info(DeviceAddress(DeviceId(name), name), {"v": 1, "notes": "ñ" * 5000}, 1000, now)
    async with Onlooker(gateway.broker_url, "voice/gateway/#") as onlooker:
        assert len((await onlooker.request("sessions", limit=3, offset=2))["data"]) == 3
        listed: list[str] = []
        while page := (await onlooker.request("sessions", limit=1000, offset=len(listed)))["data"]:
            listed += [session["session_id"] for session in page]
            assert len(page) < 100
        assert sorted(listed) == sorted(names)
        assert max(len(each.payload) for each in onlooker.messages) < 1024 * 1024


async def test_a_list_is_a_hundred_sessions_unless_asked(start_gateway: StartGateway) -> None:
    gateway = await start_gateway(mqtt_url=EMBEDDED)
    for number in range(101):
        device = DeviceAddress(DeviceId(f"board-{number}"), f"board-{number}")
        await gateway._store.save_device_info(device, {"v": 1}, 1000, datetime.now(UTC))
    async with Onlooker(gateway.broker_url, "voice/gateway/#") as onlooker:
        assert len((await onlooker.request("sessions"))["data"]) == 100
        assert len((await onlooker.request("sessions", limit=1000))["data"]) == 101


@pytest.mark.parametrize(
    ("verb", "body", "words"),
    [
        ("dance", b"{}", "there are: stats, sessions, forget, cleanup"),
        ("stats", b"{", "not JSON"),
        ("stats", b"[]", "JSON object"),
        ("stats", b"\xff", "not JSON"),
        ("stats", b'{"transaction":"\\ud800"}', "not JSON"),
        ("stats", b"[" * 4000, "not JSON"),
        ("stats", b'{"transaction":"' + b"x" * 70_000 + b'"}', "larger than 65536"),
        ("forget", b"{}", "session_id"),
        ("forget", b'{"session_id":7}', "session_id"),
        ("forget", b'{"session_id":"gateway"}', "reserved"),
        ("forget", b'{"session_id":"nobody"}', "no session nobody"),
        ("sessions", b'{"limit":0}', "from 1 to 1000"),
        ("sessions", b'{"limit":1001}', "from 1 to 1000"),
        ("sessions", b'{"limit":true}', "from 1 to 1000"),
        ("sessions", b'{"offset":-1}', "from 0 to"),
        ("sessions", b'{"offset":1e300}', "from 0 to"),
        ("cleanup", b'{"days":-1}', "0 or more"),
        ("cleanup", b'{"days":"30"}', "0 or more"),
        ("cleanup", b'{"days":true}', "0 or more"),
        ("cleanup", b'{"days":1e300}', "365000"),
        ("cleanup", b'{"days":0,"dry_run":"yes"}', "dry_run"),
    ],
)
async def test_a_request_that_cannot_be_done_says_why(
    start_gateway: StartGateway, verb: str, body: bytes, words: str
) -> None:
    gateway = await start_gateway(mqtt_url=EMBEDDED)
    async with Onlooker(gateway.broker_url) as onlooker:
        answer = await onlooker_asks(onlooker, verb, body)
        assert (answer["status"], answer["data"]) == ("error", None)
        assert words in answer["error"]
        assert (await onlooker.request("stats"))["status"] == "ok"


async def test_an_answer_that_cannot_be_published_costs_no_other(start_gateway: StartGateway) -> None:
    gateway = await start_gateway(mqtt_url=EMBEDDED)
    async with Onlooker(gateway.broker_url) as onlooker:
        # No broker of ours lets such a verb through, and no client publishes to the topic of its answer.
        gateway._receive(Incoming("voice/gateway/request/#", b"{}"))
        assert (await onlooker.request("stats"))["status"] == "ok"


async def test_a_clean_up_removes_what_the_broker_keeps_of_the_devices_that_are_gone(
    start_gateway: StartGateway, start_device: StartDevice
) -> None:
    async with Mosquitto() as broker:
        gateway = await start_gateway(mqtt_url=broker.url)
        for spelling in ("A4:CF:12:8B:3F:9E", "office"):
            device = await start_device(gateway, spelling, hello={"v": 1})
            await asks(device, "hello")
            await device.wait_state("idle", 10)
            await device.stop()
        kept = {f"voice/A4:CF:12:8B:3F:9E/{leaf}" for leaf in ("hello", "online", "state")}
        assert kept <= await retained_topics(broker.url)
        async with Onlooker(broker.url) as onlooker:
            by_default = (await onlooker.request("cleanup"))["data"]
            assert by_default == {"days": 30, "dry_run": False, "removed": 0, "session_ids": []}
            would = (await onlooker.request("cleanup", days=0, dry_run=True))["data"]
            assert (would["removed"], would["session_ids"]) == (2, ["a4cf128b3f9e", "office"])
            assert (await onlooker.statistics())["total_sessions"] == 2
            assert (await onlooker.request("cleanup", days=0))["data"] == would | {"dry_run": False}
            assert (await onlooker.statistics())["total_sessions"] == 0
            for topic in kept:
                await onlooker.message(topic, b"")
        await gateway.__aexit__(None, None, None)
        assert await of_devices(broker.url) == set()


async def test_a_clean_up_takes_no_more_than_the_conversation_of_a_device_that_is_connected(
    start_gateway: StartGateway, start_device: StartDevice
) -> None:
    async with Mosquitto() as broker:
        gateway = await start_gateway(mqtt_url=broker.url)
        device = await start_device(gateway, "A4:CF:12:8B:3F:9E", hello={"v": 1, "max_packet": 512})
        await asks(device, "hello")
        await device.wait_state("idle", 10)
        async with Onlooker(broker.url) as onlooker:
            assert (await onlooker.request("cleanup", days=0))["data"]["session_ids"] == ["a4cf128b3f9e"]
            await onlooker.message("voice/A4:CF:12:8B:3F:9E/state", b"")
            statistics = await onlooker.statistics()
            assert (statistics["total_sessions"], statistics["devices_online"]) == (0, 1)
            left = await retained_topics(broker.url)
            assert {topic for topic in left if "gateway" not in topic} == {
                "voice/A4:CF:12:8B:3F:9E/hello",
                "voice/A4:CF:12:8B:3F:9E/online",
            }
            # What it said of itself still holds: its next reply fits into its packets.
            await asks(device, "hello again")
            sizes = [len(each.payload) for each in onlooker.on("voice/A4:CF:12:8B:3F:9E/out")]
            assert sizes
            assert max(sizes) < 512


async def test_the_state_of_a_forgotten_device_goes_under_the_spelling_it_used(
    start_gateway: StartGateway,
) -> None:
    """Also when that is known only from an earlier run, and the request spells it differently."""
    async with Mosquitto() as broker:
        gateway = await start_gateway(mqtt_url=broker.url)
        async with Onlooker(broker.url) as onlooker:
            await onlooker.publish("voice/A4:CF:12:8B:3F:9E/in", sound_file(spoken(0)))
            await onlooker.json("voice/A4:CF:12:8B:3F:9E/event", event="done")
        await gateway.__aexit__(None, None, None)
        assert "voice/A4:CF:12:8B:3F:9E/state" in await retained_topics(broker.url)
        gateway = await start_gateway(mqtt_url=broker.url)
        async with Onlooker(broker.url) as onlooker:
            assert (await onlooker.request("forget", session_id="a4cf128b3f9e"))["status"] == "ok"
            await onlooker.message("voice/A4:CF:12:8B:3F:9E/state", b"")
        await gateway.__aexit__(None, None, None)
        assert await of_devices(broker.url) == set()
