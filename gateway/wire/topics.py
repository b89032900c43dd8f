"""The only place where a topic is spelled."""

from dataclasses import dataclass
from enum import StrEnum

from gateway.values import RESERVED_DEVICE_ID


class Leaf(StrEnum):
    """The last level of a device's topics."""

    IN = "in"
    OUT = "out"
    HELLO = "hello"
    CONTROL = "control"
    SAY = "say"
    ASK = "ask"
    EVENT = "event"
    STATE = "state"
    ONLINE = "online"


_LEAVES = {str(leaf): leaf for leaf in Leaf}

UPLINK = (Leaf.IN, Leaf.HELLO, Leaf.CONTROL, Leaf.SAY, Leaf.ASK, Leaf.ONLINE)
"""What the gateway listens to; the other leaves are its own."""

RETAINED = (Leaf.STATE, Leaf.HELLO, Leaf.ONLINE)
"""What the broker keeps of a device. Of one that is gone all of it goes: its hello would bring the session back."""

ONLINE, OFFLINE = b"online", b"offline"
"""What a device says on `online`, and the gateway as its status."""


@dataclass(frozen=True, slots=True)
class Topics:
    """The topics under one root."""

    root: str = "voice"

    def device(self, spelling: str, leaf: Leaf) -> str:
        return f"{self.root}/{spelling}/{leaf}"

    def every_device(self, leaf: Leaf) -> str:
        return f"{self.root}/+/{leaf}"

    @property
    def status(self) -> str:
        return f"{self.root}/{RESERVED_DEVICE_ID}/status"

    @property
    def stats(self) -> str:
        return f"{self.root}/{RESERVED_DEVICE_ID}/stats"

    @property
    def every_request(self) -> str:
        return f"{self.root}/{RESERVED_DEVICE_ID}/request/+"

    def request(self, verb: str) -> str:
        return f"{self.root}/{RESERVED_DEVICE_ID}/request/{verb}"

    def response(self, verb: str) -> str:
        return f"{self.root}/{RESERVED_DEVICE_ID}/response/{verb}"

    def parse_device(self, topic: str) -> tuple[str, Leaf] | None:
        """Return how the device of `topic` is spelled and the leaf, or None if it is no device topic."""
        prefix = f"{self.root}/"
        if not topic.startswith(prefix):
            return None
        spelling, _, last = topic[len(prefix) :].partition("/")
        leaf = _LEAVES.get(last)
        return None if leaf is None else (spelling, leaf)

    def parse_request(self, topic: str) -> str | None:
        """Return the verb that `topic` requests, or None if it is no request."""
        prefix = self.request("")
        return topic[len(prefix) :] if topic.startswith(prefix) else None


def largest_payload(max_packet: int, topic: str, qos: int = 0) -> int:
    """Return how many bytes of payload fit in an MQTT 3.1.1 PUBLISH of `max_packet` bytes on `topic`.

    A PUBLISH is 1 byte, the remaining length in 1 to 4 bytes of 7 bits, 2 bytes and the topic, 2 more at QoS 1,
    and the payload (MQTT 3.1.1 sections 2.2.3 and 3.3). Zero or less: nothing fits.
    """
    body = max_packet - 1
    for length_bytes in (1, 2, 3, 4):
        remaining = body - length_bytes
        if remaining < 1 << (7 * length_bytes):
            break
    return remaining - 2 - len(topic.encode()) - (2 if qos else 0)
