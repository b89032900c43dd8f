"""What the gateway counts, and when it says so."""

import json
from datetime import datetime

from tests.e2e.asking import EMBEDDED, asks
from tests.e2e.conftest import StartDevice, StartGateway
from tests.e2e.onlooker import Onlooker
from tests.e2e.speech import spoken
from tests.fakes.mosquitto import Mosquitto
from tests.fakes.openai_server import OpenAIServer

DROPPED = ["messages", "events", "requests", "publications", "receptions", "retained", "embedded_broker"]
DROPPED += ["speech_detector", "store_calls", "discovery", "tool_functions"]


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
