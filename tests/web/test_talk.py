"""Talking from a browser, through the broker like any board."""

import asyncio

import numpy as np
import pytest
from websockets.exceptions import InvalidStatus

from gateway.web.call import BAD_QUERY, BUSY, GOING, MESSAGE_MAX_BYTES, RATE_OUT, REPLACED
from gateway.web.talk import CALLS_MAX
from tests.e2e.speech import spoken
from tests.fakes.openai_server import OpenAIServer
from tests.web.browser import Browser
from tests.web.conftest import Site, StartSite


async def test_a_spoken_question_is_heard_and_answered_with_sound(site: Site) -> None:
    async with Browser(site, language="en") as browser:
        ready = await browser.told(type="ready")
        assert (ready["rate_in"], ready["rate_out"]) == (16_000, RATE_OUT)
        await browser.say(spoken(3).samples)
        heard = await browser.event("transcript")
        assert heard["text"] == "question 3"
        done = await browser.event("done")
        assert done["outcome"] == "completed"
        end = await browser.told(type="audio_end", turn=heard["turn"])
        assert end["how"] == "end"
        sound = browser.sound(heard["turn"])
        assert len(sound) > RATE_OUT / 3
        assert np.abs(sound).max() > 1000
        kinds = [message["type"] for message in browser.texts]
        assert kinds.index("audio") < kinds.index("audio_end")


async def test_the_browser_is_a_device_like_any_other(site: Site, provider: OpenAIServer) -> None:
    async with Browser(site, "web-kitchen1", name="Tablet") as browser:
        await browser.told(type="ready")
        await browser.say(spoken(1).samples)
        await browser.event("done")
        devices = (await site.http.get("/api/devices")).json()["devices"]
        mine = next(each for each in devices if each["session_id"] == "web-kitchen1")
        assert (mine["name"], mine["online"], mine["message_count"]) == ("Tablet", True, 2)
    async with Browser(site, "web-kitchen1") as again:
        await again.told(type="ready")
        await again.say(spoken(2).samples)
        assert (await again.event("transcript"))["text"] == "question 2"
        await again.event("done")
    said = [message["content"] for message in provider.chat.requests[-1].json["messages"][1:]]
    assert (said[0], said[-1]) == ("question 1", "question 2")


async def test_speaking_during_an_answer_interrupts_it(site: Site, provider: OpenAIServer) -> None:
    provider.chat.answer = lambda request: " ".join(["A long answer that goes on and on."] * 30)
    async with Browser(site) as browser:
        await browser.told(type="ready")
        await browser.say(spoken(1).samples)
        first = await browser.told(type="audio")
        provider.chat.answer = "Short."
        since = len(browser.came)
        await browser.say(spoken(2).samples)
        cut = await browser.told(since, type="audio_end")
        assert (cut["turn"], cut["how"]) == (first["turn"], "cancelled")
        second = await browser.told(since, type="audio")
        assert second["turn"] != first["turn"]
        assert (await browser.told(since, type="audio_end", turn=second["turn"]))["how"] == "end"
        await browser.event("done", turn=second["turn"])
        outcomes = {
            each["event"]["turn"]: each["event"]["outcome"]
            for each in browser.texts
            if each["type"] == "event" and each["event"]["event"] == "done"
        }
        assert outcomes == {first["turn"]: "interrupted", second["turn"]: "completed"}
        # Sound belongs to the last `audio`: none came between the end of the first and the beginning of the second.
        between = browser.came[browser.came.index(cut) : browser.came.index(second)]
        assert not [message for message in between if isinstance(message, bytes)]


async def test_an_abort_stops_the_answer(site: Site, provider: OpenAIServer) -> None:
    provider.chat.answer = lambda request: " ".join(["A long answer that goes on and on."] * 30)
    async with Browser(site) as browser:
        await browser.told(type="ready")
        await browser.say(spoken(1).samples)
        await browser.told(type="audio")
        await browser.tell(type="abort")
        assert (await browser.told(type="audio_end"))["how"] == "cancelled"
        assert (await browser.event("done"))["outcome"] == "interrupted"


async def test_what_is_taken_back_is_not_answered(site: Site, provider: OpenAIServer) -> None:
    async with Browser(site) as browser:
        await browser.told(type="ready")
        await browser.tell(type="start")
        await browser.send(bytes(3200))
        await browser.tell(type="cancel")
        assert (await browser.event("done"))["outcome"] == "interrupted"
        assert not provider.transcriptions.requests


async def test_a_typed_question_is_answered_aloud(site: Site) -> None:
    async with Browser(site) as browser:
        await browser.told(type="ready")
        await browser.tell(type="ask", text="How are you?")
        done = await browser.event("done")
        assert done["reply"] == "Answer to How are you?."
        await browser.told(type="audio_end", turn=done["turn"])
        assert len(browser.sound(done["turn"])) > RATE_OUT / 3


async def test_an_announcement_is_heard_in_the_browser(site: Site) -> None:
    async with Browser(site, "web-kitchen1") as browser:
        await browser.told(type="ready")
        answer = await site.http.post("/api/announce", json={"to": "web-kitchen1", "text": "Dinner is ready."})
        assert answer.status_code == 200
        assert answer.json()["devices"] == ["web-kitchen1"]
        audio = await browser.told(type="audio")
        await browser.told(type="audio_end", turn=audio["turn"])
        assert len(browser.sound(audio["turn"])) > RATE_OUT / 3


@pytest.mark.parametrize("nonsense", ["no JSON", "[]", "[" * 20_000, '{"type":"sing"}', '{"type":"ask","text":" "}'])
async def test_nonsense_is_refused_in_words_and_the_call_goes_on(site: Site, nonsense: str) -> None:
    async with Browser(site) as browser:
        await browser.told(type="ready")
        await browser._socket.send(nonsense)
        assert (await browser.told(type="error"))["code"] == "bad_request"
        await browser.tell(type="start")
        await browser.send(bytes(MESSAGE_MAX_BYTES + 2))
        await browser.told(since=browser.came.index(browser.texts[-1]), type="error")
        await browser.say(spoken(1).samples)
        assert (await browser.event("transcript"))["text"] == "question 1"


async def test_who_speaks_too_long_is_told_and_answered(start_site: StartSite) -> None:
    site = await start_site(utterance_max_s=1.0)
    async with Browser(site) as browser:
        await browser.told(type="ready")
        samples = np.concatenate([spoken(0).samples, spoken(0).samples])
        await browser.say(samples)
        assert (await browser.told(type="error"))["code"] == "too_long"
        assert (await browser.event("done"))["outcome"] == "completed"


async def test_a_newer_page_of_the_same_device_takes_over(site: Site) -> None:
    async with Browser(site) as older:
        await older.told(type="ready")
        async with Browser(site) as newer:
            await newer.told(type="ready")
            assert (await older.end())[0] == REPLACED
            await newer.tell(type="ask", text="Who are you?")
            assert (await newer.event("done"))["outcome"] == "completed"


async def test_so_many_may_talk_and_no_more(site: Site) -> None:
    browsers = [Browser(site, f"web-number00{number}") for number in range(CALLS_MAX + 1)]
    for browser in browsers[:-1]:
        await browser.__aenter__()
        await browser.told(type="ready")
    async with browsers[-1] as refused:
        assert (await refused.end())[0] == BUSY
    assert (await site.http.get("/api/overview")).json()["talking"] == {"open": CALLS_MAX, "most": CALLS_MAX}
    await asyncio.gather(*(browser.__aexit__(None, None, None) for browser in browsers[:-1]))


@pytest.mark.parametrize("query", [{"device": "kitchen"}, {"device": "web-UPPER0000"}, {"language": "not one"}])
async def test_a_device_that_is_none_is_refused(site: Site, query: dict[str, str]) -> None:
    async with Browser(site, **query) as browser:
        code, reason = await browser.end()
        assert code == BAD_QUERY
        assert reason


async def test_a_page_of_another_site_may_not_talk(site: Site) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with Browser(site, headers={"Origin": "http://evil.example"}):
            pass
    assert refused.value.response.status_code == 403


async def test_where_there_is_a_token_talking_needs_it(start_site: StartSite) -> None:
    site = await start_site(web_token="correct horse")
    with pytest.raises(InvalidStatus) as refused:
        async with Browser(site):
            pass
    assert refused.value.response.status_code == 401
    await site.http.post("/login", json={"token": "correct horse"})
    cookie = {"Cookie": "; ".join(f"{name}={value}" for name, value in site.http.cookies.items())}
    async with Browser(site, headers=cookie) as browser:
        await browser.told(type="ready")


async def test_the_end_of_the_gateway_hangs_up(start_site: StartSite) -> None:
    site = await start_site()
    async with Browser(site) as browser:
        await browser.told(type="ready")
        await site.gateway.__aexit__(None, None, None)
        assert (await browser.end())[0] == GOING
