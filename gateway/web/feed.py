"""What happens, for the pages that are open: what is going on now, what went before, and the news as it comes."""

import asyncio
import json
import logging
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from datetime import datetime
from typing import Any

from gateway.errors import StoreError
from gateway.events import EnginePassedOver, Event, Failed, Listening, SessionsErased, Thinking, TurnEnded
from gateway.reports.live import LiveState
from gateway.values import DeviceId, TurnRecord
from gateway.web.errors import WebError
from gateway.web.shown import shown_error, shown_event, shown_state, shown_turn

log = logging.getLogger(__name__)

TURNS_KEPT = 300
ERRORS_KEPT = 100
RUNNING_MAX = 1000
"""Turns that run and are followed; of more only the end is told."""
RUNNING_EVENTS = 100
"""Events kept of one of them."""
PAGES_MAX = 32
NEWS_WAITING = 500
"""News that one page has not taken; beyond it that page is let go, and asks anew."""
STATISTICS_EVERY_S = 2.0
QUIET_S = 15.0
"""After so long without news a page is sent a comment, so that what stands between does not hang up."""

Statistics = Callable[[], Awaitable[dict[str, Any]]]


class Page:
    """One page that is open."""

    def __init__(self) -> None:
        self.waiting: deque[str] = deque()
        self.came = asyncio.Event()
        self.open = True

    def put(self, news: str) -> bool:
        """Take `news`; False, and nothing more, if too much waits."""
        if len(self.waiting) >= NEWS_WAITING:
            self.close()
            return False
        self.waiting.append(news)
        self.came.set()
        return True

    def close(self) -> None:
        self.open = False
        self.came.set()


class Feed:
    """A listener to events, after the one that keeps `live`."""

    def __init__(
        self,
        live: LiveState,
        statistics: Statistics,
        connected: Callable[[], bool],
        now: Callable[[], datetime],
        *,
        with_text: bool,
    ) -> None:
        """`connected` says whether the broker is; `with_text` shows what was said."""
        self._live = live
        self._statistics = statistics
        self._connected = connected
        self._now = now
        self._with_text = with_text
        self._running: dict[tuple[DeviceId, int], list[tuple[Event, datetime]]] = {}
        earlier = [state.last for state in live.states if state.last is not None]
        earlier.sort(key=lambda record: record.started_at)
        self._turns: deque[TurnRecord] = deque(earlier, maxlen=TURNS_KEPT)
        self._errors: deque[dict[str, Any]] = deque(maxlen=ERRORS_KEPT)
        self._pages: set[Page] = set()
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._ending = False
        self.dropped = 0
        """Pages let go because they took no news."""

    async def start(self) -> None:
        self._task = asyncio.create_task(self._tell_figures(), name="figures for the page")

    async def stop(self) -> None:
        """Let every page go, and take no more."""
        self._ending = True
        for page in self._pages:
            page.close()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    @property
    def pages(self) -> int:
        return len(self._pages)

    def turns(self, limit: int) -> list[dict[str, Any]]:
        """The newest `limit` turns that have ended, oldest first."""
        return [shown_turn(record, with_text=self._with_text) for record in list(self._turns)[-limit:]]

    def errors(self) -> list[dict[str, Any]]:
        """What went wrong lately, oldest first."""
        return list(self._errors)

    def running(self) -> list[dict[str, Any]]:
        """The turns that have not ended, with their events so far."""
        return [
            {
                "session_id": device,
                "turn": turn,
                "events": [
                    shown
                    for event, at in events
                    if (shown := shown_event(event, at, with_text=self._with_text)) is not None
                ],
            }
            for (device, turn), events in self._running.items()
        ]

    def __call__(self, event: Event) -> None:
        at = self._now()
        match event:
            case Failed() | EnginePassedOver():
                self._errors.append(shown_error(event, at))
            case TurnEnded():
                self._turns.append(event.record)
        self._follow(event, at)
        self._changed.set()
        if not self._pages:
            return
        if (shown := shown_event(event, at, with_text=self._with_text)) is not None:
            self._tell({"type": "event", "event": shown})
        match event:
            case TurnEnded():
                self._tell({"type": "turn", "turn": shown_turn(event.record, with_text=self._with_text)})
            case SessionsErased():
                ids = [device.id for device in event.devices]
                self._tell({"type": "erased", "session_ids": ids, "reason": event.reason})
        self._tell_state(event)

    def open_page(self) -> "Page":
        """Note that a page is there, for which news is kept from now on; hand it to `close_page` in the end.

        Raises:
            WebError: too many are open.
        """
        if self._ending or len(self._pages) >= PAGES_MAX:
            raise WebError(503, "busy", f"{PAGES_MAX} pages are open, and no more are served")
        page = Page()
        self._pages.add(page)
        return page

    def close_page(self, page: "Page") -> None:
        """Keep nothing more for it."""
        self._pages.discard(page)

    async def news(self, page: "Page", snapshot: dict[str, Any]) -> AsyncGenerator[str, None]:
        """Yield as server-sent events `snapshot`, made since `page` was opened, then what happens since then: the same
        may be in both, and nothing is in neither."""
        yield _message(snapshot)
        while page.open:
            while page.waiting:
                yield page.waiting.popleft()
            page.came.clear()
            if not page.open:
                return
            try:
                async with asyncio.timeout(QUIET_S):
                    await page.came.wait()
            except TimeoutError:
                yield ":\n\n"

    def _follow(self, event: Event, at: datetime) -> None:
        if isinstance(event, TurnEnded):
            self._running.pop((event.record.device.id, event.record.turn), None)
            return
        turn, device = getattr(event, "turn", None), getattr(event, "device", None)
        if turn is None or device is None:
            return
        events = self._running.get((device.id, turn))
        if events is None:
            if not isinstance(event, Listening | Thinking) or len(self._running) >= RUNNING_MAX:
                return
            events = self._running[(device.id, turn)] = []
        if len(events) < RUNNING_EVENTS:
            events.append((event, at))

    def _tell_state(self, event: Event) -> None:
        device = event.record.device if isinstance(event, TurnEnded) else getattr(event, "device", None)
        state = self._live.state(device.id) if device is not None else None
        if state is not None:
            online = self._live.online(state.device.id)
            shown = shown_state(state, online=online, with_text=self._with_text)
            self._tell({"type": "device", "device": shown})

    def _tell(self, news: dict[str, Any]) -> None:
        message = _message(news)
        for page in [page for page in self._pages if not page.put(message)]:
            self._pages.discard(page)
            self.dropped += 1
            log.warning("a page took no news and was let go")

    async def _tell_figures(self) -> None:
        connected = None
        while True:
            await asyncio.sleep(STATISTICS_EVERY_S)
            if not self._pages:
                continue
            if (now_connected := self._connected()) != connected:
                connected = now_connected
                self._tell({"type": "broker", "connected": connected})
            if not self._changed.is_set():
                continue
            self._changed.clear()
            try:
                self._tell({"type": "statistics", "statistics": await self._statistics()})
            except StoreError as exc:
                log.warning("the figures for the page could not be read: %s", exc)


def _message(news: dict[str, Any]) -> str:
    return f"data: {json.dumps(news, ensure_ascii=False)}\n\n"
