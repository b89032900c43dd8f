"""What follows from what a device sends: the steps that an assembler tells and a session takes."""

from dataclasses import dataclass

from gateway.errors import DeviceFault
from gateway.pipeline.raw import NeedsSpeechProbability
from gateway.values import ReplyForm, Utterance


@dataclass(frozen=True, slots=True)
class Opened:
    """An utterance has begun. If a reply is under way, this is barge-in."""

    turn: int
    reply_form: ReplyForm


@dataclass(frozen=True, slots=True)
class Closed:
    """The open utterance is whole. `received_s` is from its first message to its end; `too_long` when the limit
    ended it, and the rest of it will be ignored."""

    utterance: Utterance
    received_s: float
    too_long: bool


@dataclass(frozen=True, slots=True)
class Paused:
    """The open utterance may be over: `utterance` is what there is of it. It was, if `Closed` follows without a
    `Resumed` before: then nothing but silence came since. Every other step says that it was not."""

    utterance: Utterance


@dataclass(frozen=True, slots=True)
class Resumed:
    """More than silence came since `Paused`, or may have."""


@dataclass(frozen=True, slots=True)
class Cancelled:
    """What ran stops. `turn` is the utterance that was open and now ends unanswered, or None if none was: then
    it is the reply that stops."""

    turn: int | None


@dataclass(frozen=True, slots=True)
class Rejected:
    """A message was dropped; nothing else changed. `turn` is the open utterance that it was too large for."""

    fault: DeviceFault
    turn: int | None


@dataclass(frozen=True, slots=True)
class Refused:
    """An utterance began and failed at once: a turn that must be told of, and heard to fail."""

    turn: int
    reply_form: ReplyForm
    fault: DeviceFault


Step = Opened | Paused | Resumed | Closed | Cancelled | Rejected | Refused | NeedsSpeechProbability
