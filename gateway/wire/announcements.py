"""What `say` and `ask` take, on a device's topic and as a request for several devices. Pure."""

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from pydantic import BeforeValidator, Field, StringConstraints, ValidationError

from gateway.values import Announcement, Priority, TurnKind
from gateway.wire.messages import IncomingMessage, Label, Language, Number, bad_json, parse_object, reason_of

_Text = TypeVar("_Text", bound="SpokenText")

TTL_MAX_S = 86_400
"""A day: what is to be said later than that is a calendar's to keep."""
NAMES_MAX = 256
"""Names in one request: each is looked up, and told of in the answer."""


class SpokenText(IncomingMessage):
    """A text to speak or to answer. None: it does not say; without a `language` it is the device's, without an `id`
    one is made up."""

    text: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, pattern=r"^[^\x00]*$")]
    language: Language | None = None
    priority: Annotated[Priority, Field(strict=False)] = Priority.NORMAL
    ttl_s: Annotated[float, Field(gt=0, le=TTL_MAX_S)] | None = None
    volume: Annotated[Number, Field(ge=0, le=100)] | None = None
    """Percent; a hint to the device."""
    id: Annotated[Label, StringConstraints(min_length=1)] | None = None

    def announcement(self, kind: TurnKind, made_up_id: str, ttl_s: float) -> Announcement:
        """Return the announcement, with `made_up_id` and `ttl_s` where it does not say its own."""
        return Announcement(
            id=self.id or made_up_id,
            kind=kind,
            text=self.text,
            language=self.language,
            priority=self.priority,
            ttl_s=ttl_s if self.ttl_s is None else self.ttl_s,
            volume=self.volume,
        )


def _as_list(names: object) -> object:
    return [names] if isinstance(names, str) else names


class AnnouncementRequest(SpokenText):
    """A text for several devices: ids in any spelling, `group:<name>`, or `all`."""

    to: Annotated[
        list[Annotated[str, StringConstraints(min_length=1)]],
        BeforeValidator(_as_list),
        Field(min_length=1, max_length=NAMES_MAX),
    ]


def parse_text(payload: bytes, max_chars: int) -> SpokenText:
    """Read `say` or `ask`: plain text in UTF-8, or JSON if it begins with `{`.

    Raises:
        DeviceFault: `bad_json`; it is neither, empty, or longer than `max_chars`.
    """
    try:
        body = parse_object("text", payload) if payload.startswith(b"{") else {"text": payload.decode()}
        spoken = SpokenText.model_validate(body)
    except UnicodeDecodeError as exc:
        raise bad_json("text", f"byte {exc.start} is not UTF-8") from exc
    except ValidationError as exc:
        raise bad_json("text", reason_of(exc)) from exc
    return _within(spoken, max_chars)


def parse_announcement_request(body: Mapping[str, Any], max_chars: int) -> AnnouncementRequest:
    """Read what is to be announced to several devices.

    Raises:
        DeviceFault: `bad_json`; a key is missing or wrong, or the text is longer than `max_chars`.
    """
    try:
        request = AnnouncementRequest.model_validate(dict(body))
    except ValidationError as exc:
        raise bad_json("announcement", reason_of(exc)) from exc
    return _within(request, max_chars)


def _within(spoken: _Text, max_chars: int) -> _Text:
    if len(spoken.text) > max_chars:
        raise bad_json("text", f"{len(spoken.text)} characters are more than {max_chars}")
    return spoken
