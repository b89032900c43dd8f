"""Whose word counts when several say who an assistant is, and what can be said."""

from datetime import datetime

import pytest
from pydantic import ValidationError

from gateway.personality import UNSAID, Personality, layers, recalled, taken_together

PERSONAS = {
    "butler": Personality(system_prompt="You are a butler.", voice="butler's", language="en"),
    "pirate": Personality(system_prompt="You are a pirate.", voice="pirate's", max_tokens=7),
}
HELLO = Personality(name="hello's", language="fr")


def effective(
    device: Personality, hello: Personality, groups: tuple[Personality, ...], personas: dict[str, Personality]
) -> Personality:
    named = ((f"g{number}", group) for number, group in enumerate(groups))
    return taken_together(layers(device, hello, named, personas))


def test_what_an_operator_says_of_a_device_counts_before_its_hello_and_that_before_its_groups() -> None:
    device = Personality(name="device's")
    groups = (Personality(name="group's", language="pt", voice="first"), Personality(voice="second", model="second"))
    assert effective(device, HELLO, groups, {}) == Personality(
        name="device's", language="fr", voice="first", model="second"
    )


def test_the_persona_of_a_device_counts_as_the_operators_word() -> None:
    found = effective(Personality(persona="butler", voice="own"), HELLO, (Personality(language="pt"),), PERSONAS)
    assert (found.system_prompt, found.voice, found.language) == ("You are a butler.", "own", "en")


def test_the_persona_of_a_group_gives_way_to_the_device_and_to_the_group_itself() -> None:
    group = Personality(persona="pirate", voice="group's")
    found = effective(Personality(max_tokens=9), HELLO, (group,), PERSONAS)
    assert (found.max_tokens, found.voice, found.system_prompt) == (9, "group's", "You are a pirate.")


def test_a_device_has_one_persona() -> None:
    groups = (Personality(persona="pirate"), Personality(persona="butler"))
    assert effective(Personality(persona="butler"), UNSAID, groups, PERSONAS).max_tokens is None
    found = effective(UNSAID, UNSAID, groups, PERSONAS)
    assert (found.persona, found.language) == ("pirate", None)


def test_a_persona_that_is_gone_says_nothing() -> None:
    assert effective(Personality(persona="gone", name="Ana"), UNSAID, (), PERSONAS).said == {
        "persona": "gone",
        "name": "Ana",
    }


def test_no_tools_at_all_is_said_too() -> None:
    assert Personality(tools=()).over(Personality(tools=("time",))).tools == ()


@pytest.mark.parametrize(
    ("quiet", "times"),
    [
        ("22:00-07:00", {"21:59": False, "22:00": True, "23:59": True, "00:00": True, "06:59": True, "07:00": False}),
        ("13:00-15:30", {"12:59": False, "13:00": True, "15:29": True, "15:30": False, "00:00": False}),
    ],
)
def test_the_hours_of_quiet_begin_and_end(quiet: str, times: dict[str, bool]) -> None:
    personality = Personality(quiet=quiet)
    found = {clock: personality.is_quiet(datetime.fromisoformat(f"2026-03-01 {clock}:00")) for clock in times}
    assert found == times
    assert not UNSAID.is_quiet(datetime.fromisoformat("2026-03-01 23:00:00"))


@pytest.mark.parametrize(
    ("quiet", "now", "until"),
    [
        ("22:00-07:00", "01 23:30", "02 07:00"),
        ("22:00-07:00", "02 06:59", "02 07:00"),
        ("22:00-07:00", "02 07:00", None),
        ("13:00-15:30", "01 13:00", "01 15:30"),
        ("13:00-15:30", "01 12:59", None),
        (None, "01 23:30", None),
    ],
)
def test_when_it_is_quiet_it_is_known_until_when(quiet: str | None, now: str, until: str | None) -> None:
    def moment(text: str) -> datetime:
        return datetime.fromisoformat(f"2026-03-{text}:00+01:00")

    assert Personality(quiet=quiet).quiet_until(moment(now)) == (until and moment(until))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"system_prompt": "You are {nme}."}, "{nme} is not one of"),
        ({"quiet": "22-7"}, "write them like 22:00-07:00"),
        ({"quiet": "24:00-07:00"}, "write them like 22:00-07:00"),
        ({"quiet": "07:00-07:00"}, "begins when it ends"),
        ({"groups": ["all"]}, "'all' is no group"),
        ({"groups": ["up stairs"]}, "is no group"),
        ({"groups": [f"g{number}" for number in range(17)]}, "at most 16"),
        ({"language": "Spanish"}, "language"),
        ({"max_tokens": 0}, "greater than or equal to 1"),
        ({"max_tokens": "many"}, "valid integer"),
        ({"name": "a\nb"}, "name"),
        ({"name": "a" * 65}, "at most 64"),
        ({"mood": "good"}, "mood"),
    ],
)
def test_what_cannot_be_is_refused_by_name(wrong: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Personality.model_validate(wrong)
    assert said in str(caught.value)


def test_what_another_version_kept_is_taken_as_far_as_it_can_be() -> None:
    assert recalled({"name": "Ana", "mood": "good", "quiet": "always", "tools": ["time", "time"]}) == Personality(
        name="Ana", tools=("time",)
    )


@pytest.mark.parametrize(
    "change",
    [{"name": "x"}, {"system_prompt": "x"}, {"voice": "x"}, {"model": "x"}, {"max_tokens": 1}, {"tools": ()}],
)
def test_whoever_may_answer_differently_has_another_fingerprint(change: dict[str, object]) -> None:
    personality = Personality(name="Ana", voice="nova")
    changed = personality.model_copy(update=change)
    assert len({UNSAID.fingerprint, personality.fingerprint, changed.fingerprint}) == 3
    assert personality.model_copy(update={"quiet": "22:00-07:00", "groups": ("a",)}).fingerprint == (
        personality.fingerprint
    )
