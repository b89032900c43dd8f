"""What is asked of each answer. Pure.

Nothing that the simulator itself did is held against the gateway: of a question whose frames it lost nobody need
understand anything, of an answer that was interrupted only the end is asked for, and of a device that reads slowly only
what does not depend on when it reads.
"""

from dataclasses import dataclass
from enum import StrEnum

from gateway.device import Ended, Reply
from gateway.device.exchange import Event
from gateway.errors import ErrorCode
from gateway.values import Outcome, ReplyForm


class Check(StrEnum):
    """What is checked, in the order in which it is told."""

    BELONGS = "belongs to the device"
    ANSWERED = "answered"
    COMPLETE = "complete"
    DECODABLE = "decodable"
    IN_TIME = "in time"
    FITS = "within the packet limit"
    NEVER_DRY = "never ran dry"
    NEVER_OVERFULL = "never overfull"


_NOT_HEARD = {ErrorCode.AUDIO_TOO_SHORT, ErrorCode.NO_SPEECH, ErrorCode.AUDIO_UNDECODABLE}
"""What may be said to a question of which frames are missing."""


@dataclass(frozen=True, slots=True)
class Answer:
    """All that is known of one answer.

    `done` and `errors` are events of its turn. `gave_up` says for what the device waited in vain, `sound_fault` what is
    wrong with the sound, `strangers` what came that was not for this device. `late_chunks` came after the end.
    `largest_payload` is the most that fits in a message for the device, in bytes; None: there is no limit.
    `spare_ms` is the room that the device has besides what it says that it holds: a message that is delayed on its way
    makes those after it look early, which nobody is to blame for.
    """

    reply: Reply
    done: Event | None
    errors: tuple[Event, ...]
    patience_s: float
    largest_payload: int | None
    spare_ms: float = 0
    strangers: tuple[str, ...] = ()
    gave_up: str | None = None
    sound_fault: str | None = None
    late_chunks: int = 0
    frames_lost: int = 0
    interrupted: bool = False
    slow: bool = False
    spoken: bool = True
    """The question was; else it was a text, which nobody need recognise."""


def judge(answer: Answer) -> dict[Check, str | None]:
    """Return what is wrong by each check that applies; None where nothing is."""
    verdicts = {Check.BELONGS: "; ".join(answer.strangers) or None, Check.FITS: _too_large(answer)}
    if answer.slow:
        return verdicts
    verdicts[Check.IN_TIME] = _late(answer)
    if answer.done is not None:
        verdicts[Check.ANSWERED] = _unanswered(answer, answer.done)
    reply = answer.reply
    paced = reply.chunks and reply.form in (ReplyForm.FRAMES, ReplyForm.STREAM)
    if paced:
        verdicts[Check.NEVER_OVERFULL] = _overfull(answer)
    if answer.interrupted:
        return verdicts
    if reply.chunks or answer.done is not None:
        verdicts[Check.COMPLETE] = _incomplete(answer)
    if reply.chunks and reply.ended is Ended.END:
        verdicts[Check.DECODABLE] = answer.sound_fault
    if paced:
        verdicts[Check.NEVER_DRY] = _dry(answer)
    return verdicts


def _too_large(answer: Answer) -> str | None:
    largest, limit = answer.reply.largest_message, answer.largest_payload
    if limit is None or largest <= limit:
        return None
    return f"a message of {largest} bytes; {limit} fit"


def _late(answer: Answer) -> str | None:
    after = answer.reply.started_after_s
    if after is not None and after > answer.patience_s:
        return f"the first sound came after {after:.1f} s"
    return answer.gave_up


def _unanswered(answer: Answer, done: Event) -> str | None:
    outcome = done.get("outcome")
    codes = [str(error.get("code")) for error in answer.errors]
    fine = {Outcome.COMPLETED, Outcome.INTERRUPTED} if answer.interrupted else {Outcome.COMPLETED}
    if answer.frames_lost:
        fine |= {Outcome.SILENT}
        if codes and _NOT_HEARD.issuperset(codes):
            fine |= {Outcome.FAILED}
    if outcome in fine:
        return None
    return f"the turn is {outcome}" + (f" ({', '.join(codes)})" if codes else "")


def _incomplete(answer: Answer) -> str | None:
    reply = answer.reply
    if reply.ended is not Ended.END:
        return f"it broke off: {answer.gave_up}" if reply.ended is None else f"it was {reply.ended}"
    if reply.lost:
        return f"{reply.lost} chunks are missing"
    if reply.duplicate:
        return f"{reply.duplicate} chunks came twice or out of order"
    if answer.late_chunks:
        return f"{answer.late_chunks} chunks came after its end"
    if answer.done is not None:
        sent, got = (answer.done.get("chunks"), answer.done.get("bytes")), (len(reply.chunks), len(reply.mp3))
        if sent != got:
            return f"{got[0]} chunks, {got[1]} bytes came; the gateway says that it sent {sent[0]}, {sent[1]}"
    return None


def _dry(answer: Answer) -> str | None:
    playback = answer.reply.playback
    if not playback.dry_count:
        return None
    return f"silence for {playback.dry_ms:.0f} ms, in {playback.dry_count} places"


def _overfull(answer: Answer) -> str | None:
    playback = answer.reply.playback
    room_ms = playback.buffer_ms + answer.spare_ms
    if playback.peak_ms <= room_ms:
        return None
    return f"{playback.peak_ms:.0f} ms of sound at a time; the device has room for {room_ms:.0f}"
