"""Saying who answers on a device, and finding out: for operators, whether the gateway runs or not."""

import reprlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from gateway.config import Settings, group_personality, personality_layers
from gateway.errors import DeviceFault, OperationRefused
from gateway.personality import UNSAID, Layer, Personality, check_group, reason
from gateway.store import Store, device_target, group_target
from gateway.values import DeviceId, parse_device_id
from gateway.wire.messages import parse_hello

BEYOND_SESSIONS = 100
"""Devices and groups that may have a personality in the database, beyond `sessions_max`."""


@dataclass(frozen=True, slots=True)
class Target:
    """Of whom something is said: a device, or a group."""

    device: DeviceId | None = None
    group: str = ""

    def __str__(self) -> str:
        return self.device or f"group {self.group}"

    @property
    def key(self) -> str:
        """What the database calls it."""
        return group_target(self.group) if self.device is None else device_target(self.device)


@dataclass(frozen=True, slots=True)
class Shown:
    """What is said of a target in the database (`said`) and in the configuration, and what holds of it: each value, and
    where it is said."""

    target: Target
    said: Personality
    configured: Personality
    effective: Mapping[str, tuple[Any, str]]

    @property
    def assistant(self) -> tuple[str, str]:
        """The language and the persona that hold; empty where there is none."""
        language, persona = (self.effective.get(name, ("", ""))[0] for name in ("language", "persona"))
        return language, persona

    def report(self) -> dict[str, Any]:
        """The same, for JSON."""
        whose = {"group": self.target.group} if self.target.device is None else {"session_id": self.target.device}
        return {
            **whose,
            "said": self.said.said,
            "configured": self.configured.said,
            "effective": {name: {"value": value, "from": place} for name, (value, place) in self.effective.items()},
        }


def named_target(device: str | None, group: str | None) -> Target:
    """The device, in any spelling, or the group that somebody means.

    Raises:
        OperationRefused: it is neither or both, or cannot be called so.
    """
    if (device is None) == (group is None):
        raise OperationRefused("name either a device or a group")
    try:
        return Target(parse_device_id(device)) if device is not None else Target(group=check_group(group or ""))
    except ValueError as error:
        raise OperationRefused(f"{device if device is not None else group!r}: {error}") from error


class Personalities:
    """Each method may raise `OperationRefused`, and `StoreError` when the database fails."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self._settings = settings
        self._store = store

    async def change(self, target: Target, changes: Mapping[str, Any]) -> Shown:
        """Say the values of `changes`, and no longer those that are None there. It holds from the next turn on."""
        if not changes:
            raise OperationRefused(f"nothing is to be changed; there are: {', '.join(Personality.model_fields)}")
        checked = self._checked(target, changes)
        said = {name: getattr(checked, name) for name in changes}
        await self._store.change_personality(target.key, said, self._settings.sessions_max + BEYOND_SESSIONS)
        return await self.show(target)

    async def show(self, target: Target) -> Shown:
        """What is said of a target, and what holds."""
        said = await self._store.personality(target.key)
        if target.device is None:
            together = group_personality(self._settings, target.group, said)
            configured = self._settings.groups.get(target.group, UNSAID)
            return Shown(target, said, configured, _effective([(str(target), together)]))
        configured = self._settings.devices.get(target.device, UNSAID)
        kept = await self._store.kept(target.device, configured.groups or ())
        found = personality_layers(self._settings, target.device, kept, await self._hello(target.device))
        return Shown(target, said, configured, _effective([*found, *self._defaults(target.device)]))

    async def everything(self) -> dict[Target, Personality]:
        """All that is said anywhere of devices and of groups, the latter first."""
        groups = {Target(group=name): said for name, said in self._settings.groups.items()}
        devices = {Target(DeviceId(device)): said for device, said in self._settings.devices.items()}
        for key, said in (await self._store.personalities()).items():
            kind, _, name = key.partition(":")
            target, among = (Target(DeviceId(name)), devices) if kind == "device" else (Target(group=name), groups)
            among[target] = said.over(among.get(target, UNSAID))
        return {target: among[target] for among in (groups, devices) for target in sorted(among, key=str)}

    def _checked(self, target: Target, changes: Mapping[str, Any]) -> Personality:
        try:
            changed = Personality.model_validate(dict(changes))
        except ValidationError as error:
            wrong = error.errors(include_url=False)
            raise OperationRefused("; ".join(map(_told, wrong))) from error
        if target.device is None and changed.groups is not None:
            raise OperationRefused("a group is not in groups itself; say of a device which groups it is in")
        personas = self._settings.personas
        if changed.persona is not None and changed.persona not in personas:
            there_are = f"there are: {', '.join(personas)}" if personas else "none is set in the setting personas"
            raise OperationRefused(f"there is no persona {changed.persona!r}; {there_are}")
        return changed

    async def _hello(self, device: DeviceId) -> Personality:
        known = await self._store.session(device)
        if known is None or not known.device_info:
            return UNSAID
        try:
            return parse_hello(known.device_info).personality
        except DeviceFault:
            return UNSAID

    def _defaults(self, device: DeviceId) -> list[Layer]:
        settings = self._settings
        of_settings = Personality.model_construct(
            system_prompt=settings.system_prompt,
            language=settings.language,
            voice=settings.tts_voice or None,
            model=settings.llm_model or None,
            max_tokens=settings.llm_max_tokens,
        )
        return [("settings", of_settings), ("id", Personality.model_construct(name=device))]


def _told(wrong: ErrorDetails) -> str:
    where = ".".join(map(str, wrong["loc"]))
    value = "" if wrong["type"] == "extra_forbidden" else f" is {reprlib.repr(wrong['input'])}"
    return f"{where}{value}: {reason(wrong)}"


def _effective(found: list[Layer]) -> dict[str, tuple[Any, str]]:
    values: dict[str, tuple[Any, str]] = {}
    for place, said in found:
        for name, value in said.said.items():
            values.setdefault(name, (value, place))
    return {name: values[name] for name in Personality.model_fields if name in values}
