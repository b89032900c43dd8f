"""Whom an announcement is for: ids, groups and `all` become devices that are known, so many at most."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from gateway.config import Settings
from gateway.personality import EVERY_DEVICE, check_group
from gateway.sessions import Sessions
from gateway.store import Store
from gateway.values import DeviceId, is_unnamed, parse_device_id

GROUP = "group:"


@dataclass(slots=True)
class Recipients:
    """The devices that were found, each once, and why no device, or not all, were found for a name."""

    devices: dict[DeviceId, None] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)


class Directory:
    """Finds the devices that somebody means."""

    def __init__(
        self, settings: Settings, store: Store, sessions: Sessions, online: Callable[[DeviceId], bool]
    ) -> None:
        """`online` says whether a device is connected now."""
        self._settings = settings
        self._store = store
        self._sessions = sessions
        self._online = online

    async def find(self, names: Iterable[str]) -> Recipients:
        """Find the devices of `names`, each an id in any spelling, `group:<name>` or `all`; at most
        `announcement_devices_max`, those that are online first within a name.

        Raises:
            StoreError: the database fails.
        """
        found = Recipients()
        for name in dict.fromkeys(names):
            try:
                devices = await self._named(name)
            except ValueError as error:
                found.refused[name] = str(error)
                continue
            fresh = [device for device in devices if device not in found.devices]
            fresh.sort(key=lambda device: not self._online(device))
            room = self._settings.announcement_devices_max - len(found.devices)
            found.devices.update(dict.fromkeys(fresh[:room]))
            if len(fresh) > room:
                most = self._settings.announcement_devices_max
                found.refused[name] = f"{len(fresh) - room} devices are beyond announcement_devices_max, {most}"
        return found

    async def _named(self, name: str) -> list[DeviceId]:
        if name == EVERY_DEVICE:
            return _some(await self._everybody(), "no device is known yet")
        if name.startswith(GROUP):
            return _some(await self._members(name.removeprefix(GROUP)), "no device is in this group")
        device = parse_device_id(name)
        if is_unnamed(device):
            raise ValueError("it is a conversation over HTTP, where nothing can speak by itself")
        if device in self._sessions.known or device in self._settings.devices or await self._store.session(device):
            return [device]
        raise ValueError("no such device is known: see voice-gateway sessions list")

    async def _everybody(self) -> set[DeviceId]:
        kept = {address.id for address in await self._store.addresses()}
        known = {*kept, *self._sessions.known, *map(DeviceId, self._settings.devices)}
        return {device for device in known if not is_unnamed(device)}

    async def _members(self, group: str) -> set[DeviceId]:
        check_group(group)
        configured = {
            DeviceId(device) for device, said in self._settings.devices.items() if group in (said.groups or ())
        }
        return {address.id for address in await self._store.members(group, configured)}


def _some(devices: Iterable[DeviceId], otherwise: str) -> list[DeviceId]:
    if not (found := sorted(devices)):
        raise ValueError(otherwise)
    return found
