"""What is asked before a turn may begin: whether the device may have one more, and where its conversation is kept."""

from collections.abc import Callable
from datetime import UTC

from gateway.errors import DeviceFault, ErrorCode, SessionLimitReached, Stage, StoreError
from gateway.limits import SlidingWindow
from gateway.pipeline.turn import TurnServices
from gateway.session.telling import Teller
from gateway.values import DeviceAddress

TURN_WINDOW_S = 60.0


class Admission:
    """Lets the turns of one device begin, or says why not."""

    def __init__(self, services: TurnServices, device: Callable[[], DeviceAddress], teller: Teller) -> None:
        self._services = services
        self._device = device
        self._teller = teller
        self._per_minute = services.settings.turns_per_minute
        self._starts = SlidingWindow(self._per_minute, TURN_WINDOW_S)

    def over_rate(self) -> DeviceFault | None:
        """Count a turn that begins; return why it must be refused, if it is one too many."""
        if self._starts.allows(self._services.monotonic()):
            return None
        message = f"more than {self._per_minute} turns in a minute; wait a little"
        return DeviceFault(ErrorCode.RATE_LIMITED, Stage.RECEIVE, message, retryable=True)

    async def open_session(self) -> tuple[int | None, DeviceFault | None]:
        """Return the conversation's epoch (None: it cannot be kept), and why the turn must be refused, if so."""
        services = self._services
        now = services.now().astimezone(UTC)
        try:
            return await services.store.open_session(self._device(), services.settings.sessions_max, now), None
        except SessionLimitReached as exc:
            return None, DeviceFault(ErrorCode.BUSY, Stage.STORE, str(exc))
        except StoreError as exc:
            self._teller.tell_store(exc)
            return None, None
