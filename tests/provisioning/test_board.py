"""What a board is told, in the words of the firmware."""

import re
import subprocess
from pathlib import Path

import pytest

from gateway.errors import ConfigurationError
from gateway.provisioning.board import BoardSettings, ca_header, check_told
from gateway.provisioning.logins import Device
from tests.fakes.mosquitto import find_program

FIRMWARE = Path(__file__).parents[2] / "firmware"
BOARD = BoardSettings(Device("kitchen", 'La "cocina" \\ñ', "es"), "s3cret-_", "192.168.1.10", 8883, "home/voice")
VALUES = {
    "VOICE_MQTT_HOST": "192.168.1.10",
    "VOICE_MQTT_PORT": "8883",
    "VOICE_MQTT_USER": "kitchen",
    "VOICE_MQTT_PASSWORD": "s3cret-_",
    "VOICE_DEVICE_ID": "kitchen",
    "VOICE_DEVICE_NAME": 'La "cocina" \\ñ',
    "VOICE_LANGUAGE": "es",
    "VOICE_ROOT_TOPIC": "home/voice",
}


def compiled(header: str, names: list[str], folder: Path) -> list[str]:
    """What the C++ compiler makes of those names with that header; a name that is not defined is `-`."""
    (folder / "secrets.h").write_text(header)
    shown = "\n".join(f'#ifdef {name}\n  show({name});\n#else\n  show("-");\n#endif' for name in names)
    (folder / "main.cpp").write_text(
        '#include <iostream>\n#include "secrets.h"\n'
        'template <class Value> void show(Value value) { std::cout << value << "\\n"; }\n'
        f"int main() {{\n{shown}\n}}\n"
    )
    command = [find_program("g++"), "-std=c++17", "-Wall", "-Wextra", "-Werror", "main.cpp", "-o", "main"]
    subprocess.run(command, cwd=folder, check=True)
    return subprocess.run([folder / "main"], check=True, capture_output=True, text=True).stdout.splitlines()


def test_the_header_says_everything_to_the_compiler(tmp_path: Path) -> None:
    assert compiled(BOARD.header(), [*VALUES, "VOICE_WIFI_SSID"], tmp_path) == [*VALUES.values(), "-"]


def test_what_is_not_known_is_left_to_the_firmware(tmp_path: Path) -> None:
    board = BoardSettings(Device("kitchen"), "s3cret", "broker.local", 1884)
    names = ["VOICE_DEVICE_NAME", "VOICE_LANGUAGE", "VOICE_ROOT_TOPIC"]
    assert compiled(board.header(), names, tmp_path) == ["-", "-", "-"]


def test_a_header_made_again_keeps_the_wireless_network(tmp_path: Path) -> None:
    old = BOARD.header().replace("\n\n#endif", '\n#define VOICE_WIFI_SSID "Casa"\n#define VOICE_MODE "push"\n\n#endif')
    new = BoardSettings(Device("kitchen"), "other", "broker.local", 1884).header(old)
    names = ["VOICE_WIFI_SSID", "VOICE_MODE", "VOICE_MQTT_PASSWORD", "VOICE_DEVICE_NAME"]
    assert compiled(new, names, tmp_path) == ["Casa", "push", "other", "-"]


def test_a_header_shows_where_the_wireless_network_goes(tmp_path: Path) -> None:
    header = BOARD.header()
    assert '// #define VOICE_WIFI_SSID "' in header
    filled = header.replace("// #define VOICE_WIFI", "#define VOICE_WIFI").replace("your network, 2.4 GHz", "Casa")
    assert compiled(filled, ["VOICE_WIFI_SSID"], tmp_path) == ["Casa"]
    assert "// #define" not in BOARD.header(filled)


def test_the_header_has_the_names_of_the_firmware_s_example() -> None:
    example = (FIRMWARE / "include" / "secrets.example.h").read_text()
    theirs = set(re.findall(r"^#define (VOICE_\w+) ", example, re.MULTILINE))
    assert set(re.findall(r"^#define (VOICE_\w+) ", BOARD.header(), re.MULTILINE)) == theirs - {
        "VOICE_WIFI_SSID",
        "VOICE_WIFI_PASSWORD",
        "VOICE_MODE",
    }


def test_the_console_knows_every_setting() -> None:
    known = set(re.findall(r'^    \{"(\w+)", ', (FIRMWARE / "src" / "settings.cpp").read_text(), re.MULTILINE))
    lines = BOARD.serial_commands().splitlines()
    assert lines[-1] == "save"
    assert {line.split()[1] for line in lines[:-1]} == set(BOARD.values()) <= known
    assert all(line.startswith("set ") for line in lines[:-1])


def test_the_authority_s_header_has_the_form_of_the_firmware_s_example() -> None:
    certificate = "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"
    example = (FIRMWARE / "include" / "ca_cert.example.h").read_text()
    without_comments = "".join(line for line in example.splitlines(keepends=True) if not line.startswith("//"))
    assert ca_header(certificate).partition("\n")[2] == without_comments


@pytest.mark.parametrize(
    ("name", "language", "why"),
    [
        ("ñ" * 33, "", "64 bytes"),
        ("two\nlines", "", "one line"),
        (" Cocina", "", "one line"),
        ("", "Spanish", "no language"),
        ("", "es\nset", "no language"),
    ],
)
def test_what_the_firmware_would_not_take_is_refused(name: str, language: str, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        check_told(Device("kitchen", name, language))


def test_what_it_takes_is_not() -> None:
    check_told(Device("kitchen", "ñ" * 32, "pt-BR"))
