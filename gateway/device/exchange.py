"""One utterance (or text) and all that came back for it."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, TypeVar

from gateway.device.playback import Playback, PlaybackReport
from gateway.errors import NothingCame
from gateway.values import Outcome, ReplyForm
from gateway.wire.frame import Flag, Frame

EVENTS_MAX = 1000
"""Events kept of one exchange; more are counted and dropped, save the `done` that ends it."""
REPLY_MAX_BYTES = 16 * 1024 * 1024
"""Audio kept of one reply: three quarters of an hour at 48 kbit/s. More is counted and dropped."""

T = TypeVar("T")
Event = Mapping[str, Any]


class Ended(StrEnum):
    """How a reply ended."""

    END = "end"
    """With the END frame, the empty message, or as a whole in one message."""
    CANCELLED = "cancelled"
    """With a CANCEL frame: what was held is not to be played."""
    UNANSWERED = "unanswered"
    """The turn was interrupted before anything was said; only its `done` event tells."""
    LEFT = "left"
    """The device waits for it no longer."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """One message of a reply. `seq` counts from 0 (a frame's own number); `arrived_at` is in seconds of the monotonic
    clock."""

    seq: int
    audio: bytes
    arrived_at: float

    @property
    def size(self) -> int:
        return len(self.audio)


@dataclass(frozen=True, slots=True)
class Reply:
    """What has come of a reply so far; whole when `ended` is set.

    `started_after_s` and `ended_after_s` are seconds from the end of the question. `largest_message` is the largest
    payload in bytes. `lost` and `duplicate` count frames.
    """

    turn: int | None
    form: ReplyForm | None
    chunks: tuple[Chunk, ...]
    ended: Ended | None
    started_after_s: float | None
    ended_after_s: float | None
    largest_message: int
    lost: int
    duplicate: int
    playback: PlaybackReport

    @property
    def mp3(self) -> bytes:
        return b"".join(chunk.audio for chunk in self.chunks)


class Signal:
    """Wakes everybody who waits for something to have changed."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def notify(self) -> None:
        event, self._event = self._event, asyncio.Event()
        event.set()

    async def until(self, found: Callable[[], T | None], timeout_s: float, missing: Callable[[], str]) -> T:
        """Return what `found` returns as soon as it is not None.

        Raises:
            NothingCame: that took more than `timeout_s` seconds; the message begins with what `missing` says.
        """
        try:
            async with asyncio.timeout(timeout_s):
                while (value := found()) is None:
                    await self._event.wait()
                return value
        except TimeoutError:
            raise NothingCame(f"{missing()} within {timeout_s:g} s") from None


class Exchange:
    """One utterance (or text), and the reply and events that came for it.

    `turn` is the turn's number: known from the start for frames, None until the gateway has told it for all else.
    """

    def __init__(
        self, signal: Signal, turn: int | None, form: ReplyForm | None, playback: Playback, now: float
    ) -> None:
        self._signal = signal
        self.turn = turn
        self.form = form
        """The form in which the reply comes; None until that can be told."""
        self.events: list[Event] = []
        self.events_dropped = 0
        self.left = False
        """The device waits for nothing of it any more."""
        self.superseded = False
        """The device has begun another turn since, and plays no more of this one."""
        self.stale = 0
        """Chunks that came after that."""
        self.recalled = False
        """A CANCEL came after the end: what is held and not yet played is not to be played."""
        self.oversized = 0
        """Chunks dropped because the reply was longer than `REPLY_MAX_BYTES`."""
        self.playback = playback
        self._asked_at = now
        self._chunks: list[Chunk] = []
        self._bytes = 0
        self._next_seq = 0
        self._lost = 0
        self._duplicate = 0
        self._largest = 0
        self._ended: Ended | None = None
        self._ended_at: float | None = None

    # What one waits for

    @property
    def ended(self) -> Ended | None:
        return self._ended

    @property
    def last_seq(self) -> int | None:
        """The number of the newest chunk."""
        return self._chunks[-1].seq if self._chunks else None

    @property
    def received(self) -> Reply:
        """What has come so far."""
        return Reply(
            turn=self.turn,
            form=self.form,
            chunks=tuple(self._chunks),
            ended=self._ended,
            started_after_s=self._chunks[0].arrived_at - self._asked_at if self._chunks else None,
            ended_after_s=None if self._ended_at is None else self._ended_at - self._asked_at,
            largest_message=self._largest,
            lost=self._lost,
            duplicate=self._duplicate,
            playback=self.playback.report,
        )

    async def reply(self, timeout_s: float) -> Reply:
        """Wait for the end of the reply and return it whole.

        Raises:
            NothingCame: it has not ended within `timeout_s` seconds.
        """
        await self._signal.until(lambda: self._ended, timeout_s, lambda: self._missing("no end of the reply"))
        return self.received

    async def chunks(self, timeout_s: float) -> AsyncGenerator[Chunk, None]:
        """Yield each chunk as it arrives, until the reply ends.

        Raises:
            NothingCame: the next one (or the end) did not come within `timeout_s` seconds.
        """
        given = 0

        def more() -> bool | None:
            return True if given < len(self._chunks) or self._ended is not None else None

        while True:
            await self._signal.until(more, timeout_s, lambda: self._missing("no audio"))
            if given == len(self._chunks):
                return
            yield self._chunks[given]
            given += 1

    async def event(self, kind: str, timeout_s: float, **fields: object) -> Event:
        """Wait for the first event of the turn of this `kind` with these `fields`, and return it.

        Raises:
            NothingCame: there is none within `timeout_s` seconds.
        """
        return await self._signal.until(
            lambda: first_event(self.events, kind, fields),
            timeout_s,
            lambda: self._missing(f"no event {kind} {fields}"),
        )

    async def each_event(self, timeout_s: float) -> AsyncGenerator[Event, None]:
        """Yield each event of the turn as it arrives, `done` the last.

        Raises:
            NothingCame: the next one did not come within `timeout_s` seconds.
        """
        given = 0

        def following() -> Event | None:
            return self.events[given] if given < len(self.events) else None

        while given == 0 or self.events[given - 1].get("event") != "done":
            yield await self._signal.until(following, timeout_s, lambda: self._missing("no further event"))
            given += 1

    async def recall(self, timeout_s: float) -> None:
        """Wait until the reply, which had ended, is recalled.

        Raises:
            NothingCame: it is not within `timeout_s` seconds.
        """
        await self._signal.until(lambda: self.recalled or None, timeout_s, lambda: self._missing("no recall"))

    async def done(self, timeout_s: float) -> Event:
        """Wait for the turn's `done` event and return it; raises like `event`."""
        return await self.event("done", timeout_s)

    def leave(self, now: float) -> None:
        """Wait for nothing more, and keep neither sound nor events: what still comes is stale."""
        self.left = True
        self._end(Ended.LEFT, now)
        self._chunks = [replace(chunk, audio=b"") for chunk in self._chunks]
        self.events.clear()

    # What arrives; told by the device

    def asked(self, now: float) -> None:
        """Note that the question ended just now."""
        self._asked_at = now

    def take_frame(self, frame: Frame, size: int, now: float) -> None:
        """Take a frame of the reply, whose payload is `size` bytes."""
        self.form = ReplyForm.FRAMES
        self._largest = max(self._largest, size)
        if frame.flags & Flag.CANCEL:
            self.recalled = self._ended is Ended.END
            self._end(Ended.CANCELLED, now)
            return
        if frame.seq < self._next_seq:
            self._duplicate += 1
            return
        self._lost += frame.seq - self._next_seq
        self._next_seq = frame.seq + 1
        self._add(frame.seq, frame.audio, now)
        if frame.flags & Flag.END:
            self._end(Ended.END, now)

    def take_message(self, payload: bytes, now: float) -> None:
        """Take a message that is no frame; an empty one is the end."""
        self._largest = max(self._largest, len(payload))
        if payload:
            self._add(len(self._chunks), payload, now)
            if self._ended is None:
                self._settle_message(now)
        else:
            self.form = ReplyForm.STREAM
            self._end(Ended.END, now)

    def take_event(self, event: Event, now: float) -> None:
        """Take an event of this turn."""
        if len(self.events) >= EVENTS_MAX and event.get("event") != "done":
            self.events_dropped += 1
            return
        self.events.append(event)
        if event.get("event") == "done":
            if event.get("outcome") == Outcome.INTERRUPTED and event.get("chunks") == 0 and self._ended is None:
                self._end(Ended.UNANSWERED, now)
            self._settle_message(now)

    @property
    def takes_messages(self) -> bool:
        """Whether messages that are no frames may belong to this reply."""
        return self._ended is None and self.form is not ReplyForm.FRAMES

    def _settle_message(self, now: float) -> None:
        """A reply in one message has no end of its own: it is whole when it is as long as `done` says."""
        done = first_event(self.events, "done", {})
        if done is None or self.form is ReplyForm.STREAM or len(self._chunks) != 1 or self._ended is not None:
            return
        if self.form is not ReplyForm.FRAMES and done.get("bytes") == self._bytes:
            self.form = ReplyForm.MESSAGE
            self._end(Ended.END, now)

    def _add(self, seq: int, audio: bytes, now: float) -> None:
        if not audio:
            return
        if self.superseded or self._ended is not None:
            self.stale += 1
        elif self._bytes + len(audio) > REPLY_MAX_BYTES:
            self.oversized += 1
        else:
            self.playback.receive(audio, now)
            self._chunks.append(Chunk(seq, audio, now))
            self._bytes += len(audio)

    def _end(self, how: Ended, now: float) -> None:
        if self._ended is None:
            self._ended, self._ended_at = how, now
            self.playback.finish(now)

    def _missing(self, what: str) -> str:
        kinds = ", ".join(str(event.get("event")) for event in self.events) or "none"
        turn = "not known yet" if self.turn is None else f"{self.turn:#06x}"
        return f"{what} (turn {turn}; events: {kinds}; {len(self._chunks)} chunks, {self._bytes} bytes of audio)"


def first_event(events: Iterable[Event], kind: str, fields: Mapping[str, object]) -> Event | None:
    """Return the first of `events` that is of this `kind` and has these `fields`."""
    wanted = {"event": kind, **fields}
    return next((event for event in events if all(event.get(name) == wanted[name] for name in wanted)), None)
