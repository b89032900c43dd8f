"""What the page is told, and what it may have done."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest

from gateway.device.exchange import Signal
from gateway.web.feed import PAGES_MAX
from tests.e2e.conftest import StartDevice
from tests.e2e.speech import sound_file, spoken
from tests.fakes.openai_server import OpenAIServer
from tests.web.conftest import PATIENCE_S, Site, StartSite


class Live:
    """What an open page is told."""

    def __init__(self) -> None:
        self._signal = Signal()
        self.news: list[dict[str, Any]] = []
        self.ended = False

    async def read(self, answer: httpx2.Response) -> None:
        try:
            async for line in answer.aiter_lines():
                if line.startswith("data: "):
                    self.news.append(json.loads(line.removeprefix("data: ")))
                    self._signal.notify()
        except httpx2.RemoteProtocolError:
            pass
        self.ended = True
        self._signal.notify()

    async def told(self, kind: str, **fields: Any) -> dict[str, Any]:
        """Wait for news of this type whose object has these fields."""

        def found() -> dict[str, Any] | None:
            for news in self.news:
                body = news.get(kind, news)
                if news["type"] == kind and all(body.get(name) == value for name, value in fields.items()):
                    return body
            return None

        return await self._signal.until(found, PATIENCE_S, lambda: f"no {kind} {fields}: {self.news}")

    async def end(self) -> None:
        await self._signal.until(lambda: self.ended or None, PATIENCE_S, lambda: "the page was not let go")


@asynccontextmanager
async def opened(site: Site) -> AsyncIterator[Live]:
    """A page that is open, and has been told what there is."""
    live = Live()
    async with site.http.stream("GET", "/api/live") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        reading = asyncio.create_task(live.read(answer), name="read the page's news")
        try:
            await live.told("snapshot")
            yield live
        finally:
            reading.cancel()
            await asyncio.wait({reading})


async def test_a_page_sees_each_stage_of_a_turn_as_it_happens(
    site: Site, start_device: StartDevice, provider: OpenAIServer
) -> None:
    device = await start_device(site.gateway, "kitchen")
    provider.chat.wait_for = asyncio.Event()
    async with opened(site) as live:
        await device.speak(spoken(1), paced=False)
        for kind in ("listening", "thinking", "transcript"):
            event = await live.told("event", event=kind)
            assert event["session_id"] == "kitchen"
        await live.told("device", session_id="kitchen", state="thinking")
        # Another page, opened now, finds the turn that runs.
        async with opened(site) as other:
            snapshot = await other.told("snapshot")
            (running,) = snapshot["running"]
            assert running["session_id"] == "kitchen"
            kinds = [event["event"] for event in running["events"]]
            assert kinds == ["listening", "thinking", "transcript"]
        provider.chat.wait_for.set()
        for kind in ("sentence", "speaking", "done"):
            await live.told("event", event=kind)
        turn = await live.told("turn", session_id="kitchen")
        assert turn["outcome"] == "completed"
        assert turn["timings_ms"]["stt"] <= turn["timings_ms"]["total"]
        await live.told("device", session_id="kitchen", state="idle")
        statistics = await live.told("statistics")
        assert statistics["total_sessions"] == 1
    async with opened(site) as later:
        snapshot = await later.told("snapshot")
        assert snapshot["running"] == []
        assert [each["turn"] for each in snapshot["turns"]] == [turn["turn"]]


async def test_what_was_said_is_hidden_unless_it_may_be_shown(start_site: StartSite, start_device: StartDevice) -> None:
    site = await start_site()
    device = await start_device(site.gateway, "kitchen")
    async with opened(site) as live:
        exchange = await device.speak(spoken(1), paced=False)
        await exchange.done(PATIENCE_S)
        await live.told("turn")
        shown = json.dumps(live.news)
        for path in ("/api/devices", "/api/turns", "/api/errors", "/api/overview", "/stats/sessions", "/metrics"):
            shown += (await site.http.get(path)).text
    assert "question 1" not in shown
    assert "Answer to" not in shown
    hidden = await site.http.get("/api/devices/kitchen/conversation")
    assert (hidden.status_code, hidden.json()["error"]["code"]) == (403, "text_hidden")
    assert "GATEWAY_WEB_TEXT" in hidden.json()["error"]["message"]


async def test_what_was_said_is_shown_where_it_may_be(start_site: StartSite) -> None:
    site = await start_site(web_text=True)
    assert (await site.http.get("/api/hello")).json()["text_shown"] is True
    async with opened(site) as live:
        for number in (1, 2):
            await site.http.post("/process/kitchen?whole=true", content=sound_file(spoken(number)))
        assert (await live.told("event", event="transcript"))["text"] == "question 1"
        assert (await live.told("turn", heard="question 2"))["said"] == "Answer to question 2."
    messages = (await site.http.get("/api/devices/kitchen/conversation")).json()["messages"]
    assert [(each["role"], each["text"]) for each in messages] == [
        ("user", "question 1"),
        ("assistant", "Answer to question 1."),
        ("user", "question 2"),
        ("assistant", "Answer to question 2."),
    ]
    newest = (await site.http.get("/api/devices/kitchen/conversation?limit=1")).json()["messages"]
    assert [each["text"] for each in newest] == ["question 2", "Answer to question 2."]
    assert (await site.http.get("/api/devices/nobody/conversation")).status_code == 404


async def test_devices_are_listed_with_what_they_said_of_themselves(site: Site, start_device: StartDevice) -> None:
    hello = {"v": 1, "name": "Cocina", "board": "esp32-s3"}
    device = await start_device(site.gateway, "A4:CF:12:8B:3F:9E", hello=hello)
    exchange = await device.speak(spoken(1), paced=False)
    await exchange.done(PATIENCE_S)
    await site.http.post("/process/office?whole=true", content=sound_file(spoken(2)))
    devices = (await site.http.get("/api/devices")).json()["devices"]
    assert [each["session_id"] for each in devices] == ["office", "a4cf128b3f9e"]
    kitchen = devices[1]
    assert (kitchen["name"], kitchen["spelling"], kitchen["online"]) == ("Cocina", "A4:CF:12:8B:3F:9E", True)
    assert kitchen["device_info"]["board"] == "esp32-s3"
    assert kitchen["message_count"] == 2
    assert kitchen["last"]["outcome"] == "completed"


async def test_a_conversation_is_forgotten(site: Site) -> None:
    await site.http.post("/process/kitchen?whole=true", content=sound_file(spoken(1)))
    async with opened(site) as live:
        answer = await site.http.post("/api/devices/kitchen/forget")
        assert answer.json() == {"session_id": "kitchen", "messages": 2}
        assert (await live.told("erased"))["session_ids"] == ["kitchen"]
    again = await site.http.post("/api/devices/kitchen/forget")
    assert (again.status_code, again.json()["error"]["code"]) == (404, "not_found")


async def test_a_device_falls_silent(site: Site, start_device: StartDevice, provider: OpenAIServer) -> None:
    provider.chat.answer = lambda request: " ".join(["A long answer that goes on and on."] * 30)
    device = await start_device(site.gateway, "kitchen")
    exchange = await device.speak(spoken(1), paced=False)
    await exchange.event("speaking", PATIENCE_S)
    assert (await site.http.post("/api/devices/kitchen/abort")).status_code == 204
    assert (await exchange.done(PATIENCE_S))["outcome"] == "interrupted"


async def test_what_went_wrong_is_listed(site: Site, provider: OpenAIServer) -> None:
    async with opened(site) as live:
        answer = await site.http.post("/process/kitchen", content=b"this is no sound")
        assert answer.status_code == 422
        await live.told("event", event="error")
    (error,) = (await site.http.get("/api/errors")).json()["errors"]
    assert (error["session_id"], error["code"]) == ("kitchen", "audio_undecodable")


async def test_who_answers_is_shown_and_changed(site: Site, provider: OpenAIServer) -> None:
    changed = await site.http.patch("/api/devices/kitchen/personality", json={"name": "Lola", "max_tokens": 20})
    assert changed.status_code == 200
    assert changed.json()["own"] == {"name": "Lola", "max_tokens": 20}
    await site.http.post("/process/kitchen?whole=true", content=sound_file(spoken(1)))
    assert provider.chat.requests[-1].json["max_tokens"] == 20
    await site.http.patch("/api/devices/kitchen/personality", json={"max_tokens": None})
    shown = (await site.http.get("/api/devices/kitchen/personality")).json()
    assert shown["own"] == {"name": "Lola"}
    assert shown["effective"]["name"] == "Lola"
    assert shown["from"]["max_tokens"] == "settings"
    wrong = await site.http.patch("/api/devices/kitchen/personality", json={"language": 7})
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (409, "refused")
    assert "language" in wrong.json()["error"]["message"]


async def test_an_announcement_to_nobody_is_refused_in_words(site: Site) -> None:
    for body in ({}, {"to": "all"}, {"to": "all", "text": ""}, {"to": "kitchen", "text": "x", "volume": 200}):
        answer = await site.http.post("/api/announce", json=body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (422, "bad_request")
    nobody = await site.http.post("/api/announce", json={"to": "group:nowhere", "text": "Hello."})
    assert nobody.status_code == 409
    assert nobody.json()["error"]["message"]


async def test_so_many_pages_and_no_more(site: Site) -> None:
    async with httpx2.AsyncClient(base_url=site.url, timeout=PATIENCE_S, trust_env=False) as http:
        streams = [http.stream("GET", "/api/live") for _ in range(PAGES_MAX)]
        for stream in streams:
            assert (await stream.__aenter__()).status_code == 200
        refused = await site.http.get("/api/live")
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "busy")
        await streams[0].__aexit__(None, None, None)
        async with asyncio.timeout(PATIENCE_S):
            while True:
                async with site.http.stream("GET", "/api/live") as answer:
                    if answer.status_code == 200:
                        break
        for stream in streams[1:]:
            await stream.__aexit__(None, None, None)


async def test_pages_are_let_go_when_the_gateway_ends(start_site: StartSite) -> None:
    site = await start_site()
    async with opened(site) as live:
        await site.gateway.__aexit__(None, None, None)
        await live.end()


@pytest.mark.parametrize("path", ["/nowhere", "/api/nowhere", "/static/../server.py", "/static/nothing.js"])
async def test_what_is_not_there_is_said_as_json(site: Site, path: str) -> None:
    answer = await site.http.get(path)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")
