"""The fast lane on a real paho client with one end of a socket pair."""

import socket
from collections.abc import Iterator

import paho.mqtt.client as paho
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from paho.mqtt.enums import CallbackAPIVersion

from gateway.broker.fast_lane import FastLane
from tests.fakes.raw_mqtt import packet, publish_packet, text

Message = tuple[str, bytes, bool]


class Wired:
    """A client as it is once it is connected, and the broker's end of its socket."""

    def __init__(self) -> None:
        ours, self.broker = socket.socketpair()
        self.socket = ours
        ours.setblocking(False)
        self.messages: list[Message] = []
        self.by_paho: list[Message] = []
        self.client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv311)
        self.client._sock = ours
        self.client.on_socket_register_write = lambda *_: None
        self.client.on_message = lambda _client, _data, message: self.by_paho.append(
            (message.topic, bytes(message.payload), message.retain)
        )
        self.lane = FastLane(self.client, lambda *message: self.messages.append(message))

    def receive(self, data: bytes) -> None:
        self.broker.sendall(data)
        self.lane.readable()

    def close(self) -> None:
        self.socket.close()
        self.broker.close()


@pytest.fixture
def wired() -> Iterator[Wired]:
    wired = Wired()
    yield wired
    wired.close()


PINGRESP = packet(0xD0)


def at_qos1(topic: str, payload: bytes) -> bytes:
    return packet(0x32, text(topic) + b"\x00\x07" + payload)


@given(
    said=st.lists(
        st.tuples(st.sampled_from(["voice/a/in", "ñ"]), st.binary(max_size=300), st.sampled_from([0, 1, 2])), max_size=8
    ),
    cuts=st.lists(st.integers(1, 40), min_size=1),
)
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_every_message_comes_once_and_in_order_however_the_stream_was_cut(
    said: list[tuple[str, bytes, int]], cuts: list[int]
) -> None:
    wired = Wired()
    stream = b""
    for topic, payload, kind in said:
        stream += PINGRESP + (at_qos1(topic, payload) if kind == 1 else publish_packet(topic, payload))
    at = 0
    while at < len(stream):
        size = cuts[at % len(cuts)]
        wired.receive(stream[at : at + size])
        at += size
    assert wired.messages == [(topic, payload, False) for topic, payload, kind in said if kind != 1]
    assert wired.by_paho == [(topic, payload, False) for topic, payload, kind in said if kind == 1]
    wired.close()


def test_a_retained_message_is_told_to_be_one(wired: Wired) -> None:
    wired.receive(packet(0x31, text("state") + b"idle") + packet(0x30, text("state") + b""))
    assert wired.messages == [("state", b"idle", True), ("state", b"", False)]


@pytest.mark.parametrize(
    "nonsense",
    [b"\x30\xff\xff\xff\xff\x7f", packet(0x30, b"\x00\x09abc"), packet(0x30, b"\x00"), b"\x30\x80\x80\x80\x80"],
)
@pytest.mark.parametrize("cut", [1, 100])
def test_nonsense_ends_the_connection_and_delivers_nothing(wired: Wired, nonsense: bytes, cut: int) -> None:
    stream = publish_packet("a", b"1") + nonsense + publish_packet("a", b"2")
    parts = (stream[at : at + cut] for at in range(0, len(stream), cut))
    while wired.client.socket() is not None:
        wired.receive(next(parts))
    assert wired.messages == [("a", b"1", False)]


def test_the_end_of_the_stream_is_the_end_of_the_connection(wired: Wired) -> None:
    wired.broker.close()
    wired.lane.readable()
    assert wired.client.socket() is None
    with pytest.raises(OSError, match="no connection"):
        wired.lane.publish("a", b"")


def test_what_comes_after_the_close_is_thrown_away_and_the_end_still_seen(wired: Wired) -> None:
    wired.receive(publish_packet("a", b"half of it")[:5])
    wired.lane.close()
    for late in (b"rest", PINGRESP, at_qos1("a", b"late"), publish_packet("a", b"late")):
        wired.receive(late)
    assert wired.messages == wired.by_paho == []
    assert wired.client.socket() is not None
    wired.broker.close()
    wired.lane.readable()
    assert wired.client.socket() is None


@pytest.mark.parametrize("size", [0, 100, 127, 128, 16_383, 16_384])
def test_what_is_published_is_what_other_clients_publish(wired: Wired, size: int) -> None:
    wired.lane.publish("voice/ñ/out", bytes(size))
    expected = publish_packet("voice/ñ/out", bytes(size))
    assert wired.broker.recv(len(expected) + 1) == expected
    wired.lane.publish("state", b"idle", retain=True)
    assert wired.broker.recv(100) == packet(0x31, text("state") + b"idle")


def test_what_the_socket_does_not_take_follows_in_order(wired: Wired) -> None:
    payload = bytes(range(256)) * 20_000
    wired.lane.publish("big", payload)
    assert wired.client.want_write()
    expected, got = publish_packet("big", payload), bytearray()
    while len(got) < len(expected):
        got += wired.broker.recv(1 << 20)
        wired.client.loop_write()
    assert bytes(got) == expected
    assert not wired.client.want_write()


@pytest.mark.parametrize("topic", ["", "voice/+/in", "voice/#", "x" * 65_536])
def test_what_is_no_topic_is_refused_here_and_not_by_the_broker(wired: Wired, topic: str) -> None:
    with pytest.raises(ValueError, match="topic"):
        wired.lane.publish(topic, b"")
