"""Who an assistant is: what it calls itself, how it answers and speaks, what it may do, and when it keeps quiet.

Said of a device, of a group of devices or of a persona, each value where it is wanted; what is not said there is said
elsewhere. From the strongest: the device, the persona that it has, its own `hello`, its groups in their order (each
followed by the persona that it gives), the settings. A device has one persona: the first that is named.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from string import Formatter
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_serializer,
)
from pydantic_core import ErrorDetails

PROMPT_PLACEHOLDERS = ("device", "name", "language", "date", "time")
PROMPT_MAX_CHARS = 8000
GROUPS_MAX = 16
TOOLS_MAX = 64
EVERY_DEVICE = "all"
"""What is said to every device is said to this, so no group can be called so."""

_CLOCK = r"([01]\d|2[0-3]):[0-5]\d"


def check_prompt(template: str) -> str:
    """Accept a template whose placeholders are all plain and known.

    Raises:
        ValueError: it is none.
    """
    known = ", ".join(f"{{{name}}}" for name in PROMPT_PLACEHOLDERS)
    try:
        parts = list(Formatter().parse(template))
    except ValueError as error:
        raise ValueError(f"{error}; write a brace that is meant as such twice") from None
    for _, name, form, conversion in parts:
        if name is not None and (name not in PROMPT_PLACEHOLDERS or form or conversion):
            raise ValueError(
                f"the placeholder {{{name}}} is not one of {known}; write a brace that is meant as such twice"
            )
    return template


def check_group(name: str) -> str:
    """Accept the name of a group.

    Raises:
        ValueError: no group can be called so.
    """
    if not re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", name) or name == EVERY_DEVICE:
        raise ValueError(f"{name!r} is no group: 1 to 64 characters of A-Z a-z 0-9 _ - . and not {EVERY_DEVICE!r}")
    return name


def _check_quiet(hours: str) -> str:
    if not re.fullmatch(f"{_CLOCK}-{_CLOCK}", hours):
        raise ValueError(f"{hours!r} are no hours of quiet; write them like 22:00-07:00")
    begin, end = hours.split("-")
    if begin == end:
        raise ValueError(f"{hours!r} begins when it ends; write the hours of quiet like 22:00-07:00")
    return hours


def _without_repetition(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))


def _as_tuple(names: object) -> object:
    return tuple(names) if isinstance(names, list) else names


def _text(longest: int) -> Any:
    return StringConstraints(min_length=1, max_length=longest, pattern=r"^[^\x00-\x1f\x7f]+$", strip_whitespace=True)


Prompt = Annotated[str, AfterValidator(check_prompt)]
GroupName = Annotated[str, AfterValidator(check_group)]
_PROMPT = StringConstraints(min_length=1, max_length=PROMPT_MAX_CHARS, pattern=r"^[^\x00]*$")
_Name = Annotated[str, _text(64)]
_Choice = Annotated[str, _text(200)]
_Names = (BeforeValidator(_as_tuple), AfterValidator(_without_repetition))


class Personality(BaseModel):
    """What is said of an assistant. A value that is None is not said here."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: _Name | None = Field(default=None, description="what it calls itself: {name} in the prompt")
    persona: _Name | None = Field(default=None, description="a persona of the configuration, whose values it takes")
    groups: Annotated[tuple[GroupName, ...], Field(max_length=GROUPS_MAX), *_Names] | None = Field(
        default=None, description="the groups that a device is in, the strongest first"
    )
    system_prompt: Annotated[Prompt, _PROMPT] | None = Field(
        default=None, description="template; may use {device} {name} {language} {date} {time}"
    )
    language: Annotated[str, StringConstraints(pattern=r"^([a-z]{2,3}|auto)$")] | None = Field(
        default=None, description="language that is heard and spoken: es, en, …; auto detects"
    )
    voice: _Choice | None = Field(
        default=None, description="voice for text-to-speech, such as nova or openai:nova,espeak:es+f3"
    )
    model: _Choice | None = Field(default=None, description="model of the chat, such as gpt-4o-mini")
    max_tokens: Annotated[int, Field(ge=1, le=100_000)] | None = Field(
        default=None, description="longest answer, in tokens"
    )
    tools: Annotated[tuple[_Name, ...], Field(max_length=TOOLS_MAX), *_Names] | None = Field(
        default=None, description="the tools that it may use; an empty list: none; not said: all"
    )
    quiet: Annotated[str, AfterValidator(_check_quiet)] | None = Field(
        default=None, description="hours in which only what is urgent is announced, such as 22:00-07:00, local time"
    )

    def over(self, other: "Personality") -> "Personality":
        """Return what this says, and what `other` says of the rest."""
        if not (rest := other.said):
            return self
        return Personality.model_construct(**{**rest, **self.said})

    @model_serializer
    def _as_said(self) -> dict[str, Any]:
        return self.said

    @property
    def said(self) -> dict[str, Any]:
        """The values that are said, by name."""
        return {name: value for name, value in self if value is not None}

    @property
    def fingerprint(self) -> str:
        """What two personalities share whose answers to the same question are interchangeable, in one language."""
        answers = (self.name, self.system_prompt, self.voice, self.model, self.max_tokens, self.tools)
        return "" if answers == (None,) * 6 else hashlib.sha256(repr(answers).encode("utf-8", "replace")).hexdigest()

    def is_quiet(self, now: datetime) -> bool:
        """Whether `now`, in local time, lies in the hours of quiet: from their beginning up to, not including, their
        end."""
        if self.quiet is None:
            return False
        begin, end = (time.fromisoformat(clock) for clock in self.quiet.split("-"))
        moment = now.time()
        return begin <= moment < end if begin < end else moment >= begin or moment < end

    def quiet_until(self, now: datetime) -> datetime | None:
        """When the hours of quiet end in which `now`, in local time with its zone, lies; None: it lies in none."""
        if self.quiet is None or not self.is_quiet(now):
            return None
        end = datetime.combine(now, time.fromisoformat(self.quiet.split("-")[1]), now.tzinfo)
        return end if end > now else end + timedelta(days=1)


UNSAID = Personality()
"""The personality of whom nothing is said."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What the database keeps for one device: what is said of it, and of its groups by their names."""

    device: Personality = UNSAID
    groups: Mapping[str, Personality] = field(default_factory=dict)


NOTHING_KEPT = Kept()


Layer = tuple[str, Personality]
"""Where something is said, in words, and what."""


def layers(
    device: Personality,
    hello: Personality,
    groups: Iterable[tuple[str, Personality]],
    personas: Mapping[str, Personality],
) -> Iterator[Layer]:
    """Give what holds for a device, the strongest first: what an operator said of it, what it says itself (`hello`),
    and what is said of its groups. A persona that is not among `personas` says nothing."""

    def of_persona(name: str) -> Layer:
        return f"persona {name}", personas.get(name, UNSAID)

    persona = device.persona
    yield "device", device
    if persona is not None:
        yield of_persona(persona)
    yield "hello", hello
    for name, group in groups:
        yield f"group {name}", group
        if persona is None and group.persona is not None:
            persona = group.persona
            yield of_persona(persona)


def taken_together(found: Iterable[Layer]) -> Personality:
    """Return what holds when each of `found` counts before those after it."""
    together = UNSAID
    for _, said in found:
        together = together.over(said)
    return together


def reason(details: ErrorDetails) -> str:
    """Say what is wrong with a value that was refused, for whoever gave it."""
    match details["type"]:
        case "value_error":
            return str(details["ctx"]["error"])
        case "extra_forbidden":
            return f"there is no such value; there are: {', '.join(Personality.model_fields)}"
        case _:
            return details["msg"].replace("Input should", "should").replace("String should", "should")


def recalled(said: Mapping[str, Any]) -> Personality:
    """Return what is kept from an earlier time, without what a personality of today cannot be."""
    try:
        return Personality.model_validate(said)
    except ValidationError as error:
        wrong = {details["loc"][0] for details in error.errors(include_url=False, include_input=False)}
        return Personality.model_validate({name: value for name, value in said.items() if name not in wrong})
