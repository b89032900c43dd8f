"""The line of the banner that can be pasted into another terminal to try the gateway."""

import shlex
from typing import Any

from gateway.broker.url import BrokerKind, BrokerUrl
from gateway.config import Settings

COMMAND = "voice-gateway"
QUESTIONS = {"es": "¿Qué hora es?", "en": "What time is it?"}
"""Phrases that the speech model in the package understands too."""


def line_to_try(settings: Settings, asked: BrokerUrl, reached: BrokerUrl, program: str) -> str:
    """Return a `voice-gateway talk` that finds the gateway which runs with `settings`, on one line for a shell.

    `asked` is the broker as configured, `reached` where it is; `program` is the path of this process's program. A
    password is never on the line: where `talk` needs one, it is in the settings that it shares with the gateway.
    """
    language = settings.language if settings.language in QUESTIONS else "en"
    if settings.language == "auto":
        language = _default("language")
    words = [program if program.endswith(COMMAND) else COMMAND, "talk", "--text", QUESTIONS[language]]
    if asked.password is None and settings.mqtt_url != _default("mqtt_url"):
        words += ["--mqtt-url", str(_to_give(asked, reached))]
        if settings.mqtt_ca_file is not None:
            words += ["--mqtt-ca-file", str(settings.mqtt_ca_file)]
    if settings.data_dir != _default("data_dir"):
        words += ["--data-dir", str(settings.data_dir)]
    if settings.root_topic != _default("root_topic"):
        words += ["--root-topic", settings.root_topic]
    if language != _default("language"):
        words += ["--language", language]
    return shlex.join(words)


def _default(name: str) -> Any:
    return Settings.model_fields[name].default


def _to_give(asked: BrokerUrl, reached: BrokerUrl) -> BrokerUrl:
    """The broker for `talk`; of an embedded one with a kept password as configured, so that `talk` looks it up."""
    if asked.kind is BrokerKind.EMBEDDED and reached.password is not None:
        return BrokerUrl(asked.kind, asked.host, reached.port, asked.username)
    return reached
