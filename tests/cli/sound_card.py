"""The package `sounddevice` as the commands use it, without a sound card: records what a test says, keeps what is
played."""

import threading
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray


class PortAudioError(Exception):
    """As in sounddevice."""


class SoundCard(ModuleType):
    """Stands in for the module. `recorded` is what its microphone hears, after which `when_recorded` is called; None
    means that there is none. `played` are the samples that were written, at `played_rate` Hz."""

    PortAudioError = PortAudioError

    def __init__(self, recorded: NDArray[np.int16] | None = None, *, loudspeaker: bool = True) -> None:
        super().__init__("sounddevice")
        self.recorded = recorded
        self.when_recorded: Callable[[], None] = lambda: None
        self.loudspeaker = loudspeaker
        self.played = b""
        self.played_rate = 0
        self.drained = False
        self.closed = False
        card = self

        class RawInputStream:
            def __init__(
                self, *, samplerate: int, channels: int, dtype: str, blocksize: int, callback: Callable[..., None]
            ) -> None:
                if card.recorded is None:
                    raise PortAudioError("Error querying device -1")
                assert (channels, dtype) == (1, "int16")
                self._blocksize = blocksize
                self._callback = callback
                self._thread = threading.Thread(target=self._record)

            def _record(self) -> None:
                assert card.recorded is not None
                for at in range(0, len(card.recorded), self._blocksize):
                    block = card.recorded[at : at + self._blocksize]
                    self._callback(block.tobytes(), len(block), None, None)
                card.when_recorded()

            def __enter__(self) -> None:
                self._thread.start()

            def __exit__(self, *_: Any) -> None:
                self._thread.join()

        class RawOutputStream:
            def __init__(self, *, samplerate: int, channels: int, dtype: str) -> None:
                if not card.loudspeaker:
                    raise PortAudioError("Error querying device -1")
                assert (channels, dtype) == (1, "float32")
                card.played_rate = samplerate

            def start(self) -> None:
                pass

            def write(self, data: bytes) -> None:
                card.played += data

            def stop(self) -> None:
                card.drained = True

            def close(self) -> None:
                card.closed = True

        self.RawInputStream = RawInputStream
        self.RawOutputStream = RawOutputStream
