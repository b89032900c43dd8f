"""The firmware's tables, pictures and settings agree: a wrong pin in one of them costs a maker an evening."""

import configparser
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FIRMWARE = ROOT / "firmware"
GUIDE = (ROOT / "docs" / "firmware.md").read_text()
BOARDS = {
    "esp32dev": "VOICE_BOARD_ESP32_DEVKIT",
    "esp32-s3-devkitc-1": "VOICE_BOARD_ESP32_S3_DEVKITC_1",
    "xiao-esp32s3-sense": "VOICE_BOARD_XIAO_ESP32S3_SENSE",
}
WIRES = {
    "SCK": "mic_clock",
    "WS": "mic_word_select",
    "SD": "mic_data",
    "BCLK": "speaker_clock",
    "LRC": "speaker_word_select",
    "DIN": "speaker_data",
}
"""What the parts' pins are called, and in board.h."""


def board(macro: str) -> dict[str, int]:
    text = (FIRMWARE / "src" / "board.h").read_text()
    block = re.split(r"#el|#endif\n\n", text.split(f"defined({macro})")[1].replace("#endif\nconstexpr", "constexpr"))[0]
    pins = {name: int(number) for name, number in re.findall(r"\.(\w+) = (-?\d+)", block)}
    assert {"mic_clock", "speaker_clock", "button"} <= pins.keys()
    return pins


def chapter(title: str) -> str:
    return GUIDE.split(f"{title}\n")[1].split("\n#")[0]


@pytest.mark.parametrize(
    ("environment", "title"),
    [
        ("esp32dev", "### ESP32 DevKit"),
        ("esp32-s3-devkitc-1", "### ESP32-S3-DevKitC-1"),
        ("xiao-esp32s3-sense", "### Seeed XIAO ESP32S3 Sense"),
    ],
)
def test_the_wiring_table_and_the_picture_show_the_pins_of_the_firmware(environment: str, title: str) -> None:
    pins = board(BOARDS[environment])
    table = dict(re.findall(r"\| (\w+) \| (?:D\d \(GPIO )?(\d+)\)? (?=\|)", chapter(title)))
    picture = (FIRMWARE / "boards" / f"{environment}.svg").read_text()
    drawn = dict(re.findall(r"(\w+) to (?:D\d \()?GPIO (\d+)", picture))
    wires = {wire: pin for wire, pin in WIRES.items() if pins["mic_word_select"] >= 0 or "speaker" in pin}
    assert {wire: int(table[wire]) for wire in wires} == {wire: pins[pin] for wire, pin in wires.items()}
    assert {wire: int(drawn[wire]) for wire in wires} == {wire: pins[pin] for wire, pin in wires.items()}
    assert f"boards/{environment}.svg" in chapter(title)


def test_each_pin_of_a_board_has_one_use() -> None:
    for macro in BOARDS.values():
        pins = board(macro)
        used = [pin for name, pin in pins.items() if name != "mic_gain_bits" and pin >= 0]
        assert len(used) == len(set(used)), macro


def test_each_board_can_be_built_with_and_without_tls_from_pinned_parts() -> None:
    project = configparser.ConfigParser(interpolation=None)
    project.read(FIRMWARE / "platformio.ini")
    for environment, macro in BOARDS.items():
        assert macro in project[f"env:{environment}"]["build_flags"]
        assert "VOICE_TLS" in project[f"env:{environment}-tls"]["build_flags"]
        assert f"`{environment}`" in GUIDE
    libraries = [line for line in project["env"]["lib_deps"].split("\n") if line and not line.startswith(";")]
    assert len(libraries) == 2
    assert all(re.search(r"#[0-9a-f]{40}$", library) for library in libraries)
    assert re.search(r"/download/[\d.]+/", project["env"]["platform"])


def test_each_setting_is_on_the_console_in_the_header_and_in_the_guide() -> None:
    source = (FIRMWARE / "src" / "settings.cpp").read_text()
    settings = dict(re.findall(r'\{"(\w+)", (?:VOICE_AS_TEXT\()?(VOICE_\w+)', source))
    assert len(settings) == 11
    example = set(re.findall(r"#define (VOICE_\w+) ", (FIRMWARE / "include" / "secrets.example.h").read_text()))
    assert set(settings.values()) == example
    console = chapter("## The console")
    assert {name for name in settings if f"`{name}`" in console} == settings.keys()
    assert {macro for macro in settings.values() if f"`{macro}`" in console} == example


def test_status_tells_every_counter() -> None:
    header = (FIRMWARE / "lib" / "voice_core" / "include" / "voice_core" / "counters.h").read_text()
    counters = set(re.findall(r"^  uint32_t (\w+) = 0;", header, re.MULTILINE))
    console = (FIRMWARE / "src" / "serial_console.cpp").read_text()
    assert counters
    assert set(re.findall(r"&voice::Counters::(\w+)\}", console)) == counters
    assert all(f'"{counter}"' in console for counter in counters)


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="needs a checkout")
@pytest.mark.parametrize("name", ["secrets.h", "ca_cert.h"])
def test_git_ignores_what_is_secret(name: str) -> None:
    ignored = subprocess.run(
        ["git", "check-ignore", "--quiet", f"firmware/include/{name}"], cwd=ROOT, check=False, timeout=10
    )
    assert ignored.returncode == 0


def test_the_simplest_sketch_is_short_and_needs_pubsubclient_only() -> None:
    sketch = (FIRMWARE / "examples" / "simplest" / "simplest.ino").read_text()
    assert len(sketch.splitlines()) < 60
    assert set(re.findall(r'#include [<"](.*)[>"]', sketch)) == {
        "PubSubClient.h",
        "WiFi.h",
        "driver/i2s_std.h",
        "secrets.h",
    }
