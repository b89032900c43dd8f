"""Telling a device what was wrong with what it sent, and what of it could not be kept."""

from collections.abc import Callable

from gateway.errors import DeviceFault, ErrorCode, Stage, StoreError
from gateway.events import Event, Failed
from gateway.limits import SlidingWindow
from gateway.values import DeviceAddress

FAULT_WINDOW_S = 10.0
FAULTS_TOLD = 50
"""Errors of one device that are told in a window; a flood of them is told in part, with how many were not."""


class Teller:
    """Reports the faults of one device."""

    def __init__(
        self, device: Callable[[], DeviceAddress], emit: Callable[[Event], None], monotonic: Callable[[], float]
    ) -> None:
        self._device = device
        self._emit = emit
        self._monotonic = monotonic
        self._window = SlidingWindow(FAULTS_TOLD, FAULT_WINDOW_S)

    def tell(self, fault: DeviceFault, turn: int | None = None) -> None:
        """Report a fault, of a turn or outside any."""
        if not self._window.allows(self._monotonic()):
            return
        untold = self._window.take_refused()
        message = fault.message + (f" (and {untold} errors before it that were not told)" if untold else "")
        self._emit(Failed(self._device(), turn, fault.code, fault.stage, message, fault.retryable))

    def tell_store(self, error: StoreError) -> None:
        """Report that the database failed. Outside any turn: the turn goes on."""
        self.tell(DeviceFault(ErrorCode.STORE_FAILED, Stage.STORE, str(error), retryable=True))
