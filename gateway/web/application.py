"""The web application: its routes, and how what goes wrong in them is told."""

import time
from pathlib import Path
from typing import Annotated, Any

from fastapi import Body, FastAPI, Request, WebSocket
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.staticfiles import StaticFiles

from gateway import __version__
from gateway.errors import BrokerUnavailable, OperationRefused, StoreError
from gateway.web import assistants, devices, front_door, observing
from gateway.web.access import COOKIE, COOKIE_S, Access
from gateway.web.connections import Connections
from gateway.web.errors import WebError
from gateway.web.feed import Feed
from gateway.web.front_door import FrontDoor
from gateway.web.metrics import Metrics
from gateway.web.services import WebServices
from gateway.web.talk import PREFIX, Talk

STATIC = Path(__file__).parent / "static"
_CODES = {404: "not_found", 405: "bad_request", 408: "too_slow", 413: "too_large"}


def application(
    services: WebServices,
    access: Access,
    feed: Feed,
    door: FrontDoor,
    talk: Talk,
    metrics: Metrics,
    connections: Connections,
) -> FastAPI:
    """Put it together."""
    app = FastAPI(
        title="MQTT voice gateway",
        version=__version__,
        description="Spoken questions over HTTP, and what the page is made of: docs/http.md.",
        # Their pages load scripts from elsewhere.
        docs_url=None,
        redoc_url=None,
    )
    _tell_errors(app)
    app.include_router(front_door.router(door))
    app.include_router(devices.router(services))
    app.include_router(assistants.router(services))
    app.include_router(observing.router(services, feed, door, talk, metrics, connections))
    _add_login(app, services, access)

    @app.websocket("/api/talk")
    async def talking(socket: WebSocket) -> None:
        await talk.take(socket)

    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(STATIC / "index.html", headers={"Cache-Control": "no-cache"})

    app.mount("/static", StaticFiles(directory=STATIC))
    return app


def _add_login(app: FastAPI, services: WebServices, access: Access) -> None:
    @app.get("/api/hello", tags=["page"])
    async def hello(request: Request) -> dict[str, Any]:
        """What the page asks first: whether somebody has to log in."""
        login = "none" if not access.needs_login else "ok" if access.logged_in(request) else "needed"
        settings = services.settings
        return {
            "version": __version__,
            "login": login,
            "language": settings.language,
            "text_shown": settings.web_text,
            "device_prefix": PREFIX,
        }

    @app.post("/login", tags=["page"], status_code=204, response_class=Response)
    async def login(request: Request, token: Annotated[str, Body(embed=True, max_length=1000)]) -> Response:
        """Log a browser in: it keeps a cookie."""
        access.check_token(token, request, time.monotonic())
        response = Response(status_code=204)
        response.set_cookie(
            COOKIE,
            access.cookie(),
            max_age=COOKIE_S,
            secure=request.url.scheme == "https",
            httponly=True,
            samesite="strict",
        )
        return response

    @app.post("/logout", tags=["page"], status_code=204, response_class=Response)
    async def logout() -> Response:
        """Log a browser out."""
        response = Response(status_code=204)
        response.delete_cookie(COOKIE, httponly=True, samesite="strict")
        return response


def _tell_errors(app: FastAPI) -> None:
    @app.exception_handler(WebError)
    async def refused(_: Request, error: WebError) -> JSONResponse:
        return error.response()

    @app.exception_handler(OperationRefused)
    async def not_done(_: Request, error: OperationRefused) -> JSONResponse:
        return WebError(409, "refused", str(error)).response()

    @app.exception_handler(StoreError)
    async def store_failed(_: Request, error: StoreError) -> JSONResponse:
        return WebError(503, "store_failed", str(error)).response()

    @app.exception_handler(BrokerUnavailable)
    async def broker_away(_: Request, error: BrokerUnavailable) -> JSONResponse:
        return WebError(503, "broker_away", str(error)).response()

    @app.exception_handler(RequestValidationError)
    async def wrong(_: Request, error: RequestValidationError) -> JSONResponse:
        reasons = [f"{'.'.join(str(part) for part in each['loc'])}: {each['msg']}" for each in error.errors()]
        return WebError(422, "bad_request", "; ".join(reasons)).response()

    @app.exception_handler(ClientDisconnect)
    async def gone(_: Request, __: ClientDisconnect) -> JSONResponse:
        return WebError(499, "gone", "the client has gone").response()

    @app.exception_handler(HTTPException)
    async def http(_: Request, error: HTTPException) -> JSONResponse:
        code = _CODES.get(error.status_code, "bad_request")
        return WebError(error.status_code, code, str(error.detail), dict(error.headers or {})).response()

    @app.exception_handler(Exception)
    async def defect(_: Request, __: Exception) -> JSONResponse:
        return WebError(500, "internal", "an unexpected defect; see the log").response()
