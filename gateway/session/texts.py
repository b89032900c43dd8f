"""The texts of `say` and `ask` that wait for the turn before them: in order, and bounded."""

from collections import deque
from dataclasses import dataclass

from gateway.errors import DeviceFault, ErrorCode, Stage
from gateway.values import TurnKind
from gateway.wire.messages import parse_text

PENDING_TEXTS = 8


@dataclass(frozen=True, slots=True)
class PendingText:
    """A text to speak or to answer; `language` None means the device's."""

    kind: TurnKind
    text: str
    language: str | None


class Texts:
    """Takes up to `PENDING_TEXTS`, of at most `max_chars` characters each."""

    def __init__(self, max_chars: int) -> None:
        self._max_chars = max_chars
        self._waiting: deque[PendingText] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, kind: TurnKind, payload: bytes) -> None:
        """Take what came on `say` or `ask`.

        Raises:
            DeviceFault: it is no text that can be taken, or one too many.
        """
        request = parse_text(payload, self._max_chars)
        if len(self._waiting) >= PENDING_TEXTS:
            raise DeviceFault(
                ErrorCode.BUSY, Stage.RECEIVE, f"{PENDING_TEXTS} texts wait to be spoken already", retryable=True
            )
        self._waiting.append(PendingText(kind, request.text, request.language))

    def take(self) -> PendingText:
        """Return the oldest; there must be one."""
        return self._waiting.popleft()

    def clear(self) -> None:
        self._waiting.clear()
