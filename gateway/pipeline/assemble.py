"""Makes utterances of what one device publishes on its `in` topic. Pure: time is passed in.

The first message of an utterance decides its form (frames, a file, raw PCM) until the utterance ends. What a
device may send and what follows from it is told in docs/protocol.md; each rule has its test.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import inf

from gateway.errors import DeviceFault, ErrorCode, Stage
from gateway.pipeline.following import FrameFollower
from gateway.pipeline.framed import FramedAudio
from gateway.pipeline.raw import Began, Hushed, Move, NeedsSpeechProbability, RawStream, WentOn
from gateway.pipeline.steps import Cancelled, Closed, Opened, Paused, Refused, Rejected, Resumed, Step
from gateway.pipeline.wav import WavAudio, is_whole
from gateway.values import Codec, EndedBy, Gap, LinkCounts, ReplyForm, Utterance
from gateway.wire.forms import Form, form_of
from gateway.wire.frame import (
    FIRST_GATEWAY_TURN,
    LAST_GATEWAY_TURN,
    Flag,
    Frame,
    bad_frame,
    decode_uplink,
    is_frame,
    newer,
)

__all__ = [
    "DEFAULT_RAW_RATE",
    "Assembler",
    "AssemblyLimits",
    "Cancelled",
    "Closed",
    "NeedsSpeechProbability",
    "Opened",
    "Paused",
    "Refused",
    "Rejected",
    "Resumed",
    "Step",
]

DEFAULT_RAW_RATE = 16_000
"""Hz of raw PCM from a device whose `hello` says no rate."""
_NO_LOSS = LinkCounts()
_NUMBERS_SKIPPED = 32
_QUIET_S = 5.0
"""A device that has sent nothing for so long may have restarted and counts its turns anew."""


@dataclass(frozen=True, slots=True)
class AssemblyLimits:
    """What one device may send. The names are those of the settings; with `pauses`, those in speech are told."""

    idle_limit_s: float = 1.0
    utterance_max_s: float = 30.0
    message_max_bytes: int = 1_048_576
    end_of_speech_ms: int = 700
    pauses: bool = False


@dataclass(slots=True)
class _Recording:
    """The utterance that is open. Times as passed in; `largest_message` in bytes of payload."""

    turn: int
    reply_form: ReplyForm
    audio: FramedAudio | WavAudio | RawStream
    opened_at: float
    last_at: float
    largest_message: int = 0

    @property
    def opened(self) -> Opened:
        return Opened(self.turn, self.reply_form)

    def came(self, size: int, now: float) -> None:
        self.last_at = now
        self.largest_message = max(self.largest_message, size)

    def closed(
        self,
        codec: Codec,
        rate: int,
        parts: tuple[bytes | Gap, ...],
        ended_by: EndedBy,
        at: float,
        link: LinkCounts = _NO_LOSS,
    ) -> Closed:
        utterance = Utterance(self.turn, self.reply_form, codec, rate, parts, ended_by, self.largest_message, link)
        return Closed(utterance, at - self.opened_at, too_long=ended_by is EndedBy.LIMIT)

    def paused(self, pcm: bytes, rate: int) -> Paused:
        return Paused(
            Utterance(self.turn, self.reply_form, Codec.PCM, rate, (pcm,), EndedBy.SILENCE, self.largest_message)
        )


class Assembler:
    """Everything that one device says, in utterances.

    Call `receive` with each message and the time of its arrival (seconds of any one clock), and `tick` when
    `deadline` has passed and no message that arrived before it still waits. Each `NeedsSpeechProbability` among
    the steps is answered by one call of `hear` before the next `receive` or `tick`.
    """

    def __init__(self, limits: AssemblyLimits) -> None:
        self._limits = limits
        self._recording: _Recording | None = None
        self._raw: RawStream | None = None
        """The raw stream that goes on, whether or not an utterance of it is open."""
        self._raw_rate = DEFAULT_RAW_RATE
        self._raw_message_bytes = 0
        self._end_of_speech_ms = limits.end_of_speech_ms
        self._follows_frames = False
        self._follower: FrameFollower | None = None
        """Listens along with the frames of the open utterance, and with what is left of them after its end."""
        self._skip: float = 0
        """Bytes still to come of a file or stream that was given up; infinity when only its end will tell."""
        self._last_turn: int | None = None
        self._own_turn = LAST_GATEWAY_TURN
        self._said_hello = False
        self._last_message_at = -inf

    @property
    def deadline(self) -> float | None:
        """When `tick` has something to do, if no message comes before; None when nothing is open or listened to."""
        if self._recording is not None:
            return self._recording.last_at + self._limits.idle_limit_s
        return None if self._raw is None else self._last_message_at + self._limits.idle_limit_s

    def take_gateway_turn(self) -> int:
        """Return the next number for a turn that has none of the device's: 0x8000 to 0xFFFF, and round again."""
        self._own_turn = FIRST_GATEWAY_TURN if self._own_turn == LAST_GATEWAY_TURN else self._own_turn + 1
        return self._own_turn

    def continue_after(self, number: int) -> None:
        """Go on numbering some way after `number`, the last of the gateway's own that is known of an earlier run: that
        run may have used a few more, and a device takes one that it has had for a duplicate."""
        turns = LAST_GATEWAY_TURN - FIRST_GATEWAY_TURN + 1
        self._own_turn = FIRST_GATEWAY_TURN + (number - FIRST_GATEWAY_TURN + _NUMBERS_SKIPPED) % turns

    def hello_said(self, rate: int | None, end_of_speech_ms: int | None = None) -> None:
        """The device said `hello`: it may have restarted. `rate` is that of its raw audio in Hz, if it said one, and
        counts from the next stream on. `end_of_speech_ms` counts at once; a device that says it and sends frames ends
        them itself at so much silence, so its pauses are listened to."""
        self._said_hello = True
        self._raw_rate = rate or DEFAULT_RAW_RATE
        self._end_of_speech_ms = end_of_speech_ms or self._limits.end_of_speech_ms
        self._follows_frames = self._limits.pauses and end_of_speech_ms is not None
        if self._raw is not None:
            self._raw.wait_for(self._end_of_speech_ms)

    def receive(self, payload: bytes, now: float) -> list[Step]:
        """Take one message of the device's `in` topic. Never raises, whatever the payload."""
        steps = self.tick(now)
        if now - self._last_message_at >= self._limits.idle_limit_s:
            self._raw = None
            self._skip = 0
        quiet = now - self._last_message_at >= _QUIET_S
        steps += self._take(payload, now, quiet)
        self._last_message_at = now
        return steps

    def hear(self, probabilities: Iterable[float | None], now: float) -> list[Step]:
        """Take the speech probabilities (0..1) of the next windows that were asked about, in order.

        A detector that lags behind, because it resamples, may give fewer for now. One that cannot work gives None
        for each window: the utterance then ends by its empty message, the idle limit or the length limit.
        """
        if self._follower is not None:
            moves = self._follower.hear(probabilities)
            if self._recording is None:
                moves += self._follower.doubt()
                self._follower = None
            return self._follow_frames(moves)
        return [] if self._raw is None else self._follow(self._raw, self._raw.hear(probabilities), now)

    def tick(self, now: float) -> list[Step]:
        """End the open utterance, or the raw stream in which none is open, if the idle limit has passed."""
        recording, deadline = self._recording, self.deadline
        if deadline is None or now < deadline:
            return []
        if recording is None:
            self._raw = None
            return []
        return self._finish(recording, EndedBy.IDLE, deadline)

    def cancel(self) -> list[Step]:
        """End the open utterance unanswered; the rest of it will be ignored."""
        recording = self._recording
        if recording is None:
            return []
        if isinstance(recording.audio, RawStream):
            recording.audio.drop()
        elif isinstance(recording.audio, WavAudio):
            self._skip = recording.audio.missing
        self._recording = self._follower = None
        return [Cancelled(recording.turn)]

    def _take(self, payload: bytes, now: float, quiet: bool) -> list[Step]:
        if self._skip:
            self._skip = max(0, self._skip - len(payload)) if payload else 0
            return []
        if len(payload) > self._limits.message_max_bytes:
            return self._too_large(payload)
        recording = self._recording
        if recording is None:
            return self._first(payload, now, quiet)
        if isinstance(recording.audio, FramedAudio):
            return self._frame(payload, now, quiet)
        if not payload:
            return self._finish(recording, EndedBy.MARKER, now)
        if isinstance(recording.audio, WavAudio):
            return self._wav(recording, recording.audio, payload, now)
        return self._raw_audio(recording.audio, payload, now)

    def _first(self, payload: bytes, now: float, quiet: bool) -> list[Step]:
        """Take a message when nothing is open: it decides the form."""
        if not payload:
            self._raw = None
            return []
        form = form_of(payload)
        if form is Form.FRAME:
            return self._frame(payload, now, quiet)
        if form is Form.FILE:
            return self._file(payload, now)
        if self._raw is not None:
            return self._raw_audio(self._raw, payload, now)
        return self._new_raw_stream(payload, now)

    def _frame(self, payload: bytes, now: float, quiet: bool) -> list[Step]:
        try:
            if not is_frame(payload):
                raise bad_frame("this message is not a frame, and an utterance in frames is open")
            frame = decode_uplink(payload)
            if Flag.CANCEL in frame.flags:
                return self._cancel(frame)
        except DeviceFault as fault:
            return [Rejected(fault, None)]
        steps = self._turn_to(frame, now, quiet)
        recording = self._recording
        if recording is None or recording.turn != frame.turn or not isinstance(recording.audio, FramedAudio):
            return []
        fault_in_audio = recording.audio.fault_in(frame)
        if fault_in_audio is None:
            return steps + self._add_frame(recording, recording.audio, frame, len(payload), now)
        steps.append(Rejected(fault_in_audio, None))
        if frame.flags & (Flag.START | Flag.END):
            # What its flags say still holds: an utterance that missed its END would go on to the idle limit.
            bare = replace(frame, audio=b"")
            steps += self._add_frame(recording, recording.audio, bare, len(payload), now)
        return steps

    def _turn_to(self, frame: Frame, now: float, quiet: bool) -> list[Step]:
        """Open the turn of `frame` if that is to be; the one that was open ends unanswered."""
        if self._recording is not None and self._recording.turn == frame.turn:
            return []
        if self._last_turn is not None and not newer(frame.turn, self._last_turn):
            begins = Flag.START in frame.flags and frame.seq == 0
            if not (begins and (self._said_hello or quiet)):
                return []
        steps = self.cancel()
        self._last_turn = frame.turn
        self._said_hello = False
        audio = FramedAudio(frame, self._limits.utterance_max_s)
        if self._follows_frames:
            self._follower = FrameFollower(audio, self._limits.utterance_max_s)
        return [*steps, self._open(frame.turn, ReplyForm.FRAMES, audio, now).opened]

    def _add_frame(self, recording: _Recording, audio: FramedAudio, frame: Frame, size: int, now: float) -> list[Step]:
        if not audio.add(frame):
            return []
        recording.came(size, now)
        if Flag.END in frame.flags or audio.too_long:
            return self._finish(recording, EndedBy.MARKER, now)
        return [] if self._follower is None else self._follow_frames(self._follower.take())

    def _cancel(self, frame: Frame) -> list[Step]:
        last = self._last_turn
        if last is not None and frame.turn != last and not newer(frame.turn, last):
            return []
        self._last_turn = frame.turn
        return self.cancel() or [Cancelled(None)]

    def _file(self, payload: bytes, now: float) -> list[Step]:
        if _is_whole_file(payload):
            turn, form = self.take_gateway_turn(), ReplyForm.MESSAGE
            utterance = Utterance(turn, form, Codec.FILE, 0, (payload,), EndedBy.MARKER, len(payload))
            return [Opened(turn, form), Closed(utterance, 0.0, too_long=False)]
        audio = WavAudio(self._limits.utterance_max_s)
        recording = self._open(self.take_gateway_turn(), ReplyForm.STREAM, audio, now)
        return [recording.opened, *self._wav(recording, audio, payload, now)]

    def _wav(self, recording: _Recording, audio: WavAudio, payload: bytes, now: float) -> list[Step]:
        recording.came(len(payload), now)
        audio.add(payload)
        if audio.too_long:
            self._skip = audio.missing
        if audio.too_long or audio.whole:
            return self._finish(recording, EndedBy.MARKER, now)
        return []

    def _new_raw_stream(self, payload: bytes, now: float) -> list[Step]:
        limits = self._limits
        self._raw = RawStream(self._raw_rate, limits.utterance_max_s, self._end_of_speech_ms, pauses=limits.pauses)
        recording = self._open(self.take_gateway_turn(), ReplyForm.STREAM, self._raw, now)
        return [recording.opened, *self._raw_audio(self._raw, payload, now)]

    def _raw_audio(self, stream: RawStream, payload: bytes, now: float) -> list[Step]:
        self._raw_message_bytes = len(payload)
        steps = self._follow(stream, stream.hear([None] * stream.overdue), now)
        if self._recording is not None:
            self._recording.came(len(payload), now)
        needs = stream.take(payload)
        return steps if needs is None else [*steps, needs]

    def _follow(self, stream: RawStream, moves: Iterable[Move], now: float) -> list[Step]:
        steps: list[Step] = []
        for move in moves:
            if isinstance(move, Began):
                # The message that it began in has come already; that of the stream's last one is its time.
                turn = self.take_gateway_turn()
                recording = self._open(turn, ReplyForm.STREAM, stream, self._last_message_at)
                recording.came(self._raw_message_bytes, self._last_message_at)
                steps.append(recording.opened)
            elif self._recording is None:
                continue
            elif isinstance(move, Hushed):
                steps.append(self._recording.paused(move.audio, move.rate))
            elif isinstance(move, WentOn):
                steps.append(Resumed())
            else:
                parts = (move.audio,) if move.audio else ()
                closed = self._recording.closed(Codec.PCM, stream.rate, parts, move.ended_by, now)
                self._recording = None
                steps.append(closed)
        return steps

    def _follow_frames(self, moves: Iterable[Move | NeedsSpeechProbability]) -> list[Step]:
        steps: list[Step] = []
        for move in moves:
            if isinstance(move, NeedsSpeechProbability):
                steps.append(move)
            elif isinstance(move, WentOn):
                steps.append(Resumed())
            elif isinstance(move, Hushed) and self._recording is not None:
                steps.append(self._recording.paused(move.audio, move.rate))
        return steps

    def _too_large(self, payload: bytes) -> list[Step]:
        message = f"a message of {len(payload)} bytes is larger than {self._limits.message_max_bytes}"
        fault = DeviceFault(ErrorCode.AUDIO_TOO_LONG, Stage.RECEIVE, message)
        if self._recording is not None:
            return [Rejected(fault, self._recording.turn)]
        form = form_of(payload)
        if form is Form.FRAME:
            return [Rejected(fault, None)]
        if form is Form.FILE and _is_whole_file(payload):
            return [Refused(self.take_gateway_turn(), ReplyForm.MESSAGE, fault)]
        self._raw = None
        self._skip = inf
        return [Refused(self.take_gateway_turn(), ReplyForm.STREAM, fault)]

    def _open(
        self, turn: int, reply_form: ReplyForm, audio: FramedAudio | WavAudio | RawStream, now: float
    ) -> _Recording:
        self._recording = _Recording(turn, reply_form, audio, now, now)
        return self._recording

    def _finish(self, recording: _Recording, ended_by: EndedBy, at: float) -> list[Step]:
        """End the open utterance, which is `recording`, with what has come."""
        audio = recording.audio
        if isinstance(audio, RawStream):
            self._raw = None
            return self._follow(audio, audio.finish(ended_by), at)
        self._recording = None
        if isinstance(audio, WavAudio):
            ended_by = EndedBy.LIMIT if audio.too_long else ended_by
            return [recording.closed(Codec.FILE, 0, (audio.content,), ended_by, at)]
        audio.finish()
        ended_by = EndedBy.LIMIT if audio.too_long else ended_by
        closed = recording.closed(audio.codec, audio.rate, audio.parts, ended_by, at, audio.counts)
        return [*self._last_of_frames(), closed]

    def _last_of_frames(self) -> list[Step]:
        """What follows from the end of frames that were listened to: whether the last pause was it."""
        if self._follower is None:
            return []
        steps = self._follow_frames(self._follower.finish())
        if not any(isinstance(step, NeedsSpeechProbability) for step in steps):
            steps += self._follow_frames(self._follower.doubt())
            self._follower = None
        return steps


def _is_whole_file(payload: bytes) -> bool:
    return not payload.startswith(b"RIFF") or is_whole(payload)
