"""What HTTP clients are told when something cannot be done: always JSON, with a code."""

from typing import Any

from starlette.responses import JSONResponse

from gateway.errors import OperationRefused
from gateway.values import DeviceId, parse_device_id


class WebError(Exception):
    """A request that is refused, with the HTTP `status`, a `code` for programs and a `message` for people."""

    def __init__(self, status: int, code: str, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = headers

    def response(self) -> JSONResponse:
        return JSONResponse(self.body(), self.status, self.headers)

    def body(self) -> dict[str, Any]:
        return {"error": {"code": self.code, "message": self.message}}


def named(spelling: str) -> DeviceId:
    """The device that a path means.

    Raises:
        WebError: no device can be called so.
    """
    try:
        return parse_device_id(spelling)
    except ValueError as exc:
        raise WebError(422, "bad_request", f"session id {spelling!r}: {exc}") from exc


def not_found(refused: OperationRefused) -> WebError:
    """What to answer when there is nothing by that name."""
    return WebError(404, "not_found", str(refused))
