"""Who may connect to the broker: the roles, whose names its access rules know, and the devices."""

import json
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from gateway.errors import ConfigurationError, GatewayError
from gateway.provisioning import password_file
from gateway.values import DeviceId, parse_device_id

GATEWAY = "gateway"
ROLES = (GATEWAY, "homeassistant", "operator")
"""The logins that mosquitto/acl has rules for; every other login is a device's."""

OTHER_MEANING = ("mac", "uuid")
"""What the firmware's setting `id` takes for a wish and not for an id."""


class UnknownLogin(GatewayError):
    """There is no such login."""


@dataclass(frozen=True, slots=True)
class Device:
    """A device that has a login. `spelling` is its id as its topics have it; a password that was made by other means
    has no `created_at`."""

    spelling: str
    name: str = ""
    language: str = ""
    created_at: datetime | None = None

    @property
    def id(self) -> DeviceId:
        return parse_device_id(self.spelling)


@dataclass(frozen=True, slots=True)
class Logins:
    """The password file as text, and what is known of the devices in it, by spelling.

    The password file alone says who has a login: it may have been changed by `mosquitto_passwd`.
    """

    passwords: str = ""
    known: dict[str, Device] = field(default_factory=dict)

    @property
    def roles(self) -> list[str]:
        return [name for name in password_file.names(self.passwords) if name in ROLES]

    @property
    def devices(self) -> list[Device]:
        """In the order in which they were added; logins that cannot be a device's are left out."""
        names = [name for name in password_file.names(self.passwords) if name not in ROLES and _is_device(name)]
        return [self.known.get(name) or Device(name) for name in names]

    def device(self, spelling: str) -> Device:
        """The device whose topics are spelled so, or whose MAC it is in another spelling.

        Raises:
            UnknownLogin: there is none.
        """
        wanted = checked_id(spelling)
        for device in self.devices:
            if device.id == wanted:
                return device
        raise UnknownLogin(f"no device {spelling} has a login; `voice-gateway devices list` shows them")

    def with_device(self, device: Device, password: str, salt: bytes) -> "Logins":
        """With the login of a device that has none yet.

        Raises:
            ConfigurationError: it cannot be a device's id, or there is one already.
        """
        new = checked_id(device.spelling)
        if same := next((each for each in self.devices if each.id == new), None):
            raise ConfigurationError(
                f"{same.spelling} has a login already"
                + ("" if same.spelling == device.spelling else f", and {device.spelling} is the same MAC")
                + f"; `voice-gateway devices rotate {same.spelling}` gives it a new password"
            )
        return replace(
            self.with_password(device.spelling, password, salt), known=self.known | {device.spelling: device}
        )

    def with_password(self, name: str, password: str, salt: bytes) -> "Logins":
        """With this password for the login `name`, which may be new."""
        return replace(
            self, passwords=password_file.with_entry(self.passwords, password_file.entry(name, password, salt))
        )

    def without(self, device: Device) -> "Logins":
        return Logins(
            password_file.without_entry(self.passwords, device.spelling),
            {spelling: each for spelling, each in self.known.items() if spelling != device.spelling},
        )


def login_name(spelling: str) -> str:
    """How the topics of the device `spelling` are spelled where it logs in, and the login with them: as given, but for
    a MAC with colons. The password file has no way to write those.

    Raises:
        ConfigurationError: it cannot be a device's id, or not one that logs in.
    """
    canonical = checked_id(spelling)
    if ":" not in spelling:
        return spelling
    if ":" in canonical:
        raise ConfigurationError(f"{spelling!r} cannot log in: a colon ends the name in Mosquitto's password file")
    return canonical


def checked_id(spelling: str) -> DeviceId:
    """The canonical id of a device that may have a login.

    Raises:
        ConfigurationError: it may not; the message says why.
    """
    if spelling in ROLES and spelling != GATEWAY:
        raise ConfigurationError(f"{spelling!r} is the login of a role, not of a device; see `voice-gateway broker`")
    if spelling in OTHER_MEANING:
        raise ConfigurationError(f"{spelling!r} is no device: give the id itself, which the board shows as it starts")
    try:
        return parse_device_id(spelling)
    except ValueError as error:
        raise ConfigurationError(f"{spelling!r} is no device: {error}") from None


def encode_known(known: dict[str, Device]) -> str:
    """What is known of the devices, as the file beside the password file has it."""
    data = {
        spelling: {
            "name": device.name,
            "language": device.language,
            "created_at": device.created_at and device.created_at.isoformat(),
        }
        for spelling, device in known.items()
    }
    return json.dumps(data, ensure_ascii=False, indent=2) + "\n"


def decode_known(text: str) -> dict[str, Device]:
    """The reverse of `encode_known`.

    Raises:
        ValueError: the text is not what that writes.
    """
    try:
        data: dict[str, dict[str, Any]] = json.loads(text)
        return {spelling: Device(spelling, **_decoded(facts)) for spelling, facts in data.items()}
    except (AttributeError, TypeError, RecursionError) as error:
        raise ValueError(f"it is not a table of devices: {error}") from None


def _decoded(facts: dict[str, Any]) -> dict[str, Any]:
    created_at = facts.get("created_at")
    if not all(isinstance(facts.get(name, ""), str) for name in ("name", "language")):
        raise TypeError("a name and a language are texts")
    return facts | {"created_at": created_at and datetime.fromisoformat(created_at)}


def _is_device(name: str) -> bool:
    try:
        parse_device_id(name)
    except ValueError:
        return False
    return True
