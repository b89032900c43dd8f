"""What the gateway and its software devices need of an MQTT connection."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Incoming:
    """One message from the broker. `retained` is true only for what lay there before the subscription."""

    topic: str
    payload: bytes
    retained: bool = False


@dataclass(frozen=True, slots=True)
class Will:
    """What the broker publishes for a client that vanishes."""

    topic: str
    payload: bytes
    qos: int = 1
    retain: bool = True


@dataclass(frozen=True, slots=True)
class Subscription:
    topic_filter: str
    qos: int = 0


Receiver = Callable[[Incoming], None]
"""Called on the event loop for each message; it only routes, and never blocks."""


class Broker(Protocol):
    """A connection that heals itself."""

    @property
    def connected(self) -> bool: ...

    async def publish(self, topic: str, payload: bytes, *, qos: int = 0, retain: bool = False) -> None:
        """Hand a message to the broker.

        A retained message is kept and published again after every reconnect (the newest of each topic), so it
        never raises for a broker that is away.

        Raises:
            BrokerUnavailable: there is no connection, or it did not take the message in time.
        """
        ...

    def forget_retained(self, topic: str) -> None:
        """Do not publish the retained message of `topic` again: somebody else has erased it."""
        ...
