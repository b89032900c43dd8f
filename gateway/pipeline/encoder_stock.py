"""MP3 encoders made ready ahead: to set one up takes LAME as long as to encode a quarter of a second, and it would be
between the first audio of an answer and its first frame."""

import asyncio
from collections import OrderedDict

from gateway.engines.encoder import Mp3Encoder

READY = 4
"""Of each kind, for questions that end at the same moment. An encoder holds about 260 KB."""
KINDS = 4
"""Pairs of sample rate and bit rate, those asked for last."""
REFILL_AFTER_S = 0.05
"""By then the first frame of the answer that took one has left."""


class EncoderStock:
    """Hands out encoders, each for one reply. Used from the event loop only."""

    def __init__(self) -> None:
        self._ready: OrderedDict[tuple[int, int], list[Mp3Encoder]] = OrderedDict()

    def take(self, rate: int, bitrate_kbps: int) -> Mp3Encoder:
        """Return an encoder of this kind, a ready one if there is one; the next will find one again."""
        kind = (rate, bitrate_kbps)
        ready = self._ready.setdefault(kind, [])
        self._ready.move_to_end(kind)
        if len(self._ready) > KINDS:
            self._ready.popitem(last=False)
        asyncio.get_running_loop().call_later(REFILL_AFTER_S, self._refill, kind)
        return ready.pop() if ready else Mp3Encoder(rate, bitrate_kbps)

    def _refill(self, kind: tuple[int, int]) -> None:
        """Make one: each that is taken is replaced."""
        ready = self._ready.get(kind)
        if ready is not None and len(ready) < READY:
            encoder = Mp3Encoder(*kind)
            encoder.set_up()
            ready.append(encoder)
