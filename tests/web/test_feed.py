"""The news for open pages, where its bounds are."""

import asyncio
from datetime import UTC, datetime
from typing import Any

from gateway.events import Listening
from gateway.reports.live import LiveState
from gateway.values import DeviceAddress, DeviceId
from gateway.web.feed import NEWS_WAITING, RUNNING_EVENTS, RUNNING_MAX, Feed

KITCHEN = DeviceAddress(DeviceId("kitchen"), "kitchen")
SNAPSHOT = {"type": "snapshot"}


def make_feed() -> Feed:
    async def statistics() -> dict[str, Any]:
        return {}

    return Feed(LiveState(10), statistics, lambda: True, lambda: datetime.now(UTC), with_text=False)


async def test_a_page_that_takes_no_news_is_let_go_and_the_others_are_not() -> None:
    feed = make_feed()
    deaf, awake = feed.open_page(), feed.open_page()
    news = feed.news(awake, SNAPSHOT)
    assert "snapshot" in await anext(news)
    for turn in range(NEWS_WAITING + 1):
        feed(Listening(KITCHEN, turn))
        assert f'"turn": {turn},' in await anext(news)
    assert (feed.dropped, feed.pages) == (1, 1)
    late = feed.news(deaf, SNAPSHOT)
    assert "snapshot" in await anext(late)
    async with asyncio.timeout(10):
        assert [each async for each in late] == []


async def test_what_is_kept_of_turns_that_run_is_bounded() -> None:
    feed = make_feed()
    for turn in range(RUNNING_MAX + 10):
        feed(Listening(KITCHEN, turn))
    for _ in range(RUNNING_EVENTS + 10):
        feed(Listening(KITCHEN, 0))
    running = feed.running()
    assert len(running) == RUNNING_MAX
    assert len(running[0]["events"]) == RUNNING_EVENTS
