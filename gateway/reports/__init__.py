"""Listeners to events: logs, MQTT events and state, statistics."""
