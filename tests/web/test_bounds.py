"""What clients may do without harm to anybody else."""

import asyncio
import logging
from contextlib import AsyncExitStack
from urllib.parse import unquote

import pytest

from gateway.web.call import TURNS_TOLD
from gateway.web.front_door import ARRIVING_MAX
from gateway.wire.announcements import NAMES_MAX
from gateway.wire.messages import STATE_TEXT_BYTES
from tests.e2e.speech import sound_file, spoken
from tests.fakes.openai_server import OpenAIServer
from tests.web.browser import Browser
from tests.web.conftest import PATIENCE_S, Site
from tests.web.test_connections import Raw


async def test_questions_that_arrive_are_bounded_and_who_goes_meanwhile_is_no_defect(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    question = sound_file(spoken(1))
    head = f"POST /process/kitchen HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(question)}\r\n\r\n".encode()
    async with AsyncExitStack() as stack:
        for _ in range(ARRIVING_MAX):
            client = await stack.enter_async_context(Raw(site))
            client.writer.write(head + question[:100])
            await client.writer.drain()
        async with asyncio.timeout(PATIENCE_S):
            while (answer := await site.http.post("/process/office")).status_code == 400:
                pass
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "busy")
    async with asyncio.timeout(PATIENCE_S):
        while (await site.http.post("/process/office")).status_code == 503:
            pass
    assert (await site.http.post("/process/office", content=question)).status_code == 200
    assert not [each for each in caplog.records if each.levelno >= logging.ERROR]


async def test_a_button_that_is_pressed_without_end_is_answered_in_the_end(site: Site) -> None:
    async with Browser(site) as browser:
        await browser.told(type="ready")
        for _ in range(10 * TURNS_TOLD):
            await browser.tell(type="start")
        await browser.say(spoken(3).samples)
        assert (await browser.event("transcript"))["text"] == "question 3"
        names = [task.get_name() for task in asyncio.all_tasks()]
        assert len([name for name in names if name.startswith("events for the browser")]) <= TURNS_TOLD
        await browser.event("done")


async def test_one_announcement_has_so_many_names_and_no_more(site: Site) -> None:
    names = [f"device-{number}" for number in range(NAMES_MAX + 1)]
    refused = await site.http.post("/api/announce", json={"to": names, "text": "Hello."})
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "bad_request")
    refused = await site.http.post("/api/announce", json={"to": names[1:], "text": "Hello."})
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "refused")


async def test_a_long_reply_leaves_a_head_that_clients_take(site: Site, provider: OpenAIServer) -> None:
    provider.chat.answer = "ñandú " * 1000
    answer = await site.http.post("/process/kitchen?whole=true", content=sound_file(spoken(1)))
    reply = unquote(answer.headers["x-reply"])
    assert reply.startswith("ñandú ñandú")
    assert reply.endswith("…")
    assert len(reply.encode()) <= STATE_TEXT_BYTES
