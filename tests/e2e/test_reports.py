"""What the gateway tells of itself: events, state, statistics, answers to requests, the log."""

import json
import logging
import re
from datetime import UTC, datetime
from typing import Any

import pytest

from gateway.broker.protocol import Incoming
from gateway.device import SoftwareDevice
from gateway.values import DeviceAddress, DeviceId, ReplyForm
from gateway.wire.topics import Leaf
from tests.cli.retained import retained_topics
from tests.conformance.openai_failures import KEY
from tests.e2e.conftest import StartDevice, StartGateway
from tests.e2e.onlooker import Onlooker
from tests.e2e.speech import sound_file, spoken
from tests.fakes.mosquitto import Mosquitto
from tests.fakes.openai_server import OpenAIServer

EMBEDDED = "embedded://127.0.0.1:0"
HEAD = ["event", "turn", "session_id", "ts"]
DROPPED = ["messages", "events", "requests", "publications", "receptions", "retained", "embedded_broker"]
DROPPED += ["speech_detector", "store_calls", "discovery", "tool_functions"]
TIMINGS = ["received", "stt", "llm_first_token", "tts_first_audio", "first_audio_out", "total"]


async def of_devices(url: str) -> set[str]:
    """What the broker keeps, but for what the gateway says of itself."""
    own = re.compile("voice/gateway/|homeassistant/[^/]+/voice-gateway/gateway-")
    return {topic for topic in await retained_topics(url) if not own.match(topic)}


async def asks(device: SoftwareDevice, text: str) -> dict[str, Any]:
    return dict(await (await device.ask(text)).done(20))


# Events and state


@pytest.mark.parametrize("form", list(ReplyForm))
async def test_a_turn_is_told_step_by_step_with_the_keys_of_the_contract(
    start_gateway: StartGateway, start_device: StartDevice, form: ReplyForm
) -> None:
    device = await start_device(await start_gateway(mqtt_url=EMBEDDED), "A4:CF:12:8B:3F:9E")
    if form is ReplyForm.FRAMES:
        exchange = await device.speak(spoken(4))
    elif form is ReplyForm.STREAM:
        exchange = await device.speak_raw(spoken(4))
    else:
        exchange = await device.speak_file(sound_file(spoken(4)))
    done = await exchange.done(20)
    events = exchange.events
    kinds = [event["event"] for event in events]
    # Text is told as it is ready; whether audio leaves before the next piece is told is a matter of time.
    assert [kind for kind in kinds if kind != "speaking"] == ["listening", "transcript", "sentence", "done"]
    assert kinds.index("sentence") < kinds.index("speaking") < kinds.index("done")
    keys = {
        "listening": [],
        "transcript": ["text", "language"],
        "sentence": ["index", "text"],
        "speaking": [],
        "done": ["outcome", "reply", "chunks", "bytes", "cached", "timings_ms", "audio", "kind", "heard", "error"],
    }
    for event in events:
        assert list(event) == HEAD + keys[event["event"]]
        assert (event["turn"], event["session_id"]) == (exchange.turn, "a4cf128b3f9e")
        assert datetime.fromisoformat(event["ts"]).utcoffset() is not None
    stamps = [event["ts"] for event in events]
    assert stamps == sorted(stamps)
    assert list(done["timings_ms"]) == TIMINGS
    assert list(done["audio"]) == ["lost", "duplicate", "late"]


async def test_timings_are_those_that_passed(
    provider: OpenAIServer, start_gateway: StartGateway, start_device: StartDevice
) -> None:
    provider.transcriptions.delay_s, provider.chat.delay_s, provider.speech.delay_s = 0.1, 0.2, 0.3
    device = await start_device(await start_gateway(mqtt_url=EMBEDDED))
    exchange = await device.speak(spoken(0))
    timings = (await exchange.done(20))["timings_ms"]
    # Spoken at its own pace it takes as long as it is, less the first message.
    assert spoken(0).seconds * 1000 - 200 < timings["received"] < spoken(0).seconds * 1000 + 2000
    steps = [timings[name] for name in TIMINGS[1:]]
    assert steps == sorted(steps)
    assert timings["stt"] >= 100
    assert timings["llm_first_token"] - timings["stt"] >= 200
    assert timings["tts_first_audio"] - timings["llm_first_token"] >= 300
    started = (await exchange.reply(1)).started_after_s
    assert started is not None
    assert timings["first_audio_out"] == pytest.approx(started * 1000, abs=400)


async def test_a_text_has_no_timings_of_hearing(start_gateway: StartGateway, start_device: StartDevice) -> None:
    device = await start_device(await start_gateway(mqtt_url=EMBEDDED))
    timings = (await asks(device, "hello"))["timings_ms"]
    assert (timings["received"], timings["stt"]) == (None, None)
    assert timings["total"] >= timings["first_audio_out"] > 0
    said = dict(await (await device.say("Dinner is ready.")).done(20))["timings_ms"]
    assert said["llm_first_token"] is None


async def test_the_state_goes_through_a_turn_and_keeps_the_last(
    start_gateway: StartGateway, start_device: StartDevice
) -> None:
    gateway = await start_gateway(mqtt_url=EMBEDDED)
    async with Onlooker(gateway.broker_url, "voice/kitchen/state") as onlooker:
        device = await start_device(gateway, "kitchen")
        first = await device.speak(spoken(4), paced=False)
        done = await first.done(20)
        last = {
            "turn": first.turn,
            "outcome": "completed",
            "heard": "question 4",
            "said": "Answer to question 4.",
            "total_ms": done["timings_ms"]["total"],
            "first_audio_ms": done["timings_ms"]["first_audio_out"],
        }
        await onlooker.json("voice/kitchen/state", state="idle", last=last)
        await asks(device, "hello")
        await onlooker.nth("voice/kitchen/state", 7)
        states = [json.loads(each.payload) for each in onlooker.on("voice/kitchen/state")]
    assert [each["state"] for each in states][:5] == ["idle", "listening", "thinking", "speaking", "idle"]
    assert all(list(each) == ["state", "session_id", "ts", "turns", "language", "persona", "last"] for each in states)
    assert [each["last"] for each in states[:4]] == [None] * 4
    assert [each["last"] for each in states[4:7]] == [last] * 3


async def test_a_turn_that_ends_unanswered_leaves_the_device_idle(
    start_gateway: StartGateway, start_device: StartDevice
) -> None:
    device = await start_device(await start_gateway(mqtt_url=EMBEDDED))
    utterance = device.begin()
    await utterance.send(spoken(0).samples)
    await device.wait_state("listening", 10)
    await utterance.cancel()
    assert (await device.wait_state("idle", 10))["last"]["outcome"] == "interrupted"


# Statistics


async def test_statistics_are_retained_follow_each_turn_and_survive_a_restart(
    provider: OpenAIServer, start_gateway: StartGateway, start_device: StartDevice
) -> None:
    async with Mosquitto() as broker:
        gateway = await start_gateway(mqtt_url=broker.url, stats_interval_s=0.05)
        gateway.notes.append("No real voice is at hand.")
        async with Onlooker(broker.url, "voice/gateway/stats") as onlooker:
            device = await start_device(gateway, "kitchen")
            await asks(device, "hello")
            await asks(device, "hello")
            await (await device.say("Dinner.")).done(20)
            provider.transcriptions.answer = ""
            await (await device.speak(spoken(0), paced=False)).done(20)
            turns = {"completed": 3, "interrupted": 0, "silent": 1, "failed": 0}
            stats = await onlooker.json("voice/gateway/stats", turns=turns)
        assert (stats["total_sessions"], stats["total_conversations"], stats["active_session_count"]) == (1, 1, 1)
        assert stats["avg_messages_per_session"] == 5
        active = stats["active_sessions"]
        assert [(each["session_id"], each["message_count"]) for each in active] == [("kitchen", 5)]
        assert datetime.fromisoformat(active[0]["last_activity"]).utcoffset() is not None
        assert stats["last_activity"] == active[0]["last_activity"]
        assert stats["cache"] == {"hits": 1, "entries": 1}
        assert stats["problems"] == {"stt": False, "llm": False, "tts": False}
        assert stats["latency_ms"]["p95"] >= stats["latency_ms"]["p50"] > 0
        assert stats["audio"] == {"lost": 0, "duplicate": 0}
        assert stats["devices_online"] == 1
        assert stats["dropped"] == dict.fromkeys(DROPPED, 0)
        assert stats["notes"] == ["No real voice is at hand."]
        await gateway.__aexit__(None, None, None)

        # To whoever comes later the broker tells it at once; and a new gateway says the same of the past.
        async with Onlooker(broker.url, "voice/gateway/stats") as onlooker:
            assert (await onlooker.message("voice/gateway/stats")).retained
            again = await start_gateway(mqtt_url=broker.url)
            await onlooker.json("voice/gateway/stats", uptime_s=0)
            restarted = json.loads(onlooker.on("voice/gateway/stats")[-1].payload)
        kept = ["total_sessions", "total_conversations", "avg_messages_per_session", "last_activity", "active_sessions"]
        kept += ["turns", "latency_ms", "audio", "cache", "version"]
        assert {name: restarted[name] for name in kept} == {name: stats[name] for name in kept}
        await again.__aexit__(None, None, None)


async def test_statistics_come_no_more_often_than_set(start_gateway: StartGateway, start_device: StartDevice) -> None:
    gateway = await start_gateway(mqtt_url=EMBEDDED, stats_interval_s=600)
    async with Onlooker(gateway.broker_url) as onlooker:
        device = await start_device(gateway)
        for number in range(3):
            await asks(device, f"number {number}")
        assert (await onlooker.statistics())["turns"]["completed"] == 3
        assert len(onlooker.on("voice/gateway/stats")) == 1


async def test_a_device_is_online_as_it_says_or_while_it_is_in_a_turn(
    start_gateway: StartGateway, start_device: StartDevice
) -> None:
    gateway = await start_gateway(mqtt_url=EMBEDDED)
    async with Onlooker(gateway.broker_url) as onlooker:
        device = await start_device(gateway)
        await device.wait_state("idle", 10)
        assert (await onlooker.statistics())["devices_online"] == 1
        await onlooker.publish("voice/sketch/in", bytes(2000))
        await onlooker.json("voice/sketch/state", state="listening")
        assert (await onlooker.statistics())["devices_online"] == 2
        await onlooker.json("voice/sketch/event", event="done")
        await device.stop()
        await onlooker.message("voice/a4cf128b3f9e/online", b"offline")
        assert (await onlooker.statistics())["devices_online"] == 0


# Requests


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


async def onlooker_asks(onlooker: Onlooker, verb: str, body: dict[str, object] | bytes) -> Any:
    """Ask exactly so, and return the next answer."""
    seen = len(onlooker.on(f"voice/gateway/response/{verb}"))
    payload = body if isinstance(body, bytes) else json.dumps(body).encode()
    await onlooker.publish(f"voice/gateway/request/{verb}", payload)
    return json.loads((await onlooker.nth(f"voice/gateway/response/{verb}", seen)).payload)


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


# Its own status


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


# The log


@pytest.mark.parametrize("log_text", [False, True])
async def test_the_log_tells_each_step_with_session_and_turn_and_what_was_said_only_if_asked(
    provider: OpenAIServer,
    start_gateway: StartGateway,
    start_device: StartDevice,
    caplog: pytest.LogCaptureFixture,
    log_text: bool,
) -> None:
    caplog.set_level(logging.DEBUG)
    provider.transcriptions.answer = "the cat is called Whiskers"
    provider.chat.answer = "What a lovely animal."
    gateway = await start_gateway(mqtt_url=EMBEDDED, log_text=log_text)
    device = await start_device(gateway, "kitchen")
    exchange = await device.speak(spoken(0), paced=False)
    await exchange.done(20)
    lines = [record for record in caplog.records if record.name == "gateway.turns" and hasattr(record, "fields")]
    told = [record.message for record in lines if record.fields.get("turn") == exchange.turn]
    assert [line for line in told if line != "speaking"] == ["listening", "thinking", "transcript", "sentence", "done"]
    assert "speaking" in told
    assert {record.fields["session"] for record in lines if "turn" in record.fields} == {"kitchen"}
    done = next(record.fields for record in lines if record.message == "done")
    assert done["outcome"] == "completed"
    assert done["total_ms"] >= done["first_audio_out_ms"] > 0
    private = "".join(f"{record.getMessage()} {record.fields}" for record in lines)
    assert ("Whiskers" in private) is log_text
    assert ("lovely animal" in private) is log_text
    assert KEY not in caplog.text + private
    if not log_text:
        gateways = [record.getMessage() for record in caplog.records if record.name.startswith("gateway")]
        assert not any("Whiskers" in line or "lovely" in line for line in gateways)


async def test_a_device_cannot_forge_a_line_of_the_log(
    start_gateway: StartGateway, start_device: StartDevice, caplog: pytest.LogCaptureFixture
) -> None:
    from gateway.reports.logs import _HumanFormatter

    gateway = await start_gateway(mqtt_url=EMBEDDED)
    device = await start_device(gateway)
    await device.publish(Leaf.CONTROL, b'{"type":"dance\\n12:00:00 INFO done session=other"}')
    await device.event("error", 10, code="bad_json")
    async with Onlooker(gateway.broker_url) as onlooker:
        await onlooker_asks(onlooker, "dance", b"{}")
    formatter = _HumanFormatter()
    assert not any("\n" in formatter.format(record) for record in caplog.records)
