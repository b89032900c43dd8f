"""The page's questions about devices, and what it may have done to them."""

from typing import Annotated, Any

from fastapi import APIRouter, Body, Query

from gateway.errors import DeviceFault, OperationRefused
from gateway.values import TurnKind
from gateway.web.errors import WebError, named, not_found
from gateway.web.services import WebServices
from gateway.web.shown import shown_conversation, shown_device
from gateway.wire.announcements import parse_announcement_request

DEVICES_SHOWN = 200
CONVERSATION_TURNS_MAX = 200


async def devices_shown(services: WebServices) -> list[dict[str, Any]]:
    """Every device that is in memory or was active lately, the newest activity first."""
    with_text = services.settings.web_text
    live = {state.device.id: state for state in services.live.states}
    kept = {each.session_id: each for each in await services.operations.list_sessions(DEVICES_SHOWN)}
    # What has never spoken is kept nowhere: it is only there.
    names = [*kept, *(device for device in reversed(live) if device not in kept)][:DEVICES_SHOWN]
    return [
        shown_device(live.get(name), kept.get(name), online=services.live.online(name), with_text=with_text)
        for name in names
    ]


def router(services: WebServices) -> APIRouter:
    """The routes of devices."""
    routes = APIRouter(prefix="/api", tags=["devices"])
    operations, settings = services.operations, services.settings

    @routes.get("/devices")
    async def devices() -> dict[str, Any]:
        """What every device is doing, the newest activity first."""
        return {"devices": await devices_shown(services)}

    @routes.get("/devices/{session_id}/conversation")
    async def conversation(
        session_id: str, limit: Annotated[int, Query(ge=1, le=CONVERSATION_TURNS_MAX, description="Turns")] = 50
    ) -> dict[str, Any]:
        """What was said in the newest turns of a device, oldest first."""
        named(session_id)
        if not settings.web_text:
            message = "what was said is not shown; the setting web_text (GATEWAY_WEB_TEXT=true) allows it"
            raise WebError(403, "text_hidden", message)
        try:
            return {"messages": shown_conversation(await operations.conversation(session_id, limit))}
        except OperationRefused as exc:
            raise not_found(exc) from exc

    @routes.post("/devices/{session_id}/forget")
    async def forget(session_id: str) -> dict[str, Any]:
        """Erase the conversation of a device."""
        named(session_id)
        try:
            device, messages = await operations.forget(session_id)
        except OperationRefused as exc:
            raise not_found(exc) from exc
        return {"session_id": device, "messages": messages}

    @routes.post("/devices/{session_id}/abort", status_code=204)
    async def abort(session_id: str) -> None:
        """Make a device fall silent."""
        named(session_id)
        operations.abort(session_id)

    @routes.post("/announce")
    async def announce(
        body: Annotated[dict[str, Any], Body(examples=[{"to": "all", "text": "La comida está lista."}])],
    ) -> dict[str, Any]:
        """Have devices speak a text, or with `ask` answer it: the keys are those of the request `say` over MQTT."""
        kind = TurnKind.ASK if body.pop("ask", False) is True else TurnKind.SAY
        try:
            request = parse_announcement_request(body, settings.text_max_chars)
        except DeviceFault as fault:
            raise WebError(422, "bad_request", fault.message) from fault
        announced = await operations.announce(kind, request)
        return {"id": announced.id, "devices": list(announced.devices), "refused": dict(announced.refused)}

    return routes
