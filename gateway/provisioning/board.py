"""What a board is told so that it gets to the broker: lines for its serial console, or a header to build it with.

The names are the firmware's (firmware/src/settings.cpp, firmware/include/*.example.h).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from gateway.errors import ConfigurationError
from gateway.provisioning.logins import Device

VALUE_MAX_BYTES = 64
"""Of each value that the firmware keeps."""
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z]{2,4})?")
_DEFINE = re.compile(r"^#define (VOICE_\w+) .*$", re.MULTILINE)
_DEFAULT_ROOT = "voice"


@dataclass(frozen=True, slots=True)
class BoardSettings:
    """The settings of one board. It logs in as what its topics call it, which the broker's access rules demand."""

    device: Device
    password: str
    host: str
    port: int
    root: str = _DEFAULT_ROOT

    def values(self) -> dict[str, str]:
        """By the names of the serial console. What is left to the firmware's own default is not in it."""
        values = {
            "mqtt_host": self.host,
            "mqtt_port": str(self.port),
            "mqtt_user": self.device.spelling,
            "mqtt_password": self.password,
            "id": self.device.spelling,
            "name": self.device.name,
            "language": self.device.language,
            "root": "" if self.root == _DEFAULT_ROOT else self.root,
        }
        return {name: value for name, value in values.items() if value}

    def serial_commands(self) -> str:
        """Lines to be pasted into the serial console."""
        return "\n".join([*(f"set {name} {value}" for name, value in self.values().items()), "save"])

    def header(self, old: str = "") -> str:
        """The text of firmware/include/secrets.h; the lines of `old`, the header that was there, that are not about
        the broker and the device stay (the wireless network, the mode)."""
        values = self.values()
        values["device_id"] = values.pop("id")
        renamed = {"name": "device_name", "root": "root_topic"}
        new = {f"VOICE_{renamed.get(name, name).upper()}": value for name, value in values.items()}
        kept = [found[0] for found in _DEFINE.finditer(old) if found[1] not in _OURS]
        network = [] if any("VOICE_WIFI_SSID" in line for line in kept) else [*_NO_NETWORK, ""]
        return "\n".join(_header("VOICE_SECRETS_H", _SECRETS_NOTE, [*network, *kept, *_defines(new)]))


def ca_header(certificate: str) -> str:
    """The text of firmware/include/ca_cert.h, for boards that use TLS. `certificate` is PEM."""
    body = [f'static const char voice_ca_cert[] = R"CERT(\n{certificate.strip()}\n)CERT";']
    return "\n".join(_header("VOICE_CA_CERT_H", "Made by `voice-gateway broker certs`.", body))


def check_told(device: Device) -> None:
    """See that the firmware takes the device's name and language.

    Raises:
        ConfigurationError: it would not.
    """
    if (
        not device.name.isprintable()  # nor are bytes of the command line that are no text
        or len(device.name.encode()) > VALUE_MAX_BYTES
        or device.name != device.name.strip()
    ):
        raise ConfigurationError(
            f"the name {device.name!r} cannot be told to a board: at most {VALUE_MAX_BYTES} bytes, in one line"
        )
    if device.language and not _LANGUAGE.fullmatch(device.language):
        raise ConfigurationError(f"{device.language!r} is no language: es, en, …; without one it is the gateway's own")


def check_settings(board: BoardSettings) -> None:
    """See that the firmware takes all that it is told: what it would not, it leaves empty without a word.

    Raises:
        ConfigurationError: it would not.
    """
    check_told(board.device)
    for what, value in (("broker's address", board.host), ("root topic", board.root)):
        if len(value.encode()) > VALUE_MAX_BYTES or not value.isprintable() or value != value.strip():
            raise ConfigurationError(
                f"the {what} {value!r} cannot be told to a board: at most {VALUE_MAX_BYTES} bytes, in one line"
            )


_SECRETS_NOTE = (
    "Made by `voice-gateway devices`; holds a password. What is missing can be added here, as\n"
    "// secrets.example.h has it, or set over the serial line."
)
_NO_NETWORK = ('// #define VOICE_WIFI_SSID "your network, 2.4 GHz"', '// #define VOICE_WIFI_PASSWORD "its password"')
_OURS = {
    f"VOICE_{name}"
    for name in (
        "MQTT_HOST", "MQTT_PORT", "MQTT_USER", "MQTT_PASSWORD", "DEVICE_ID", "DEVICE_NAME", "LANGUAGE", "ROOT_TOPIC",
    )
}  # fmt: skip


def _header(guard: str, note: str, body: list[str]) -> Iterator[str]:
    yield f"// {note}"
    yield f"#ifndef {guard}"
    yield f"#define {guard}"
    yield ""
    yield from body
    yield ""
    yield "#endif"
    yield ""


def _defines(values: dict[str, str]) -> list[str]:
    return [
        f"#define {name} {value if name == 'VOICE_MQTT_PORT' else _c_string(value)}" for name, value in values.items()
    ]


def _c_string(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
