"""MQTT voice gateway: every ESP32 with a microphone and a speaker gets its own assistant."""

__version__ = "0.1.0"
