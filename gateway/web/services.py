"""What the web server works with."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from gateway.broker.protocol import Broker
from gateway.broker.url import BrokerUrl
from gateway.config import Settings
from gateway.events import Events
from gateway.operations import Operations
from gateway.reports.live import LiveState


@dataclass(frozen=True, slots=True)
class WebServices:
    """Parts of the gateway. `broker_url` says where software devices connect, login included; `now` is local time."""

    settings: Settings
    operations: Operations
    events: Events
    live: LiveState
    broker: Broker
    broker_url: Callable[[], BrokerUrl]
    now: Callable[[], datetime]
