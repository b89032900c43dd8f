"""What a bad link does to the frames that a device sends. Pure."""

from random import Random


class Spoiler:
    """Loses, repeats and reorders each frame with the given chances (0 to 1), and counts what it did.

    It is a `Link` and, by `delay`, a `Delay` of the software device.
    """

    def __init__(self, loss: float, duplicate: float, reorder: float, jitter_s: float, random: Random) -> None:
        self._loss = loss
        self._duplicate = duplicate
        self._reorder = reorder
        self._jitter_s = jitter_s
        self._random = random
        self.sent = 0
        """Frames that went out, repeated ones included."""
        self.lost = 0
        self.duplicated = 0
        self.reordered = 0
        """Pairs of neighbours that changed places."""

    def __call__(self, frames: list[bytes]) -> list[bytes]:
        out: list[bytes] = []
        for frame in frames:
            if self._happens(self._loss):
                self.lost += 1
                continue
            out.append(frame)
            if self._happens(self._duplicate):
                self.duplicated += 1
                out.append(frame)
        at = 0
        while at + 1 < len(out):
            if out[at] != out[at + 1] and self._happens(self._reorder):
                self.reordered += 1
                out[at], out[at + 1] = out[at + 1], out[at]
                at += 1
            at += 1
        self.sent += len(out)
        return out

    def delay(self) -> float:
        """Seconds by which the next message is held up."""
        return self._random.uniform(0, self._jitter_s)

    def _happens(self, chance: float) -> bool:
        return chance > 0 and self._random.random() < chance
