"""Topics, and what fits into a packet."""

from typing import Any

import pytest

from gateway.wire.topics import UPLINK, Leaf, Topics, largest_payload
from tests.vectors import load, named


@pytest.mark.parametrize("row", load("largest_payload", "cases"), ids=named)
def test_the_largest_payload(row: Any) -> None:
    assert largest_payload(row["max_packet"], row["topic"], row["qos"]) == row["payload"]


@pytest.mark.parametrize("qos", [0, 1])
def test_the_largest_payload_fits_and_one_byte_more_does_not(qos: int) -> None:
    topic = "voice/a4cf128b3f9e/out"

    def packet_bytes(payload: int) -> int:
        remaining = 2 + len(topic) + 2 * qos + payload
        length_bytes = 1 if remaining < 128 else 2 if remaining < 16384 else 3 if remaining < 2097152 else 4
        return 1 + length_bytes + remaining

    for max_packet in [*range(60, 400), *range(16300, 16500), *range(2097100, 2097200)]:
        payload = largest_payload(max_packet, topic, qos)
        assert packet_bytes(payload) <= max_packet < packet_bytes(payload + 1)


@pytest.mark.parametrize("root", ["voice", "home/voice"])
@pytest.mark.parametrize("leaf", Leaf)
def test_a_device_topic_is_read_as_it_is_written(root: str, leaf: Leaf) -> None:
    topics = Topics(root)
    assert topics.parse_device(topics.device("A4:CF:12:8B:3F:9E", leaf)) == ("A4:CF:12:8B:3F:9E", leaf)


@pytest.mark.parametrize("topic", ["voice/x/other", "voice/in", "voice/a/b/in", "other/x/in", "voices/x/in", "voice"])
def test_what_is_no_device_topic(topic: str) -> None:
    assert Topics().parse_device(topic) is None


def test_requests_and_what_the_gateway_listens_to() -> None:
    topics = Topics("casa")
    assert topics.parse_request("casa/gateway/request/cleanup") == "cleanup"
    assert topics.parse_request("casa/gateway/response/cleanup") is None
    assert topics.parse_device("casa/gateway/request/cleanup") is None
    assert topics.response("stats") == "casa/gateway/response/stats"
    assert (topics.status, topics.stats) == ("casa/gateway/status", "casa/gateway/stats")
    assert [topics.every_device(leaf) for leaf in UPLINK] == [
        f"casa/+/{leaf}" for leaf in ("in", "hello", "control", "say", "ask", "online")
    ]
