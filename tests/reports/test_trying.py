import shlex
from pathlib import Path
from typing import Any

import pytest

from gateway.broker.url import BrokerKind, BrokerUrl, parse_broker_url
from gateway.config import Settings
from gateway.reports.trying import line_to_try


def words(program: str = "voice-gateway", reached: BrokerUrl | None = None, **given: Any) -> list[str]:
    settings = Settings(**given)
    asked = parse_broker_url(settings.mqtt_url)
    line = line_to_try(settings, asked, reached or asked, program)
    assert "\n" not in line
    return shlex.split(line)


ASK = ["voice-gateway", "talk", "--text", "¿Qué hora es?"]
LOOPBACK = BrokerUrl(BrokerKind.MQTT, "127.0.0.1", 2883)
WITH_PASSWORD = BrokerUrl(BrokerKind.MQTT, "127.0.0.1", 2883, "voice", "geheim")


def test_by_default_there_is_nothing_to_say_but_the_question() -> None:
    assert words(reached=BrokerUrl(BrokerKind.MQTT, "127.0.0.1", 1883)) == ASK


@pytest.mark.parametrize(
    ("program", "named"),
    [
        (".venv/bin/voice-gateway", ".venv/bin/voice-gateway"),
        ("/my programs/voice-gateway", "/my programs/voice-gateway"),
        ("/somewhere/gateway/cli/__main__.py", "voice-gateway"),
        ("-c", "voice-gateway"),
    ],
)
def test_the_program_is_the_one_that_runs(program: str, named: str) -> None:
    assert words(program)[0] == named


@pytest.mark.parametrize(
    ("given", "reached", "told"),
    [
        ({"mqtt_url": "embedded://127.0.0.1:0"}, LOOPBACK, ["--mqtt-url", "mqtt://127.0.0.1:2883"]),
        ({"mqtt_url": "embedded://0.0.0.0:0"}, WITH_PASSWORD, ["--mqtt-url", "embedded://0.0.0.0:2883"]),
        ({"mqtt_url": "embedded://ana:geheim@0.0.0.0:2883"}, WITH_PASSWORD, []),
        ({"mqtt_url": "mqtt://ana:geheim@host"}, None, []),
        ({"mqtt_url": "mqtt://host"}, None, ["--mqtt-url", "mqtt://host:1883"]),
        (
            {"mqtt_url": "mqtts://host", "mqtt_ca_file": "/my ca.pem"},
            None,
            ["--mqtt-url", "mqtts://host:8883", "--mqtt-ca-file", "/my ca.pem"],
        ),
        ({"data_dir": Path("/my data")}, None, ["--data-dir", "/my data"]),
        ({"root_topic": "home/voice"}, None, ["--root-topic", "home/voice"]),
        ({"language": "auto"}, None, []),
    ],
)
def test_what_differs_from_the_defaults_is_said(
    given: dict[str, Any], reached: BrokerUrl | None, told: list[str]
) -> None:
    assert words(reached=reached, **given) == ASK + told


@pytest.mark.parametrize("language", ["en", "de"])
def test_the_question_is_in_the_language_or_english(language: str) -> None:
    assert words(language=language) == ["voice-gateway", "talk", "--text", "What time is it?", "--language", "en"]
