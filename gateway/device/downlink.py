"""Sorts what arrives for a device into exchanges, as a board tells its own reply from stale ones. Pure."""

from collections import deque
from collections.abc import Callable

from gateway.device.exchange import Event, Exchange
from gateway.errors import DeviceFault
from gateway.values import ReplyForm
from gateway.wire.frame import FIRST_GATEWAY_TURN, Frame, decode, is_frame

EXCHANGES_MAX = 64
"""Exchanges remembered; what comes for an older one is stale."""

_GATEWAY_TURNS = 0x8000

NewExchange = Callable[[int | None, ReplyForm | None], Exchange]


class Downlink:
    """Knows which exchange a message belongs to.

    A frame says its turn. Messages that are no frames belong to the oldest exchange whose reply has not ended, which
    is the order that the gateway keeps. The number of a turn that is the gateway's to choose is learnt from its first
    event: `listening` for spoken turns, any other for texts.

    Counters: `stale` (frames of turns that the device does not know or has left), `malformed` (frames that cannot be
    read), `stray` (messages that belong to nothing).
    """

    def __init__(self, new_exchange: NewExchange) -> None:
        self._new_exchange = new_exchange
        self._exchanges: deque[Exchange] = deque(maxlen=EXCHANGES_MAX)
        self._last_gateway_turn: int | None = None
        self.announced: deque[Exchange] = deque(maxlen=EXCHANGES_MAX)
        """Turns that this device did not begin: somebody's `say` or `ask`."""
        self.unknown_turns: deque[int] = deque(maxlen=EXCHANGES_MAX)
        """The turns of the newest frames among the stale ones whose turn this device never began, or has forgotten."""
        self.stale = 0
        self.malformed = 0
        self.stray = 0
        self.largest_message = 0

    def add(self, exchange: Exchange) -> None:
        """Begin an exchange. Of what was being spoken in frames nothing more is played."""
        for earlier in self._exchanges:
            if exchange.form is ReplyForm.FRAMES and earlier.form is ReplyForm.FRAMES:
                earlier.superseded = True
        self._exchanges.append(exchange)

    def leave(self, now: float) -> None:
        """Leave every exchange: the next messages that are no frames are for what is asked from now on. Of those that
        are left their turns are still known."""
        for exchange in self._exchanges:
            exchange.leave(now)
        self.announced.clear()

    def receive(self, payload: bytes, now: float) -> Exchange | None:
        """Take a message from `out`; return the exchange that it belongs to."""
        self.largest_message = max(self.largest_message, len(payload))
        if not is_frame(payload):
            return self._receive_message(payload, now)
        try:
            frame = decode(payload)
        except DeviceFault:
            self.malformed += 1
            return None
        exchange = self._of_turn(frame.turn) or self._opened_by(frame)
        if exchange is None:
            self.stale += 1
            self.unknown_turns.append(frame.turn)
            return None
        was = exchange.stale
        exchange.take_frame(frame, len(payload), now)
        self.stale += exchange.stale - was
        return exchange

    def receive_event(self, event: Event, now: float) -> None:
        """Take an event of a turn."""
        turn = event.get("turn")
        if not isinstance(turn, int):
            return
        exchange = self._of_turn(turn)
        if exchange is None and turn >= FIRST_GATEWAY_TURN and self._is_newer(turn):
            exchange = self._bound(turn, spoken=event.get("event") == "listening")
        if exchange is not None:
            exchange.take_event(event, now)

    def _receive_message(self, payload: bytes, now: float) -> Exchange | None:
        exchange = next((each for each in self._exchanges if each.takes_messages), None)
        if exchange is None:
            self.stray += 1
            return None
        exchange.take_message(payload, now)
        return exchange

    def _of_turn(self, turn: int) -> Exchange | None:
        return next((each for each in reversed(self._exchanges) if each.turn == turn), None)

    def _opened_by(self, frame: Frame) -> Exchange | None:
        """The exchange that `frame` begins: one of the gateway's own turns, newer than the last."""
        if frame.turn < FIRST_GATEWAY_TURN or not self._is_newer(frame.turn):
            return None
        return self._bound(frame.turn, spoken=False)

    def _bound(self, turn: int, *, spoken: bool) -> Exchange:
        """Give the gateway's `turn` to the exchange that waits for its number, or to one that is made for it."""
        self._last_gateway_turn = turn
        forms = (ReplyForm.STREAM, ReplyForm.MESSAGE) if spoken else (None,)
        for exchange in self._exchanges:
            # Its reply may have ended before its first event comes: news follows the audio.
            if exchange.turn is None and exchange.form in forms and not exchange.left:
                exchange.turn = turn
                return exchange
        exchange = self._new_exchange(turn, None)
        self._exchanges.append(exchange)
        self.announced.append(exchange)
        return exchange

    def _is_newer(self, turn: int) -> bool:
        last = self._last_gateway_turn
        return last is None or 0 < (turn - last) % _GATEWAY_TURNS < _GATEWAY_TURNS // 2
