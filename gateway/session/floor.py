"""Who has the floor: the one turn that runs for a device, and the reply that the device still plays. Barge-in lives
here: the canceller, not the cancelled turn, does what is left to do."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

from gateway.events import AnnouncementChanged, Thinking
from gateway.pipeline.turn import Turn
from gateway.pipeline.turn_request import TurnRequest, TurnServices
from gateway.session.records import Records
from gateway.values import Announcement, AnnouncementStatus, DeviceAddress, Outcome, Priority, TurnRecord
from gateway.wire.messages import Played

log = logging.getLogger(__name__)

CANCEL_WAIT_S = 3.0
"""A cancelled turn that has not ended by then is left behind; whatever it still sends is known by its number."""

NOTHING_HEARD = "…"
"""What stands in the conversation for a reply that was cut off before a word of it was heard."""

_STATUS = {
    Outcome.COMPLETED: AnnouncementStatus.DONE,
    Outcome.SILENT: AnnouncementStatus.DONE,
    Outcome.INTERRUPTED: AnnouncementStatus.INTERRUPTED,
    Outcome.FAILED: AnnouncementStatus.FAILED,
}


@dataclass(frozen=True, slots=True)
class _Playing:
    """The last turn, and until when (of the monotonic clock) the device plays what it holds of its reply.
    `announcement` is what it spoke and was not told to be done, for it is still to be heard."""

    turn: Turn
    record: TurnRecord
    until: float
    announcement: Announcement | None = None


class Floor:
    """At most one turn at a time. `on_end` is called when one has ended and waits to be concluded."""

    def __init__(self, services: TurnServices, records: Records, on_end: Callable[[], None]) -> None:
        self._services = services
        self._records = records
        self._on_end = on_end
        self._turn: Turn | None = None
        self._task: asyncio.Task[None] | None = None
        self._announcement: Announcement | None = None
        self._playing: _Playing | None = None

    @property
    def free(self) -> bool:
        """No turn runs."""
        return self._turn is None

    @property
    def number(self) -> int | None:
        """Of the turn that runs."""
        return None if self._turn is None else self._turn.number

    @property
    def ended(self) -> bool:
        """A turn has ended by itself, and is to be concluded."""
        return self._task is not None and self._task.done()

    @property
    def played_out_at(self) -> float:
        """When the device has played what it holds of the last reply. A text that follows it waits until then: the
        device could not hold both, and might take the new reply for the end of the old."""
        return self._playing.until if self._playing is not None else 0.0

    @property
    def heard_out_at(self) -> float | None:
        """When an announcement has been heard that was sent whole, and is to be told done; None: there is none."""
        return self._playing.until if self._playing is not None and self._playing.announcement is not None else None

    @property
    def is_urgent(self) -> bool:
        """What runs, or still plays, is an urgent announcement."""
        announcement = self._announcement or (self._playing.announcement if self._playing is not None else None)
        return announcement is not None and announcement.priority is Priority.URGENT

    def start(self, request: TurnRequest, announcement: Announcement | None = None) -> None:
        """Let a turn run, which speaks `announcement` if it is given; the floor must be free."""
        self.note_heard_out()
        self._announcement = announcement
        self._turn = Turn(self._services, request)
        self._services.emit(Thinking(request.device, request.number))
        name = f"turn {request.number:#06x} of {request.device.id}"
        self._task = asyncio.create_task(self._turn.run(), name=name)
        self._task.add_done_callback(lambda _: self._on_end())

    async def conclude(self, *, flush: bool) -> None:
        """End the turn, if one runs, and write what became of it; one that has ended by itself is only written.
        `flush` makes the device drop what it holds of the reply."""
        if self._turn is None or self._task is None:
            return
        turn, task = self._turn, self._task
        if not task.done():
            task.cancel()
            await asyncio.wait({task}, timeout=CANCEL_WAIT_S)
        if not task.done() or task.cancelled():
            await turn.interrupt(flush=flush)
        elif (defect := task.exception()) is not None:
            log.error("turn %d of %s broke", turn.number, turn.device.id, exc_info=defect)
            turn.broke()
            await turn.interrupt(flush=flush)
        self._turn = self._task = None
        announcement, self._announcement = self._announcement, None
        record, answer = turn.record(), turn.answer
        turn.release()
        flushed = flush and record.outcome is Outcome.INTERRUPTED
        held_s = 0.0 if flushed else turn.held_s
        to_be_heard = announcement if record.outcome is Outcome.COMPLETED and held_s > 0 else None
        self._playing = _Playing(turn, record, self._services.monotonic() + held_s, to_be_heard)
        await self._records.end(record, turn.epoch, answer)
        if announcement is not None and to_be_heard is None:
            self._tell(announcement, _STATUS[record.outcome], record.device, record.turn, record.error or "")

    async def stop(self) -> None:
        """End the turn or, if none runs, what the device still plays of the last reply."""
        if self._turn is not None:
            await self.conclude(flush=True)
        elif self._playing is not None and self._services.monotonic() < self._playing.until:
            await self._playing.turn.recall()
            self.cut_off_playing()

    def cut_off_playing(self) -> None:
        """Correct what is remembered of a reply that was sent whole, if it is cut off while the device plays it and
        the device has said how far it came."""
        playing, self._playing = self._playing, None
        if playing is None:
            return
        cut_off = playing.until > self._services.monotonic()
        self._tell_of(playing, AnnouncementStatus.INTERRUPTED if cut_off else AnnouncementStatus.DONE)
        if not cut_off or playing.record.outcome is not Outcome.COMPLETED:
            return
        said = playing.turn.heard_of_reply()
        if said is not None and playing.turn.epoch is not None:
            self._records.amend(playing.record, playing.turn.epoch, said or NOTHING_HEARD)

    def note_played(self, played: Played) -> None:
        """Note what the device says that it has played."""
        answering = self._turn or (self._playing.turn if self._playing else None)
        if answering is None or answering.number != played.turn:
            return
        if played.seq is not None:
            answering.played(played.seq)
        if played.end and self._turn is None:
            self.let_go()

    def let_go(self) -> None:
        """Follow no longer what the device plays, which goes on."""
        if self._playing is not None:
            self._tell_of(self._playing, AnnouncementStatus.DONE)
            self._playing = None

    def note_heard_out(self) -> None:
        """Tell that an announcement is done if the device has played it by now."""
        playing = self._playing
        if playing is not None and playing.until <= self._services.monotonic():
            self._tell_of(playing, AnnouncementStatus.DONE)
            self._playing = replace(playing, announcement=None)

    def _tell_of(self, playing: _Playing, status: AnnouncementStatus) -> None:
        if playing.announcement is not None:
            self._tell(playing.announcement, status, playing.record.device, playing.record.turn)

    def _tell(
        self, announcement: Announcement, status: AnnouncementStatus, device: DeviceAddress, turn: int, reason: str = ""
    ) -> None:
        self._services.emit(AnnouncementChanged(device, announcement, status, turn, reason))
