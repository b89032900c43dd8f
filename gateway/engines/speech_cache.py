"""Synthesised pieces kept in memory, shared by all devices."""

from collections import OrderedDict
from typing import NamedTuple

import numpy as np

from gateway.audio import Pcm


class SpeechKey(NamedTuple):
    """What names a piece of synthesised audio."""

    engine: str
    voice: str
    text: str


class SpeechCache:
    """Keeps the pieces that were used last, within `max_bytes` of samples; 0 keeps none."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.bytes = 0
        self._pieces: OrderedDict[SpeechKey, Pcm] = OrderedDict()

    def __len__(self) -> int:
        return len(self._pieces)

    def get(self, key: SpeechKey) -> Pcm | None:
        """Return the whole audio named `key`, if it is kept."""
        piece = self._pieces.get(key)
        if piece is not None:
            self._pieces.move_to_end(key)
        return piece

    def record(self, key: SpeechKey) -> "Recording":
        """Begin to collect the audio named `key`; it is kept once `Recording.keep` says that it is complete."""
        return Recording(self, key)

    def put(self, key: SpeechKey, piece: Pcm) -> None:
        """Keep the complete audio named `key`. The pieces unused for longest make room."""
        replaced = self._pieces.pop(key, None)
        if replaced is not None:
            self.bytes -= replaced.samples.nbytes
        self._pieces[key] = piece
        self.bytes += piece.samples.nbytes
        while self.bytes > self.max_bytes:
            _, oldest = self._pieces.popitem(last=False)
            self.bytes -= oldest.samples.nbytes


class Recording:
    """Audio on its way into the cache; it gives up when it becomes larger than the whole cache."""

    def __init__(self, cache: SpeechCache, key: SpeechKey) -> None:
        self._cache = cache
        self._key = key
        self._blocks: list[Pcm] = []
        self._room = cache.max_bytes

    def add(self, block: Pcm) -> None:
        """Append `block`; all blocks have one rate."""
        self._room -= block.samples.nbytes
        if self._room >= 0:
            self._blocks.append(block)
        else:
            self._blocks.clear()

    def keep(self) -> None:
        """Put the audio into the cache: it is complete."""
        if self._room < 0 or not self._blocks:
            return
        # A copy: the blocks may be views into larger buffers, which would be kept alive uncounted.
        samples = np.concatenate([block.samples for block in self._blocks])
        samples.flags.writeable = False
        self._cache.put(self._key, Pcm(samples, self._blocks[0].rate))
