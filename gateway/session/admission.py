"""What is asked before a turn may begin: whether the device may have one more, and where its conversation is kept."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import UTC
from typing import Any

from gateway.errors import DeviceFault, ErrorCode, SessionLimitReached, Stage, StoreError
from gateway.limits import SlidingWindow
from gateway.personality import UNSAID
from gateway.pipeline.turn_request import TurnServices
from gateway.session.telling import Teller
from gateway.store import OpenConversation
from gateway.values import DeviceAddress

TURN_WINDOW_S = 60.0


@dataclass(frozen=True, slots=True)
class Admitted:
    """The conversation of a turn (None: nothing is known of it, and nothing can be kept), and why the turn must be
    refused, if it must."""

    conversation: OpenConversation | None = None
    refusal: DeviceFault | None = None

    @property
    def epoch(self) -> int | None:
        return None if self.conversation is None else self.conversation.epoch


class Opening:
    """A turn that begins, whose conversation has been asked for.

    The moment to ask is when the device begins to speak: when it has finished, the answer is there. The store keeps
    the order of what it is asked, so the answer holds the turn that was interrupted just before.
    """

    def __init__(self, ask: Callable[[], Coroutine[Any, Any, Admitted]], refusal: DeviceFault | None) -> None:
        """`refusal` is why it may not begin. Then nothing is asked, and it leaves no trace: a device that only ever
        begins could fill the database."""
        self._ask = ask
        self._refused = None if refusal is None else Admitted(refusal=refusal)
        self._asking = self._begin()

    @property
    def is_refused(self) -> bool:
        """It may not begin, whatever the store says."""
        return self._refused is not None

    async def admitted(self) -> Admitted:
        """Wait for the answer of the store; it is given up soon when it does not come."""
        if self._refused is not None:
            return self._refused
        asking = self._asking
        assert asking is not None
        if not asking.done():
            # Whoever waits may be cancelled; the answer is still needed, for the record of what then ends.
            await asyncio.wait({asking})
        return asking.result()

    def ask_again(self) -> None:
        """The conversation was erased: the turn belongs to a new one."""
        self._asking = self._begin()

    def _begin(self) -> asyncio.Task[Admitted] | None:
        return None if self._refused is not None else asyncio.create_task(self._ask(), name="open conversation")


class Admission:
    """Lets the turns of one device begin, or says why not."""

    def __init__(self, services: TurnServices, device: Callable[[], DeviceAddress], teller: Teller) -> None:
        self._services = services
        self._device = device
        self._teller = teller
        self._per_minute = services.settings.turns_per_minute
        self._starts = SlidingWindow(self._per_minute, TURN_WINDOW_S)

    def begin(self) -> Opening:
        """Count a turn that begins, and ask for its conversation."""
        return Opening(self._ask, self._over_rate())

    def _over_rate(self) -> DeviceFault | None:
        if self._starts.allows(self._services.monotonic()):
            return None
        message = f"more than {self._per_minute} turns in a minute; wait a little"
        return DeviceFault(ErrorCode.RATE_LIMITED, Stage.RECEIVE, message, retryable=True)

    async def _ask(self) -> Admitted:
        services, settings = self._services, self._services.settings
        device = self._device()
        try:
            conversation = await services.store.begin_turn(
                device,
                settings.sessions_max,
                services.now().astimezone(UTC),
                messages=settings.history_messages,
                answers=settings.cache_session_entries if settings.cache_ttl_s > 0 else 0,
                groups=settings.devices.get(device.id, UNSAID).groups or (),
            )
        except SessionLimitReached as exc:
            return Admitted(refusal=DeviceFault(ErrorCode.BUSY, Stage.STORE, str(exc)))
        except StoreError as exc:
            self._teller.tell_store(exc)
            return Admitted()
        return Admitted(conversation)
