"""What can be seen of the gateway as a whole: for the page, for supervisors, for Prometheus and for curl."""

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Query
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import JSONResponse, Response

from gateway.errors import StoreError
from gateway.web.connections import Connections
from gateway.web.devices import devices_shown
from gateway.web.feed import PAGES_MAX, TURNS_KEPT, Feed
from gateway.web.front_door import FrontDoor
from gateway.web.metrics import Metrics
from gateway.web.services import WebServices
from gateway.web.streaming import Stream
from gateway.web.talk import CALLS_MAX, Talk

READY_WITHIN_S = 2.0
SNAPSHOT_TURNS = 100
DAYS = 30.0
_NEWS: dict[int | str, dict[str, Any]] = {200: {"content": {"text/event-stream": {}}}}


def router(
    services: WebServices, feed: Feed, door: FrontDoor, talk: Talk, metrics: Metrics, connections: Connections
) -> APIRouter:
    """The routes of the gateway as a whole."""
    routes = APIRouter()
    operations, broker = services.operations, services.broker

    @routes.get("/healthz", tags=["health"])
    async def healthz() -> dict[str, str]:
        """Whether the gateway runs."""
        return {"status": "ok"}

    @routes.get("/readyz", tags=["health"], responses={503: {"description": "Something is missing"}})
    async def readyz() -> JSONResponse:
        """Whether it can serve: the broker is connected, and the database answers."""
        store = "ok"
        try:
            async with asyncio.timeout(READY_WITHIN_S):
                await operations.list_sessions(1)
        except TimeoutError:
            store = f"no answer within {READY_WITHIN_S:g} s"
        except StoreError:
            store = "failed; the log says why"
        checks = {"broker": "ok" if broker.connected else "away", "store": store}
        well = all(check == "ok" for check in checks.values())
        return JSONResponse({"status": "ready" if well else "not ready", **checks}, 200 if well else 503)

    @routes.get("/metrics", tags=["health"], response_class=Response, responses={200: {"content": {"text/plain": {}}}})
    async def prometheus() -> Response:
        """Figures for Prometheus."""
        gauges = (
            ("voice_http_questions", "Questions over HTTP that are being answered", float(door.asking)),
            ("voice_pages", "Pages that are open", float(feed.pages)),
            ("voice_pages_dropped", "Pages let go because they took no news, since the start", float(feed.dropped)),
            (
                "voice_http_connections_ended",
                "Connections hung up at a bound, since the start",
                float(connections.ended),
            ),
            ("voice_browsers_talking", "Browsers that talk", float(len(talk))),
            ("voice_browsers_refused", "Browsers beyond the bound, since the start", float(talk.refused)),
        )
        try:
            statistics = await operations.statistics()
        except StoreError:
            statistics = None
        page = metrics.page(statistics, connected=broker.connected, gauges=gauges)
        return Response(page, media_type=CONTENT_TYPE_LATEST)

    @routes.get("/stats/sessions", tags=["sessions"])
    async def sessions() -> dict[str, Any]:
        """The gateway's figures, as on its topic `stats`."""
        return await operations.statistics()

    @routes.post("/admin/cleanup-sessions", tags=["sessions"])
    async def cleanup(days: Annotated[float, Query(ge=0, le=365_000)] = DAYS, dry_run: bool = False) -> dict[str, Any]:
        """Erase conversations without activity in so many days; with `dry_run` only say which."""
        erased = await operations.clean_up(days, dry_run=dry_run)
        ids = [session.session_id for session in erased]
        return {"days": days, "dry_run": dry_run, "removed": len(ids), "session_ids": ids}

    @routes.get("/api/overview", tags=["page"])
    async def overview() -> dict[str, Any]:
        """The gateway's figures, its broker, and who talks from a browser."""
        return {
            "statistics": await operations.statistics(),
            "broker": {"connected": broker.connected},
            "talking": {"open": len(talk), "most": CALLS_MAX},
            "pages": {"open": feed.pages, "most": PAGES_MAX},
        }

    @routes.get("/api/turns", tags=["page"])
    async def turns(limit: Annotated[int, Query(ge=1, le=TURNS_KEPT)] = 100) -> dict[str, Any]:
        """The newest turns that have ended, oldest first."""
        return {"turns": feed.turns(limit)}

    @routes.get("/api/errors", tags=["page"])
    async def errors() -> dict[str, Any]:
        """What went wrong lately, oldest first."""
        return {"errors": feed.errors()}

    @routes.get("/api/live", tags=["page"], response_class=Response, responses=_NEWS)
    async def live() -> Response:
        """What happens, as server-sent events: first a snapshot of everything, then the news."""
        page = feed.open_page()
        try:
            news = feed.news(page, await snapshot())
        except BaseException:
            feed.close_page(page)
            raise
        headers = {"X-Accel-Buffering": "no"}
        return Stream(news, 200, headers, "text/event-stream", lambda: feed.close_page(page))

    async def snapshot() -> dict[str, Any]:
        return {
            "type": "snapshot",
            "devices": await devices_shown(services),
            "running": feed.running(),
            "turns": feed.turns(SNAPSHOT_TURNS),
            "errors": feed.errors(),
            "statistics": await operations.statistics(),
            "broker": {"connected": broker.connected},
        }

    return routes
