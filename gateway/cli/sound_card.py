"""Microphone and loudspeaker, where the optional package `sounddevice` and a sound card are there."""

import asyncio
import sys
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from gateway.errors import ConfigurationError

BLOCKS_MAX = 512
"""Blocks of the microphone that may wait to be sent; then the oldest is dropped."""


def open_sounddevice() -> Any:
    """Return the module `sounddevice`.

    Raises:
        ConfigurationError: it, or the PortAudio library that it needs, is not installed.
    """
    try:
        import sounddevice
    except ImportError as error:
        raise ConfigurationError(
            "microphone and loudspeaker need one more package: pip install 'mqtt-voice-gateway[mic]'"
        ) from error
    except OSError as error:
        raise ConfigurationError(
            f"microphone and loudspeaker need the PortAudio library ({error}): install it, on Debian with"
            " apt-get install libportaudio2"
        ) from error
    return sounddevice


async def microphone(rate: int, block_samples: int) -> AsyncGenerator[NDArray[np.int16], None]:
    """Yield blocks of `block_samples`, mono at `rate` Hz, as they are recorded, until Enter is pushed.

    Raises:
        ConfigurationError: there is no microphone, or no terminal to push Enter at.
    """
    sounddevice = open_sounddevice()
    if not sys.stdin.isatty():
        raise ConfigurationError("--mic records until Enter is pushed, which needs a terminal")
    loop = asyncio.get_running_loop()
    blocks: deque[NDArray[np.int16]] = deque(maxlen=BLOCKS_MAX)
    changed, pushed = asyncio.Event(), asyncio.Event()

    def take(block: NDArray[np.int16]) -> None:
        blocks.append(block)
        changed.set()

    def recorded(data: Any, _samples: int, _time: object, _status: object) -> None:
        """Called in a thread of PortAudio, which uses the memory of `data` again."""
        loop.call_soon_threadsafe(take, np.frombuffer(bytes(data), dtype=np.int16))

    def stop() -> None:
        sys.stdin.readline()
        pushed.set()
        changed.set()

    try:
        stream = sounddevice.RawInputStream(
            samplerate=rate, channels=1, dtype="int16", blocksize=block_samples, callback=recorded
        )
    except sounddevice.PortAudioError as error:
        raise ConfigurationError(f"no microphone can be used: {error}") from error
    with stream, _on_input(loop, stop):
        while not pushed.is_set():
            await changed.wait()
            changed.clear()
            while blocks:
                yield blocks.popleft()


@contextmanager
def _on_input(loop: asyncio.AbstractEventLoop, call: Callable[[], None]) -> Iterator[None]:
    loop.add_reader(sys.stdin, call)
    try:
        yield
    finally:
        loop.remove_reader(sys.stdin)


class Loudspeaker:
    """Plays one MP3 stream as its bytes come: `async with Loudspeaker() as loudspeaker:`; leaving waits for the end."""

    def __init__(self) -> None:
        self._sounddevice = open_sounddevice()
        import av

        self._decoder: Any = av.CodecContext.create("mp3float", "r")
        self._stream: Any = None

    async def play(self, mp3: bytes) -> None:
        """Play the next bytes; returns when the sound card has taken them.

        Raises:
            ConfigurationError: there is no loudspeaker.
        """
        for packet in self._decoder.parse(mp3):
            for frame in self._decoder.decode(packet):
                await self._write(np.clip(frame.to_ndarray()[0], -1.0, 1.0), frame.sample_rate)

    async def _write(self, samples: NDArray[np.float32], rate: int) -> None:
        if self._stream is None:
            try:
                self._stream = self._sounddevice.RawOutputStream(samplerate=rate, channels=1, dtype="float32")
                self._stream.start()
            except self._sounddevice.PortAudioError as error:
                raise ConfigurationError(f"no loudspeaker can be used: {error}") from error
        await asyncio.to_thread(self._stream.write, samples.astype(np.float32).tobytes())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._stream is not None:
            if kind is None:
                await asyncio.to_thread(self._stream.stop)  # plays what it still holds
            self._stream.close()
