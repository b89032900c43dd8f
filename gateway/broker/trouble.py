"""What is wrong with a connection, in words that say what to do."""

import aiomqtt
from aiomqtt.exceptions import MqttConnectError
from paho.mqtt.reasoncodes import ReasonCode

_REFUSED_LOGIN = (134, 135)
"""Reason codes that paho gives to CONNACK 4 (bad user name or password) and 5 (not authorised)."""
NOT_AUTHORISED = "not authorised: check user and password"
NOT_TRUSTED = "its certificate is not trusted"


def explain(error: Exception) -> str:
    """Say what went wrong with the connection, and what to do where that is known."""
    cause = error.__cause__ if isinstance(error.__cause__, aiomqtt.MqttError) else error
    if isinstance(cause, MqttConnectError) and isinstance(cause.rc, ReasonCode):
        if cause.rc.value in _REFUSED_LOGIN:
            return NOT_AUTHORISED
        return f"the broker refused: {cause.rc}"
    if isinstance(cause, aiomqtt.MqttCodeError):
        return "the connection broke"
    text = str(cause)
    if "CERTIFICATE_VERIFY_FAILED" in text:
        return f"{NOT_TRUSTED} ({text}): set GATEWAY_MQTT_CA_FILE to the CA that signed it"
    if isinstance(cause, TimeoutError) or "timed out" in text:
        return "no answer in time"
    if "refused" in text:
        return f"{text}: is the broker running there?"
    return text


def is_final(reason: str) -> bool:
    """Whether no waiting changes it: the login or the certificate is not accepted."""
    return reason == NOT_AUTHORISED or reason.startswith(NOT_TRUSTED)
