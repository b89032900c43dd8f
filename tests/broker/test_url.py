"""What may stand in GATEWAY_MQTT_URL, and what is said when it cannot be understood."""

import pytest

from gateway.broker.url import BrokerKind, BrokerUrl, parse_broker_url
from gateway.errors import ConfigurationError


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("embedded", BrokerUrl(BrokerKind.EMBEDDED, "127.0.0.1", 1883)),
        ("embedded://0.0.0.0:1883", BrokerUrl(BrokerKind.EMBEDDED, "0.0.0.0", 1883)),
        ("embedded://127.0.0.1:0", BrokerUrl(BrokerKind.EMBEDDED, "127.0.0.1", 0)),
        ("embedded://a:b@0.0.0.0", BrokerUrl(BrokerKind.EMBEDDED, "0.0.0.0", 1883, "a", "b")),
        ("mqtt://broker.lan", BrokerUrl(BrokerKind.MQTT, "broker.lan", 1883)),
        ("mqtt://10.0.0.2:1884/", BrokerUrl(BrokerKind.MQTT, "10.0.0.2", 1884)),
        ("mqtts://user@host", BrokerUrl(BrokerKind.MQTTS, "host", 8883, "user")),
        ("mqtt://us%40er:p%2F%3A%23@host", BrokerUrl(BrokerKind.MQTT, "host", 1883, "us@er", "p/:#")),
        ("mqtt://[::1]:1999", BrokerUrl(BrokerKind.MQTT, "::1", 1999)),
    ],
)
def test_a_url_is_taken_apart(url: str, expected: BrokerUrl) -> None:
    assert parse_broker_url(url) == expected


@pytest.mark.parametrize(
    ("url", "advice"),
    [
        ("", "write embedded"),
        ("localhost", "begins with none of embedded, mqtt:// and mqtts://"),
        ("http://host", "begins with none of"),
        ("mqtt://", "names no host"),
        ("mqtt://host:geheim", "no valid port"),
        ("mqtt://host:99999", "no valid port"),
        ("mqtt://[::1", "no valid host"),
        ('mqtt://ho st"', "no valid host"),
        ("mqtt://ana:geheim@host;reboot", "no valid host"),
        ("mqtt://$(reboot)", "no valid host"),
        ("mqtt://host:0", "port 0"),
        ("mqtt://host/topic", "percent-encoded"),
        ("mqtt://user:geheim#1@host", "percent-encoded"),
        ("mqtt://:geheim@host", "no user"),
    ],
)
def test_a_wrong_url_is_answered_with_what_to_write(url: str, advice: str) -> None:
    with pytest.raises(ConfigurationError, match=advice) as error:
        parse_broker_url(url)
    assert "geheim" not in str(error.value)
    assert "geheim" not in str(error.value.__cause__)


@pytest.mark.parametrize(("host", "loopback"), [("127.0.0.1", True), ("::1", True), ("localhost", True), ("::", False)])
def test_loopback_is_what_only_this_machine_reaches(host: str, loopback: bool) -> None:
    assert BrokerUrl(BrokerKind.EMBEDDED, host, 1883).loopback is loopback


def test_no_form_of_a_url_shows_the_password() -> None:
    url = parse_broker_url("mqtts://ana:geheim@[fe80::1]:8884")
    assert f"{url}" == "mqtts://ana:***@[fe80::1]:8884"
    assert "geheim" not in repr(url)
