"""A gateway with its own broker, and what a device and an onlooker ask of it."""

import json
from typing import Any

from gateway.device import SoftwareDevice
from tests.e2e.onlooker import Onlooker

EMBEDDED = "embedded://127.0.0.1:0"


async def asks(device: SoftwareDevice, text: str) -> dict[str, Any]:
    return dict(await (await device.ask(text)).done(20))


async def onlooker_asks(onlooker: Onlooker, verb: str, body: dict[str, object] | bytes) -> Any:
    """Ask exactly so, and return the next answer."""
    seen = len(onlooker.on(f"voice/gateway/response/{verb}"))
    payload = body if isinstance(body, bytes) else json.dumps(body).encode()
    await onlooker.publish(f"voice/gateway/request/{verb}", payload)
    return json.loads((await onlooker.nth(f"voice/gateway/response/{verb}", seen)).payload)
