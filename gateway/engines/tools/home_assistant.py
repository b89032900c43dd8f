"""Home Assistant as a source of action: lights, switches, blinds, …, what state they are in, and the weather.

Either by its services, for the entities that a list allows; or, without such a list, by its own conversation agent,
which knows what is exposed to Assist.
"""

import json
import logging
import time
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, Final, Self

from gateway.config import Settings
from gateway.engines.home_assistant_client import HomeAssistantClient, open_home_assistant
from gateway.engines.protocols import ToolSpec
from gateway.engines.tools.home_assistant_services import ACTIONS, described, forecast_told, service_for
from gateway.engines.tools.protocol import ToolContext
from gateway.errors import ToolFailed

ENTITIES_MAX: Final = 100
"""Entities that a model is told of at once; more cost it more time than they help. It is told how many more there are,
and may ask for them by their ids."""
AT_ONCE_MAX: Final = 20
"""Entities that one call may change."""
DAYS: Final = 3
"""Of the forecast, unless the model asks for more."""
FRESH_S: Final = 60.0
"""So old may be what is known of which entities there are."""

STATES, CONTROL, AGENT, WEATHER = "home_states", "home_control", "home_assistant", "home_weather"

_log = logging.getLogger(__name__)


class HomeAssistant:
    """The functions that the settings allow. That Home Assistant is not there is told the model when it asks."""

    name = "home-assistant"

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._patterns = settings.home_assistant_entities
        self._weather = settings.home_assistant_weather
        self._client: HomeAssistantClient | None = None
        self._names: list[str] = []
        self._known_at = float("-inf")
        self._specs: tuple[ToolSpec, ...] = ()

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        return cls(settings)

    @property
    def description(self) -> str:
        how = f"{len(self._patterns)} patterns of entities" if self._patterns else "its conversation agent"
        return f"home-assistant {self._client.server if self._client else ''} ({how})"

    @property
    def specs(self) -> Sequence[ToolSpec]:
        return self._specs

    async def start(self) -> None:
        self._client = open_home_assistant(self._settings)
        self._specs = self._make_specs()
        await self._look()

    async def prepare(self) -> None:
        """Somebody begins to speak: see which entities there are, if that has not been done lately."""
        if time.monotonic() - self._known_at > FRESH_S:
            await self._look()

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()

    async def check(self) -> str:
        await self._there.check()
        if not self._patterns:
            return f"{self._there.server} takes the token; its agent does what is exposed to Assist"
        allowed = await self._allowed_states()
        names = ", ".join(state["entity_id"] for state in allowed[:5]) + (", …" if len(allowed) > 5 else "")
        if not allowed:
            raise ToolFailed(f"{self._there.server} has no entity that home_assistant_entities allows")
        return f"{self._there.server} takes the token; {len(allowed)} entities are allowed: {names}"

    async def call(self, function: str, arguments: Mapping[str, Any], context: ToolContext) -> str:
        if function == AGENT:
            return await self._ask_agent(arguments, context)
        if function == WEATHER:
            return await self._tell_weather(arguments)
        if function == CONTROL:
            return await self._control(arguments)
        return await self._tell_states(arguments)

    # What there is

    @property
    def _there(self) -> HomeAssistantClient:
        assert self._client is not None, "used before start()"
        return self._client

    async def _look(self) -> None:
        """Learn which allowed entities there are, and tell the model from now on. What goes wrong shows in a call."""
        if not self._patterns:
            return
        try:
            self._remember(await self._allowed_states())
        except ToolFailed as error:
            _log.warning("the entities of Home Assistant are not known: %s", error)

    async def _allowed_states(self) -> list[dict[str, Any]]:
        states = [state for state in await self._there.states() if self._may_use(state["entity_id"])]
        self._remember(states)
        return states

    def _remember(self, states: Sequence[Mapping[str, Any]]) -> None:
        self._known_at = time.monotonic()
        names = _at_most([described(state, with_state=False) for state in states])
        if names != self._names:
            self._names = names
            self._specs = self._make_specs()
            if len(states) > ENTITIES_MAX:
                _log.warning(
                    "home_assistant_entities allows %d entities: the model is told %d of them by name, and that there"
                    " are more",
                    len(states),
                    ENTITIES_MAX,
                )

    def _may_use(self, entity: str) -> bool:
        return any(fnmatchcase(entity, pattern) for pattern in self._patterns)

    def _make_specs(self) -> tuple[ToolSpec, ...]:
        specs: list[ToolSpec] = []
        if self._patterns:
            there = "; ".join(self._names) or "ask home_states"
            entities = {"type": "array", "items": {"type": "string"}, "description": "ids, such as light.kitchen"}
            specs += [
                ToolSpec(
                    STATES,
                    f"What state things in the home are in now. There are: {there}",
                    {"type": "object", "properties": {"entity_ids": entities}},
                ),
                ToolSpec(
                    CONTROL,
                    "Switch or set things in the home, when the user asks for it. Say in a few words what was done."
                    f" There are: {there}",
                    {
                        "type": "object",
                        "properties": {
                            "entity_ids": entities,
                            "action": {"type": "string", "enum": list(ACTIONS)},
                            "value": {
                                "type": "number",
                                "description": "for set: percent of light, fan, volume or opening; degrees; a number",
                            },
                        },
                        "required": ["entity_ids", "action"],
                    },
                    acts=True,
                ),
            ]
        else:
            specs.append(
                ToolSpec(
                    AGENT,
                    "Tell the smart home what to do, or ask it about things in the home, in one plain sentence in the"
                    " user's language, such as 'turn on the kitchen light'. Returns what it answers.",
                    {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]},
                    acts=True,
                )
            )
        if self._weather:
            specs.append(
                ToolSpec(
                    WEATHER,
                    "The weather now and the forecast where the user lives, today and the coming days.",
                    {"type": "object", "properties": {"days": {"type": "integer", "minimum": 1, "maximum": 7}}},
                )
            )
        return tuple(specs)

    # What is done

    async def _ask_agent(self, arguments: Mapping[str, Any], context: ToolContext) -> str:
        text = arguments.get("text")
        if not isinstance(text, str) or not text.strip():
            raise ToolFailed("text is what to do, in one sentence")
        agent = self._settings.home_assistant_agent
        understood, answer = await self._there.converse(text.strip(), context.language, agent)
        if not understood:
            raise ToolFailed(f"Home Assistant answers: {answer}")
        return answer or "done"

    async def _tell_states(self, arguments: Mapping[str, Any]) -> str:
        wanted = self._entities(arguments, required=False)
        states = await self._allowed_states()
        told = [described(state) for state in states if not wanted or state["entity_id"] in wanted]
        if not told:
            raise ToolFailed("there is no such thing in the home")
        return "\n".join(_at_most(told))

    async def _control(self, arguments: Mapping[str, Any]) -> str:
        entities = self._entities(arguments, required=True)
        states = {state["entity_id"]: state for state in await self._allowed_states()}
        if missing := [entity for entity in entities if entity not in states]:
            raise ToolFailed(f"there is no {', '.join(missing)}; there are: {', '.join(states) or 'none'}")
        # All are looked at before the first is changed.
        calls = [service_for(entity, arguments.get("action"), arguments.get("value")) for entity in entities]
        for call in calls:
            await self._there.call(call.domain, call.service, call.data)
        now = {state["entity_id"]: state for state in await self._allowed_states()}
        return "done\n" + "\n".join(described(now[entity]) for entity in entities if entity in now)

    async def _tell_weather(self, arguments: Mapping[str, Any]) -> str:
        days = arguments.get("days", DAYS)
        if not isinstance(days, int):
            raise ToolFailed("days is a whole number")
        now = next((one for one in await self._there.states() if one["entity_id"] == self._weather), None)
        if now is None:
            raise ToolFailed(f"Home Assistant has no {self._weather}: check home_assistant_weather")
        asked = {"entity_id": self._weather, "type": "daily"}
        try:
            forecasts = await self._there.call("weather", "get_forecasts", asked, answers=True)
        except ToolFailed as error:
            _log.warning("%s gives no forecast: %s", self._weather, error)
            forecasts = None
        return json.dumps(forecast_told(now, forecasts, days), ensure_ascii=False)

    def _entities(self, arguments: Mapping[str, Any], *, required: bool) -> list[str]:
        """The entities that a call is about, each of them allowed.

        Raises:
            ToolFailed: there are none where some are needed, too many, or one is not allowed.
        """
        given = arguments.get("entity_ids") or []
        entities = [given] if isinstance(given, str) else given
        if not isinstance(entities, list) or not all(isinstance(entity, str) for entity in entities):
            raise ToolFailed("entity_ids is a list of ids, such as light.kitchen")
        if required and not entities:
            raise ToolFailed("entity_ids is missing")
        if len(entities) > AT_ONCE_MAX:
            raise ToolFailed(f"no more than {AT_ONCE_MAX} entities at once")
        if refused := [entity for entity in entities if not self._may_use(entity)]:
            raise ToolFailed(f"{', '.join(refused)} may not be used")
        return list(dict.fromkeys(entities))


def _at_most(told: Sequence[str]) -> list[str]:
    more = len(told) - ENTITIES_MAX
    return [*told[:ENTITIES_MAX], *([f"and {more} more"] if more > 0 else [])]
