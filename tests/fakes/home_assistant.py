"""A local server that speaks as much of Home Assistant's HTTP interface as the gateway uses, with a small home.

async with HomeAssistantServer() as home:
    home.url, home.token
    home.states["light.kitchen"]["state"]
    home.services                  # what was called: ("light", "turn_on", {…}), in order
    home.agent.answer = ("action_done", "Turned on the light")
    home.broken = 500              # answers everything with that
    home.service["light.turn_on"].wait_for = event   # answers when it is set
"""

import asyncio
import json
from abc import abstractmethod
from typing import Any

from tests.fakes.http_server import HttpServer, Request, Response, Route

TOKEN = "a-long-lived-token"


class _Path(Route):
    """What one path answers: JSON, to those who have the token."""

    def __init__(self, home: "HomeAssistantServer") -> None:
        super().__init__()
        self.home = home
        self.wait_for: asyncio.Event | None = None

    def respond(self, request: Request) -> Response:
        if self.home.broken is not None:
            return Response(self.home.broken, {"Content-Type": "text/plain"}, (b"told to fail",))
        if request.headers.get("authorization") != f"Bearer {TOKEN}":
            return Response(401, {"Content-Type": "text/plain"}, (b"401: Unauthorized",))
        try:
            body = self.body(request)
        except ValueError as error:
            return Response(400, {"Content-Type": "text/plain"}, (str(error).encode(),))
        return Response(200, {"Content-Type": "application/json"}, (json.dumps(body).encode(),), wait_for=self.wait_for)

    @abstractmethod
    def body(self, request: Request) -> Any: ...


class _Api(_Path):
    def body(self, request: Request) -> Any:
        return {"message": "API running."}


class _States(_Path):
    def body(self, request: Request) -> Any:
        return list(self.home.states.values())


class Service(_Path):
    """One service."""

    def __init__(self, home: "HomeAssistantServer", domain: str, name: str) -> None:
        super().__init__(home)
        self.domain, self.name = domain, name

    def body(self, request: Request) -> Any:
        data = request.json
        self.home.services.append((self.domain, self.name, data))
        state = self.home.states[data["entity_id"]]
        if self.name == "get_forecasts":
            return {"changed_states": [], "service_response": {data["entity_id"]: {"forecast": self.home.forecast}}}
        if self.name in ("turn_on", "turn_off"):
            state["state"] = self.name.removeprefix("turn_")
        if "brightness_pct" in data:
            state["attributes"]["brightness"] = round(data["brightness_pct"] * 2.55)
        return [state]


class Agent(_Path):
    """The conversation agent."""

    answer = ("action_done", "Done")

    def body(self, request: Request) -> Any:
        kind, speech = self.answer
        return {
            "response": {"response_type": kind, "speech": {"plain": {"speech": speech}}, "data": {}},
            "conversation_id": "c1",
        }


def _entity(entity: str, state: str, name: str, **attributes: Any) -> dict[str, Any]:
    return {"entity_id": entity, "state": state, "attributes": {"friendly_name": name, **attributes}}


class HomeAssistantServer(HttpServer):
    """A kitchen light and a bedroom light, a switch, a lock, a sensor and the weather."""

    def __init__(self) -> None:
        self.states = {
            one["entity_id"]: one
            for one in (
                _entity("light.kitchen", "off", "Kitchen light"),
                _entity("light.bedroom", "off", "Bedroom light"),
                _entity("switch.heater", "off", "Heater"),
                _entity("lock.door", "locked", "Front door"),
                _entity("sensor.outside", "7.5", "Outside", unit_of_measurement="°C"),
                _entity("weather.home", "rainy", "Home", temperature=9.5, temperature_unit="°C", humidity=88),
            )
        }
        self.forecast = [
            {"datetime": "2026-11-22T11:00:00+00:00", "condition": "rainy", "temperature": 11.0, "templow": 6.0},
            {"datetime": "2026-11-23T11:00:00+00:00", "condition": "sunny", "temperature": 14.0, "templow": 5.0},
        ]
        self.services: list[tuple[str, str, dict[str, Any]]] = []
        self.broken: int | None = None
        self.token = TOKEN
        self.api, self.listed = _Api(self), _States(self)
        self.agent = Agent(self)
        named = (
            "light.turn_on",
            "light.turn_off",
            "switch.turn_on",
            "weather.get_forecasts",
            "lock.lock",
            "lock.unlock",
        )
        self.service = {name: Service(self, *name.split(".")) for name in named}
        super().__init__(
            {
                "/": self.api,
                "/api/": self.api,
                "/api/states": self.listed,
                "/api/conversation/process": self.agent,
                **{f"/api/services/{name.replace('.', '/')}": route for name, route in self.service.items()},
            }
        )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"
