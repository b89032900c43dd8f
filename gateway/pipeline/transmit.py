"""Sending a reply: never more in a message than the device can take, never sooner than it can hold."""

import asyncio
import math
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from gateway.engines.shrinking import shrink
from gateway.values import ReplyForm
from gateway.wire.frame import HEADER_BYTES, LAST_SEQ, Flag, Frame, FrameCodec, encode

PREFERRED_CHUNK_BYTES = 4096
"""Fewer, larger messages cost everyone less; at 48 kbit/s this is 0.7 s of audio."""

LOW_WATER_MS = 400.0
"""A device that holds less than this gets what there is at once, instead of a fuller chunk later."""

CHUNK_MIN_BYTES = 32
"""A device that takes less in a message gets no audio: a reply would be thousands of messages."""

PIPE_MAX_BYTES = 64 * 1024
"""MP3 made ahead of what has been sent: about ten seconds. The synthesis waits beyond it."""

Publish = Callable[[bytes], Awaitable[None]]
Clock = Callable[[], float]


class Pacer:
    """How much audio a device holds: what was sent less what real time has played since, never below zero.

    Pure: the time in seconds (of any monotonic clock) is passed in.
    """

    def __init__(self, buffer_ms: float) -> None:
        # A message that overtakes its predecessor's delay on the way must not overfill the device.
        self.capacity_ms = buffer_ms - min(100.0, buffer_ms * 0.1)
        self._held_ms = 0.0
        self._at: float | None = None

    def held_ms(self, now: float) -> float:
        if self._at is None:
            return 0.0
        return max(0.0, self._held_ms - (now - self._at) * 1000.0)

    def wait_s(self, now: float, chunk_ms: float) -> float:
        """Return how long to wait, in seconds, until `chunk_ms` more of audio fits."""
        return max(0.0, self.held_ms(now) + chunk_ms - self.capacity_ms) / 1000.0

    def sent(self, now: float, chunk_ms: float) -> None:
        self._held_ms = self.held_ms(now) + chunk_ms
        self._at = now


class AudioPipe:
    """A bounded buffer of bytes between the one task that makes a reply's audio and the one that sends it."""

    def __init__(self, limit: int = PIPE_MAX_BYTES) -> None:
        self._limit = limit
        self._data = bytearray()
        self._closed = False
        self._maker: asyncio.Future[None] | None = None
        self._sender: asyncio.Future[None] | None = None
        self._wanted = 0

    async def put(self, data: bytes) -> None:
        """Add `data` as soon as there is less than the limit inside."""
        while len(self._data) >= self._limit:
            self._maker = asyncio.get_running_loop().create_future()
            await self._maker
        self._data += data
        self._serve_sender()
        # The wait above need not have let anyone else run. The sender takes the first audio now, not when the whole
        # piece is encoded; nor does a long piece hold up other devices.
        await asyncio.sleep(0)

    def close(self) -> None:
        """Say that nothing more will come."""
        self._closed = True
        self._serve_sender()

    async def fill(self, wanted: int, wait_s: float | None) -> None:
        """Wait until `wanted` bytes are inside, or the pipe is closed, or `wait_s` seconds are over."""
        if self._closed or len(self._data) >= wanted:
            return
        loop = asyncio.get_running_loop()
        self._wanted = wanted
        self._sender = loop.create_future()
        timer = None if wait_s is None else loop.call_later(wait_s, _release, self._sender)
        try:
            await self._sender
        finally:
            self._sender = None
            if timer is not None:
                timer.cancel()

    def take(self, at_most: int) -> bytes:
        data = bytes(self._data[:at_most])
        del self._data[:at_most]
        _release(self._maker)
        return data

    def _serve_sender(self) -> None:
        if self._closed or len(self._data) >= self._wanted:
            _release(self._sender)

    def clear(self) -> None:
        """Let go of what is inside; nobody waits for it any more."""
        self._data.clear()

    @property
    def exhausted(self) -> bool:
        return self._closed and not self._data

    def __len__(self) -> int:
        return len(self._data)


def _release(waiter: asyncio.Future[None] | None) -> None:
    if waiter is not None and not waiter.done():
        waiter.set_result(None)


@dataclass(frozen=True, slots=True)
class ReplyLimits:
    """What one device can take.

    `payload` is the largest payload of one message in bytes (None: not known, anything goes); `buffer_ms` is how
    much audio it holds; `rate` in Hz and `bitrate_kbps` are the reply's.
    """

    payload: int | None
    buffer_ms: int
    rate: int
    bitrate_kbps: int


class Transmitter:
    """Sends one reply in its form. It ends exactly once: by `run` returning, or by `stop`."""

    def __init__(self, publish: Publish, form: ReplyForm, turn: int, limits: ReplyLimits, clock: Clock) -> None:
        self._publish = publish
        self._turn = turn
        self._limits = limits
        self._clock = clock
        self._pacer = Pacer(limits.buffer_ms)
        self._seq = 0
        self._whole = False
        self.no_room = False
        """The device takes so little in a message that no audio was sent."""
        self.form = form
        self.chunks = 0
        self.bytes = 0
        self.ended = False
        # (seq, milliseconds of audio up to its end) of each chunk, for what `played` says to be looked up.
        self._ends: deque[tuple[int, float]] = deque(maxlen=4096)

    @property
    def sent_ms(self) -> float:
        """Milliseconds of audio sent so far; without end once the whole reply has gone in one message."""
        return math.inf if self._whole else self._milliseconds(self.bytes)

    def played_ms(self, seq: int) -> float:
        """Milliseconds of audio that had been sent when the chunk `seq` had left."""
        for known, end in reversed(self._ends):
            if known <= seq:
                return end
        return 0.0

    async def run(self, pipe: AudioPipe, on_sent: Callable[[], None]) -> None:
        """Send what comes out of `pipe` until it is closed, then end the reply. `on_sent` is called whenever audio has
        left.

        Raises:
            BrokerUnavailable: a message could not be sent.
        """
        if self.form is ReplyForm.MESSAGE:
            await self._run_whole(pipe, on_sent)
        else:
            await self._run_paced(pipe, on_sent)

    async def stop(self, *, flush: bool) -> None:
        """End a reply early: what has been sent may play out, unless `flush` tells the device to drop it."""
        if self.ended:
            return
        self.ended = True
        if self.form is ReplyForm.FRAMES:
            await self._send_frame(Flag.CANCEL if flush else Flag.END, b"")
        elif self.form is ReplyForm.STREAM:
            await self._publish(b"")

    @property
    def held_s(self) -> float:
        """Seconds of audio that the device holds and has not played yet, if it plays without a pause."""
        return self._pacer.held_ms(self._clock()) / 1000

    async def recall(self) -> None:
        """Tell the device to drop what it still holds of a reply that has been sent whole; only frames can say so."""
        if self.form is ReplyForm.FRAMES:
            await self._send_frame(Flag.CANCEL, b"")

    async def _run_whole(self, pipe: AudioPipe, on_sent: Callable[[], None]) -> None:
        reply = bytearray()
        while not pipe.exhausted:
            await pipe.fill(1, None)
            reply += pipe.take(PIPE_MAX_BYTES)
        whole = bytes(reply)
        limit = self._limits.payload
        if limit is not None and len(whole) > limit:
            smaller = await asyncio.to_thread(shrink, whole, self._limits.rate, limit)
            if smaller is None:
                await self._run_in_parts(whole, on_sent)
                return
            whole = smaller
        self.ended = True
        if whole:
            await self._publish(whole)
            self._whole = True
            # It was sent at once, and is played for as long as any other.
            self._pacer.sent(self._clock(), self._milliseconds(len(reply)))
            self._count(whole)
            on_sent()

    async def _run_in_parts(self, reply: bytes, on_sent: Callable[[], None]) -> None:
        """What the device can take comes first: the reply goes as a stream, whose parts put end to end are it."""
        self.form = ReplyForm.STREAM
        parts = AudioPipe(limit=len(reply) + 1)
        await parts.put(reply)
        parts.close()
        await self._run_paced(parts, on_sent)

    async def _run_paced(self, pipe: AudioPipe, on_sent: Callable[[], None]) -> None:
        chunk_bytes = self._chunk_bytes()
        if chunk_bytes < CHUNK_MIN_BYTES:
            while not pipe.exhausted:
                await pipe.fill(1, None)
                self.no_room = bool(pipe.take(PIPE_MAX_BYTES)) or self.no_room
        while not pipe.exhausted:
            if self.chunks == 0:
                await pipe.fill(1, None)
            elif len(pipe) == 0:
                await pipe.fill(1, None)
                continue
            else:
                spare_ms = max(0.0, self._pacer.held_ms(self._clock()) - LOW_WATER_MS)
                await pipe.fill(chunk_bytes, spare_ms / 1000.0)
            size = min(len(pipe), chunk_bytes)
            if size == 0:
                continue
            duration_ms = self._milliseconds(size)
            if (wait_s := self._pacer.wait_s(self._clock(), duration_ms)) > 0:
                await asyncio.sleep(wait_s)
            chunk = pipe.take(size)
            await self._send_chunk(chunk, last=pipe.exhausted)
            self._pacer.sent(self._clock(), duration_ms)
            on_sent()
        await self._end()

    async def _send_chunk(self, chunk: bytes, *, last: bool) -> None:
        if self.form is ReplyForm.FRAMES:
            self.ended = last
            await self._send_frame(Flag.END if last else Flag.NONE, chunk)
        else:
            await self._publish(chunk)
        self._count(chunk)

    async def _end(self) -> None:
        if self.ended:
            return
        self.ended = True
        if self.form is ReplyForm.FRAMES:
            await self._send_frame(Flag.END, b"")
        else:
            await self._publish(b"")

    async def _send_frame(self, flags: Flag, audio: bytes) -> None:
        if self._seq == 0 and not flags & Flag.CANCEL:
            flags |= Flag.START
        seq = self._seq
        self._seq = (self._seq + 1) & LAST_SEQ
        await self._publish(encode(Frame(self._turn, seq, flags, FrameCodec.MP3, self._limits.rate, audio)))

    def _count(self, chunk: bytes) -> None:
        self._ends.append((self.chunks, self._milliseconds(self.bytes + len(chunk))))
        self.chunks += 1
        self.bytes += len(chunk)

    def _milliseconds(self, size: int) -> float:
        """The duration of `size` bytes of constant bit rate MP3: kbit/s are bits a millisecond."""
        return size * 8 / self._limits.bitrate_kbps

    def _chunk_bytes(self) -> int:
        """Bytes of audio in a full message: what fits, and no more than half of what the device holds."""
        half_buffer = int(self._pacer.capacity_ms / 2 * self._limits.bitrate_kbps / 8)
        size = min(PREFERRED_CHUNK_BYTES, max(half_buffer, 1))
        if self._limits.payload is None:
            return size
        header = HEADER_BYTES if self.form is ReplyForm.FRAMES else 0
        return min(size, self._limits.payload - header)
