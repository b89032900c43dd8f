"""Which of Home Assistant's services an action is, and how its states read. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from gateway.errors import ToolFailed

SET: Final = "set"
ACTIONS: Final = ("on", "off", "open", "close", "stop", SET)

_SERVICES: Final[Mapping[str, Mapping[str, str]]] = {
    **{
        domain: {"on": "turn_on", "off": "turn_off"}
        for domain in ("light", "switch", "input_boolean", "fan", "climate", "media_player", "humidifier", "siren")
    },
    **{domain: {"on": "turn_on"} for domain in ("scene", "script")},
    "automation": {"on": "turn_on", "off": "turn_off"},
    "button": {"on": "press"},
    "input_button": {"on": "press"},
    "cover": {"open": "open_cover", "close": "close_cover", "stop": "stop_cover"},
    "valve": {"open": "open_valve", "close": "close_valve", "stop": "stop_valve"},
    # To unlock a door is for a person, not for what was perhaps misheard.
    "lock": {"close": "lock"},
}

_SETTING: Final[Mapping[str, tuple[str, str, float]]] = {
    "light": ("turn_on", "brightness_pct", 1),
    "fan": ("set_percentage", "percentage", 1),
    "cover": ("set_cover_position", "position", 1),
    "valve": ("set_valve_position", "position", 1),
    "climate": ("set_temperature", "temperature", 1),
    "humidifier": ("set_humidity", "humidity", 1),
    "media_player": ("volume_set", "volume_level", 0.01),
    "number": ("set_value", "value", 1),
    "input_number": ("set_value", "value", 1),
}
"""For each domain the service that sets a value, the name of the value there, and what to multiply it by."""

_ATTRIBUTES: Final = (
    *("unit_of_measurement", "current_temperature", "temperature", "humidity", "percentage", "current_position"),
    *("volume_level", "media_title"),
)
_FORECAST: Final = (
    *("datetime", "condition", "temperature", "templow", "precipitation", "precipitation_probability", "wind_speed"),
)
_WEATHER: Final = ("temperature", "temperature_unit", "humidity", "wind_speed", "wind_speed_unit", "precipitation_unit")


@dataclass(frozen=True, slots=True)
class ServiceCall:
    """A service of Home Assistant and what it is given."""

    domain: str
    service: str
    data: Mapping[str, Any]


def service_for(entity: str, action: object, value: object) -> ServiceCall:
    """The service that does `action` to `entity`; `value` is what to `set`.

    Raises:
        ToolFailed: that cannot be done to it; the message says what can.
    """
    domain = entity.partition(".")[0]
    if action == SET and domain in _SETTING:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ToolFailed(f"to set {entity}, value is a number")
        service, key, scale = _SETTING[domain]
        return ServiceCall(domain, service, {"entity_id": entity, key: value * scale})
    services = _SERVICES.get(domain, {})
    if action not in services:
        can = [*services, *([SET] if domain in _SETTING else [])]
        raise ToolFailed(f"{entity} cannot be changed by {action!r}; it can: {', '.join(can) or 'only be read'}")
    return ServiceCall(domain, services[str(action)], {"entity_id": entity})


def described(state: Mapping[str, Any], *, with_state: bool = True) -> str:
    """An entity as a model reads it: `light.kitchen (Kitchen light): on, brightness 50 %`."""
    attributes = state.get("attributes") or {}
    name = attributes.get("friendly_name")
    told = f"{state['entity_id']} ({name})" if name else str(state["entity_id"])
    if not with_state:
        return told
    more = [f"{key} {attributes[key]}" for key in _ATTRIBUTES if attributes.get(key) is not None]
    if (brightness := attributes.get("brightness")) is not None:
        more.append(f"brightness {round(brightness / 2.55)} %")
    return ", ".join([f"{told}: {state.get('state')}", *more])


def forecast_told(now: Mapping[str, Any], forecasts: Any, days: int) -> dict[str, Any]:
    """The weather `now` (a state), and of `forecasts` (what `weather.get_forecasts` answered) the first `days`.

    A Home Assistant that is too old for such an answer has the forecast in the state.
    """
    attributes = now.get("attributes") or {}
    listed = forecasts.get(now["entity_id"], {}).get("forecast") if isinstance(forecasts, dict) else None
    listed = listed or attributes.get("forecast") or []
    return {
        "now": {"condition": now.get("state")} | {key: attributes[key] for key in _WEATHER if key in attributes},
        "forecast": [
            {key: day[key] for key in _FORECAST if day.get(key) is not None} for day in listed[: max(1, days)]
        ],
    }
