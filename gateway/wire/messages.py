"""The JSON messages of a device's topics: what devices say is checked, what the gateway says is built.

Unknown keys are ignored. A wrong type or a value out of its range is a `bad_json` that names the key.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import from_json

from gateway.errors import DeviceFault, ErrorCode, Stage
from gateway.events import (
    AnnouncementChanged,
    EnginePassedOver,
    Event,
    Failed,
    Listening,
    SentenceReady,
    Speaking,
    ToolCalled,
    Transcribed,
    TurnEnded,
)
from gateway.personality import Personality
from gateway.values import DeviceAddress, TurnRecord, end_of_speech_ms
from gateway.wire.frame import LAST_GATEWAY_TURN, LAST_SEQ, RATES

STATE_TEXT_BYTES = 1_200
"""Of each text in a device's state."""
_LARGEST_PACKET = 268_435_460
"""The largest packet of MQTT 3.1.1: a header of 5 bytes and a remaining length of 268,435,455 (section 2.2.3)."""

Label = Annotated[str, StringConstraints(max_length=64, pattern=r"^[^\x00-\x1f\x7f]*$")]
Language = Annotated[str, StringConstraints(pattern=r"^[a-z]{2,3}$")]
"""An ISO 639 code."""


class IncomingMessage(BaseModel):
    """What somebody sends; unknown keys are ignored."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")


Number = Annotated[int, Field(strict=False)]
"""An integer; a firmware that writes 2000.0 or "2000" means 2000."""


class ReplyWish(IncomingMessage):
    """How the device wants its replies: `rate` in Hz, `bitrate_kbps` or the nearest that MP3 has at that rate."""

    rate: Literal[16000, 22050, 24000, 32000, 44100, 48000] | None = None
    bitrate_kbps: Annotated[Number, Field(ge=8, le=320)] | None = None


class Hello(IncomingMessage):
    """What the device is and can take. None or empty: it did not say."""

    v: Literal[1]
    name: Label = ""
    firmware: Label = ""
    board: Label = ""
    max_packet: Annotated[Number, Field(ge=32, le=_LARGEST_PACKET)] | None = None
    """The largest MQTT packet that it takes, in bytes, all headers included."""
    buffer_ms: Annotated[Number, Field(ge=20, le=60_000)] | None = None
    codecs: list[Label] = Field(default_factory=list, max_length=16)
    rate: Number | None = None
    """Hz, of its raw audio."""
    reply: ReplyWish = ReplyWish()
    language: Language | None = None
    end_of_speech: int | None = None
    """Milliseconds of silence that end what is said: said as a number, or by the name of a preset. Of a device that
    sends frames it is the silence at which the device itself ends them."""
    _raw: dict[str, Any] = PrivateAttr(default_factory=dict)
    _ignored: tuple[str, ...] = PrivateAttr(default=())

    @field_validator("language", mode="before")
    @classmethod
    def _language_without_region(cls, language: object) -> object:
        return re.split("[-_]", language)[0].lower() if isinstance(language, str) else language

    @field_validator("end_of_speech", mode="before")
    @classmethod
    def _end_of_speech_in_ms(cls, wish: object) -> object:
        if isinstance(wish, bool) or not isinstance(wish, str | int | float):
            raise ValueError("a preset or a number of milliseconds")
        return end_of_speech_ms(int(wish) if isinstance(wish, float) and wish.is_integer() else str(wish))

    @field_validator("rate")
    @classmethod
    def _rate_is_one_of_the_frames(cls, rate: int | None) -> int | None:
        if rate is not None and rate not in RATES:
            raise ValueError(f"rate is one of {', '.join(map(str, RATES))}")
        return rate

    @property
    def raw(self) -> Mapping[str, Any]:
        """The message as it came, unknown keys included: the session's `device_info`."""
        return self._raw

    @property
    def ignored(self) -> tuple[str, ...]:
        """What was wrong with the keys that are taken as not said."""
        return self._ignored

    @property
    def personality(self) -> Personality:
        """What the device says of its assistant."""
        return Personality.model_construct(name=self.name or None, language=self.language)

    @property
    def reply_rate(self) -> int | None:
        return self.reply.rate

    @property
    def reply_bitrate_kbps(self) -> int | None:
        return self.reply.bitrate_kbps


class Abort(IncomingMessage):
    """Stop what is being recorded, thought or spoken."""

    type: Literal["abort"]


class Played(IncomingMessage):
    """What has been heard of the reply to `turn`: up to frame `seq`, or all of it when `end`."""

    type: Literal["played"]
    turn: int = Field(ge=1, le=LAST_GATEWAY_TURN)
    seq: int | None = Field(None, ge=0, le=LAST_SEQ)
    end: bool = False

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.seq is None and not self.end:
            raise ValueError('played needs "seq", or "end": true')
        return self


class Forget(IncomingMessage):
    """Erase this device's conversation and cache."""

    type: Literal["forget"]


Control = Abort | Played | Forget
_CONTROL: TypeAdapter[Control] = TypeAdapter(Annotated[Control, Field(discriminator="type")])


def parse_hello(payload: bytes | Mapping[str, Any]) -> Hello:
    """Read `hello`, as it came or as it was stored.

    A key with a wrong value is taken as not said and is listed in `ignored`: a device whose `max_packet` were thrown
    away for a misspelt `language` would fall silent.

    Raises:
        DeviceFault: `bad_json`; it is no JSON object, or not of version 1.
    """
    raw = parse_object("hello", payload) if isinstance(payload, bytes) else dict(payload)
    said = {key: value for key, value in raw.items() if value is not None or key == "v"}
    ignored: list[str] = []
    while True:
        try:
            hello = Hello.model_validate(said)
        except ValidationError as exc:
            key, *within = exc.errors(include_url=False, include_input=False, include_context=False)[0]["loc"]
            if key not in said or key == "v":
                raise bad_json("hello", reason_of(exc)) from exc
            ignored.append(reason_of(exc))
            wrong = said.pop(key)
            if within and isinstance(wrong, dict):
                said[key] = {name: value for name, value in wrong.items() if name != within[0]}
            continue
        hello._raw = raw
        hello._ignored = tuple(ignored)
        return hello


def parse_control(payload: bytes) -> Control:
    """Read a `control` message.

    Raises:
        DeviceFault: `bad_json`; also for an unknown `type`.
    """
    try:
        return _CONTROL.validate_python(parse_object("control", payload))
    except ValidationError as exc:
        raise bad_json("control", reason_of(exc)) from exc


def event_json(event: Event, now: datetime) -> bytes | None:
    """Return the payload that tells `event` on the device's `event` topic; None for what is not told there."""
    match event:
        case Listening():
            return _event("listening", event.device, event.turn, now)
        case Transcribed():
            return _event("transcript", event.device, event.turn, now, text=event.text, language=event.language)
        case SentenceReady():
            return _event("sentence", event.device, event.turn, now, index=event.index, text=event.text)
        case Speaking():
            return _event("speaking", event.device, event.turn, now)
        case EnginePassedOver():
            what = {"stage": event.stage, "engine": event.engine, "message": event.message, "rest_s": event.rest_s}
            return _event("engine_passed_over", event.device, event.turn, now, **what)
        case ToolCalled():
            return _event("tool", event.device, event.turn, now, name=event.name, ok=event.ok, ms=event.ms)
        case Failed():
            what = {"code": event.code, "stage": event.stage, "message": event.message, "retryable": event.retryable}
            return _event("error", event.device, event.turn, now, **what)
        case AnnouncementChanged():
            return _event("announcement", event.device, event.turn, now, **_announcement(event))
        case TurnEnded():
            return _event("done", event.record.device, event.record.turn, now, **_done(event.record))
        case _:
            return None


def state_json(
    state: str,
    device: DeviceAddress,
    last: TurnRecord | None,
    now: datetime,
    *,
    turns: int = 0,
    language: str = "",
    persona: str = "",
) -> bytes:
    """Return the payload of the device's `state` topic: what it does, how many `turns` it has had since the gateway
    began, the `language` and `persona` of its assistant where they are known, and the last turn that ended, if any."""
    return _json(
        {
            "state": state,
            "session_id": device.id,
            "ts": _timestamp(now),
            "turns": turns,
            "language": language or None,
            "persona": persona or None,
            "last": last
            and {
                "turn": last.turn,
                "outcome": last.outcome,
                "heard": shortened(last.heard),
                "said": shortened(last.said),
                "total_ms": last.timings.total,
                "first_audio_ms": last.timings.first_audio_out,
            },
        }
    )


def shortened(text: str) -> str:
    """`text` as it can be sent, within `STATE_TEXT_BYTES`: a device with a packet of 4096 bytes can read its state."""
    data = text.encode(errors="replace")
    if len(data) <= STATE_TEXT_BYTES:
        return data.decode()
    return data[: STATE_TEXT_BYTES - len("…".encode())].decode(errors="ignore") + "…"


def _done(record: TurnRecord) -> dict[str, Any]:
    return {
        "outcome": record.outcome,
        "reply": record.said,
        "chunks": record.chunks,
        "bytes": record.bytes,
        "cached": record.cached,
        "timings_ms": asdict(record.timings),
        "audio": asdict(record.link),
        "kind": record.kind,
        "heard": shortened(record.heard),
        "error": record.error,
    }


def _announcement(event: AnnouncementChanged) -> dict[str, Any]:
    announcement = event.announcement
    what: dict[str, Any] = {"id": announcement.id, "kind": announcement.kind, "status": event.status}
    what["priority"] = announcement.priority
    if announcement.volume is not None:
        what["volume"] = announcement.volume
    return {**what, "reason": event.reason} if event.reason else what


def _event(kind: str, device: DeviceAddress | None, turn: int | None, now: datetime, /, **what: object) -> bytes:
    head = {"event": kind, "turn": turn, "session_id": device and device.id, "ts": _timestamp(now)}
    return _json({**head, **what})


def _json(body: Mapping[str, Any]) -> bytes:
    # Characters as they are: an escape takes six bytes, and a device's buffer is small.
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")


def _timestamp(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse_object(what: str, payload: bytes) -> dict[str, Any]:
    """Parse a JSON object that can be stored: PostgreSQL takes neither NUL characters nor infinite numbers."""
    try:
        body = from_json(payload, allow_inf_nan=False)
        written = json.dumps(body, allow_nan=False)
    except ValueError as exc:
        raise bad_json(what, str(exc)) from exc
    if not isinstance(body, dict):
        raise bad_json(what, "it is a JSON object, {…}")
    if "\\u0000" in written:
        raise bad_json(what, "a NUL character")
    return body


def reason_of(error: ValidationError) -> str:
    """Say what is wrong first: the key, and why."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    where = ".".join(map(str, first["loc"]))
    return f"{where}: {first['msg']}" if where else first["msg"]


def bad_json(what: str, reason: str) -> DeviceFault:
    """The fault of a message that is `what` (hello, say) and cannot be taken."""
    return DeviceFault(ErrorCode.BAD_JSON, Stage.RECEIVE, f"{what}: {reason}")
