"""Questions over HTTP."""

import asyncio
import contextlib
import itertools
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import unquote

import pytest

from gateway.device import read_sound
from gateway.web.front_door import QUESTIONS_MAX
from tests.e2e.conftest import StartDevice
from tests.e2e.onlooker import Onlooker
from tests.e2e.speech import sound_file, spoken
from tests.fakes.mosquitto import Mosquitto
from tests.fakes.openai_server import HANG, Audio, OpenAIServer, Status, tone
from tests.web.conftest import PATIENCE_S, Site, StartSite

SUBTYPES = {"WAV": "PCM_16", "FLAC": "PCM_16", "OGG": "VORBIS", "MP3": "MPEG_LAYER_III"}


@pytest.mark.parametrize("container", SUBTYPES)
async def test_a_spoken_question_is_answered_with_mp3(site: Site, container: str) -> None:
    question = sound_file(spoken(0), container, SUBTYPES[container])
    answer = await site.http.post("/process/A4:CF:12:8B:3F:9E", content=question)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "audio/mpeg"
    assert answer.headers["x-session-id"] == "a4cf128b3f9e"
    assert int(answer.headers["x-turn"]) >= 0x8000
    assert unquote(answer.headers["x-transcript"]).startswith("question")
    assert read_sound(answer.content).seconds > 0.3


async def test_the_conversation_goes_on_over_http_and_over_mqtt(
    site: Site, start_device: StartDevice, provider: OpenAIServer
) -> None:
    device = await start_device(site.gateway, "kitchen")
    exchange = await device.speak(spoken(1), paced=False)
    await exchange.done(PATIENCE_S)
    answer = await site.http.post("/process/kitchen?whole=true", content=sound_file(spoken(2)))
    assert answer.headers["x-transcript"] == "question%202"
    assert unquote(answer.headers["x-reply"]) == "Answer to question 2."
    assert answer.headers["x-outcome"] == "completed"
    assert int(answer.headers["content-length"]) == len(answer.content)
    said = [message["content"] for message in provider.chat.requests[-1].json["messages"][1:]]
    assert said == ["question 1", "Answer to question 1.", "question 2"]


async def test_a_question_over_http_is_told_over_mqtt_and_its_reply_is_not_sent_there(
    site: Site, start_device: StartDevice
) -> None:
    device = await start_device(site.gateway, "kitchen", hello={"v": 1})
    answer = await site.http.post("/process/kitchen?whole=true", content=sound_file(spoken(3)))
    done = await device.event("done", PATIENCE_S)
    assert done["turn"] == int(answer.headers["x-turn"])
    assert done["reply"] == "Answer to question 3."
    kinds = [event["event"] for event in device.events]
    assert kinds == ["listening", "transcript", "sentence", "speaking", "done"]
    # What came next to the board is the next thing that was meant for it.
    exchange = await device.say("Dinner is ready.")
    assert (await exchange.reply(PATIENCE_S)).chunks
    elsewhere = await device.announcement(PATIENCE_S)
    assert (elsewhere.turn, elsewhere.received.chunks) == (done["turn"], ())


async def test_how_a_board_speaks_is_not_changed_by_http(start_site: StartSite, start_device: StartDevice) -> None:
    """Nor remembered wrongly."""
    site = await start_site()
    device = await start_device(site.gateway, "kitchen")
    await (await device.speak(spoken(1), paced=False)).done(PATIENCE_S)
    await site.http.post("/process/kitchen?whole=true", content=sound_file(spoken(2)))
    assert (await (await device.say("Dinner is ready.")).reply(PATIENCE_S)).form == "frames"
    await site.http.post("/process/kitchen?whole=true", content=sound_file(spoken(3)))
    await site.gateway.__aexit__(None, None, None)
    site = await start_site()
    board = await start_device(site.gateway, "kitchen")
    assert (await (await board.say("Dinner is ready.")).reply(PATIENCE_S)).form == "frames"


async def test_the_answer_comes_while_it_is_made_and_who_hangs_up_ends_it(
    site: Site, start_device: StartDevice, provider: OpenAIServer
) -> None:
    device = await start_device(site.gateway, "kitchen")
    provider.chat.answer = "This is the first sentence of it. And this is the one that never comes."
    provider.speech.answer = lambda request: HANG if "never" in request.json["input"] else Audio(tone(2.0), "audio/pcm")
    async with site.http.stream("POST", "/process/kitchen", content=sound_file(spoken(1))) as answer:
        assert await anext(answer.aiter_raw())
        assert not [event for event in device.events if event["event"] == "done"]
    done = await device.event("done", PATIENCE_S)
    assert done["outcome"] == "interrupted"


async def test_who_hangs_up_before_the_answer_ends_the_turn(
    site: Site, start_device: StartDevice, provider: OpenAIServer
) -> None:
    device = await start_device(site.gateway, "kitchen")
    provider.chat.answer = HANG
    asking = asyncio.create_task(site.http.post("/process/kitchen", content=sound_file(spoken(1))))
    async with asyncio.timeout(PATIENCE_S):
        await provider.chat.arrived.get()
    asking.cancel()
    await asyncio.wait({asking})
    assert (await device.event("done", PATIENCE_S))["outcome"] == "interrupted"
    provider.chat.answer = "Here."
    assert (await site.http.post("/process/kitchen", content=sound_file(spoken(2)))).status_code == 200


async def test_another_question_of_the_same_device_interrupts(site: Site, provider: OpenAIServer) -> None:
    provider.chat.answer = HANG
    earlier = asyncio.create_task(site.http.post("/process/kitchen", content=sound_file(spoken(1))))
    async with asyncio.timeout(PATIENCE_S):
        await provider.chat.arrived.get()
    provider.chat.answer = "Here."
    later = await site.http.post("/process/kitchen", content=sound_file(spoken(2)))
    assert (later.status_code, later.headers["x-transcript"]) == (200, "question%202")
    interrupted = await earlier
    assert (interrupted.status_code, interrupted.json()["error"]["code"]) == (409, "interrupted")


async def test_a_board_that_speaks_interrupts_a_question_over_http(
    site: Site, start_device: StartDevice, provider: OpenAIServer
) -> None:
    device = await start_device(site.gateway, "kitchen")
    provider.chat.answer = HANG
    earlier = asyncio.create_task(site.http.post("/process/kitchen", content=sound_file(spoken(1))))
    async with asyncio.timeout(PATIENCE_S):
        await provider.chat.arrived.get()
    provider.chat.answer = "Here."
    exchange = await device.speak(spoken(2), paced=False)
    assert (await exchange.done(PATIENCE_S))["outcome"] == "completed"
    assert (await earlier).status_code == 409


async def test_a_question_over_http_ends_what_a_board_is_saying(site: Site, start_device: StartDevice) -> None:
    """Never two turns of one device at a time."""
    device = await start_device(site.gateway, "kitchen", hello={"v": 1})
    utterance = device.begin()
    half = len(spoken(1).samples) // 2
    await utterance.send(spoken(1).samples[:half])
    await device.event("listening", PATIENCE_S)
    answer = await site.http.post("/process/kitchen?whole=true", content=sound_file(spoken(2)))
    assert (answer.status_code, answer.headers["x-outcome"]) == (200, "completed")
    assert (await utterance.exchange.done(PATIENCE_S))["outcome"] == "interrupted"
    # The board is told to send no more of it; what is still on its way starts nothing.
    await utterance.send(spoken(1).samples[half:])
    await utterance.end()
    exchange = await device.speak(spoken(3), paced=False)
    assert (await exchange.done(PATIENCE_S))["outcome"] == "completed"
    heard = [event["text"] for event in device.events if event["event"] == "transcript"]
    assert heard == ["question 2", "question 3"]


async def test_each_question_without_a_name_has_a_conversation_of_its_own(site: Site) -> None:
    answers = [await site.http.post("/process", content=sound_file(spoken(0))) for _ in range(2)]
    names = {answer.headers["x-session-id"] for answer in answers}
    assert len(names) == 2
    assert all(name.startswith("http-") for name in names)


async def test_a_question_without_a_name_makes_no_device(site: Site, broker: Mosquitto) -> None:
    """Neither one to announce anything to, nor one in Home Assistant."""
    unnamed = (await site.http.post("/process", content=sound_file(spoken(0)))).headers["x-session-id"]
    async with Onlooker(broker.url, "homeassistant/#") as onlooker:
        await site.http.post("/process/kitchen", content=sound_file(spoken(0)))
        announced = await site.http.post("/api/announce", json={"to": ["all", unnamed], "text": "Dinner is ready."})
        assert announced.json()["devices"] == ["kitchen"]
        assert unnamed in announced.json()["refused"]
        await onlooker.message("homeassistant/sensor/voice-gateway/kitchen-state/config")
        assert not [message.topic for message in onlooker.messages if unnamed in message.topic]


async def test_a_turn_that_fails_says_so_in_its_status_and_aloud(site: Site, provider: OpenAIServer) -> None:
    provider.chat.answer = Status(500)
    failed = await site.http.post("/process/kitchen", content=sound_file(spoken(1)))
    assert (failed.status_code, failed.headers["x-error-code"]) == (502, "llm_failed")
    assert read_sound(failed.content).seconds > 0.5
    nonsense = await site.http.post("/process/kitchen", content=b"this is no sound")
    assert (nonsense.status_code, nonsense.headers["x-error-code"]) == (422, "audio_undecodable")
    assert read_sound(nonsense.content).seconds > 0.5


async def test_silence_is_answered_aloud(site: Site, provider: OpenAIServer) -> None:
    provider.transcriptions.answer = ""
    answer = await site.http.post("/process/kitchen?whole=true", content=sound_file(spoken(1)))
    assert (answer.status_code, answer.headers["x-outcome"]) == (200, "silent")
    assert read_sound(answer.content).seconds > 0.3


async def test_too_many_turns_of_a_device_are_refused_aloud(start_site: StartSite) -> None:
    site = await start_site(turns_per_minute=1)
    assert (await site.http.post("/process/kitchen", content=sound_file(spoken(1)))).status_code == 200
    refused = await site.http.post("/process/kitchen", content=sound_file(spoken(2)))
    assert (refused.status_code, refused.headers["x-error-code"]) == (429, "rate_limited")
    assert read_sound(refused.content).seconds > 0.5
    assert (await site.http.post("/process/office", content=sound_file(spoken(2)))).status_code == 200


async def test_a_question_that_is_too_long_is_answered_as_far_as_heard(start_site: StartSite) -> None:
    site = await start_site(utterance_max_s=0.5)
    answer = await site.http.post("/process/kitchen", content=sound_file(spoken(1)))
    assert (answer.status_code, answer.headers["x-notice"]) == (200, "audio_too_long")


async def test_a_repeated_question_is_answered_from_the_cache(site: Site, provider: OpenAIServer) -> None:
    first = await site.http.post("/process/kitchen?whole=true", content=sound_file(spoken(1)))
    again = await site.http.post("/process/kitchen?whole=true", content=sound_file(spoken(1)))
    assert again.content == first.content
    assert len(provider.chat.requests) == 1


async def test_a_body_is_taken_up_to_the_limit(start_site: StartSite) -> None:
    site = await start_site(message_max_bytes=200_000)
    question = sound_file(spoken(0))
    assert len(question) < 200_000

    async def in_parts(size: int) -> AsyncIterator[bytes]:
        for _ in range(0, size, 10_000):
            yield bytes(10_000)

    for body in (bytes(200_001), in_parts(300_000)):
        refused = await site.http.post("/process/kitchen", content=body)
        assert (refused.status_code, refused.json()["error"]["code"]) == (413, "too_large")
    assert (await site.http.post("/process/kitchen", content=question)).status_code == 200


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [("/process/kitchen", b"", 400), ("/process/gateway", b"x", 422), ("/process/" + "x" * 65, b"x", 422)],
)
async def test_what_is_no_question_is_refused_in_words(site: Site, path: str, body: bytes, status: int) -> None:
    refused = await site.http.post(path, content=body)
    assert (refused.status_code, refused.json()["error"]["code"]) == (status, "bad_request")
    assert refused.json()["error"]["message"]


async def test_so_many_questions_at_a_time_and_no_more(site: Site, provider: OpenAIServer) -> None:
    provider.chat.wait_for = asyncio.Event()
    asking = [
        asyncio.create_task(site.http.post(f"/process/device-{number}", content=sound_file(spoken(number))))
        for number in range(QUESTIONS_MAX)
    ]
    async with asyncio.timeout(PATIENCE_S * 2):
        for _ in asking:
            await provider.chat.arrived.get()
    refused = await site.http.post("/process/one-more", content=sound_file(spoken(1)))
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "busy")
    assert refused.headers["retry-after"]
    provider.chat.wait_for.set()
    for number, answer in enumerate(await asyncio.gather(*asking)):
        assert answer.status_code == 200
        assert answer.headers["x-session-id"] == f"device-{number}"
        assert unquote(answer.headers["x-transcript"]) == f"question {number}"


async def test_sessions_are_counted_and_cleaned_up(site: Site) -> None:
    await site.http.post("/process/kitchen?whole=true", content=sound_file(spoken(1)))
    figures = (await site.http.get("/stats/sessions")).json()
    assert (figures["total_sessions"], figures["turns"]["completed"]) == (1, 1)
    assert [each["session_id"] for each in figures["active_sessions"]] == ["kitchen"]
    kept = (await site.http.post("/admin/cleanup-sessions?days=30")).json()
    assert kept == {"days": 30.0, "dry_run": False, "removed": 0, "session_ids": []}
    which = (await site.http.post("/admin/cleanup-sessions?days=0&dry_run=true")).json()
    assert (which["removed"], which["session_ids"]) == (1, ["kitchen"])
    assert (await site.http.post("/admin/cleanup-sessions?days=0")).json()["removed"] == 1
    assert (await site.http.get("/stats/sessions")).json()["total_sessions"] == 0
    assert (await site.http.post("/admin/cleanup-sessions?days=-1")).status_code == 422


async def test_questions_end_with_the_gateway(start_site: StartSite, provider: OpenAIServer) -> None:
    site = await start_site()
    provider.chat.answer = HANG
    asking = asyncio.create_task(site.http.post("/process/kitchen", content=sound_file(spoken(1))))
    async with asyncio.timeout(PATIENCE_S):
        await provider.chat.arrived.get()
        await site.gateway.__aexit__(None, None, None)
    assert (await asking).status_code >= 400


async def test_questions_that_have_not_begun_are_told_that_the_gateway_ends(
    start_site: StartSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.web.server.STOP_WITHIN_S", PATIENCE_S)
    monkeypatch.setattr("gateway.web.front_door.RECORD_WITHIN_S", 2 * PATIENCE_S)
    site = await start_site()
    question = sound_file(spoken(1))
    database = sqlite3.connect(tmp_path / "gateway.db")
    with contextlib.closing(database):
        # The first one's conversation cannot be opened, and the others wait behind it.
        database.execute("BEGIN IMMEDIATE")
        asking = [
            asyncio.create_task(site.http.post("/process/kitchen", content=question)) for _ in range(QUESTIONS_MAX + 1)
        ]
        done, waiting = await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED, timeout=PATIENCE_S)
        assert [each.result().json()["error"]["code"] for each in done] == ["busy"]
        ending = asyncio.create_task(site.gateway.__aexit__(None, None, None))
        told = [await each for each in itertools.islice(asyncio.as_completed(waiting), QUESTIONS_MAX - 1)]
        database.rollback()
    await ending
    # Where SQLite's own patience ended before, the first one was interrupted by the second.
    assert 503 in {each.status_code for each in told} <= {200, 409, 503}
