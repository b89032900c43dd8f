"""The page's questions about who answers on a device or in a group, and what it may change of that."""

from typing import Annotated, Any

from fastapi import APIRouter, Body

from gateway.personalities import Shown, Target, named_target
from gateway.web.services import WebServices

Changes = Annotated[dict[str, Any], Body(examples=[{"name": "Lola", "language": "es", "voice": None}])]


def router(services: WebServices) -> APIRouter:
    """The routes of personalities."""
    routes = APIRouter(prefix="/api", tags=["personality"])
    operations = services.operations
    personas = sorted(services.settings.personas)

    def told(shown: Shown) -> dict[str, Any]:
        report = shown.report()
        effective = report["effective"]
        return {
            "own": report["said"],
            "configured": report["configured"],
            "effective": {name: each["value"] for name, each in effective.items()},
            "from": {name: each["from"] for name, each in effective.items()},
            "personas": personas,
        }

    async def change(target: Target, changes: dict[str, Any]) -> dict[str, Any]:
        return told(await operations.change_personality(target, changes))

    @routes.get("/devices/{session_id}/personality")
    async def of_device(session_id: str) -> dict[str, Any]:
        """Who answers on a device, and where that is said."""
        return told(await operations.personality(named_target(session_id, None)))

    @routes.patch("/devices/{session_id}/personality")
    async def change_device(session_id: str, changes: Changes) -> dict[str, Any]:
        """Say who answers on a device, from its next turn on; null says it no longer."""
        return await change(named_target(session_id, None), changes)

    @routes.get("/groups/{group}/personality")
    async def of_group(group: str) -> dict[str, Any]:
        """Who answers on the devices of a group."""
        return told(await operations.personality(named_target(None, group)))

    @routes.patch("/groups/{group}/personality")
    async def change_group(group: str, changes: Changes) -> dict[str, Any]:
        """Say who answers on the devices of a group; null says it no longer."""
        return await change(named_target(None, group), changes)

    return routes
