"""Who may have a login, and what is known of them."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.errors import ConfigurationError
from gateway.provisioning.logins import (
    Device,
    Logins,
    UnknownLogin,
    checked_id,
    decode_known,
    encode_known,
    login_name,
)

SALT = bytes(12)
IDS = json.loads((Path(__file__).parents[1] / "vectors" / "device_ids.json").read_text())
COCINA = Device("kitchen", "Cocina", "es", datetime(2026, 5, 1, 12, tzinfo=UTC))


def logins(*spellings: str) -> Logins:
    made = Logins()
    for role in ("gateway", "operator"):
        made = made.with_password(role, "secret", SALT)
    for spelling in spellings:
        made = made.with_device(Device(spelling), "secret", SALT)
    return made


@pytest.mark.parametrize("case", IDS["accepted"], ids=lambda case: case["spelling"])
def test_every_id_of_the_contract_can_be_a_device_s(case: dict[str, str]) -> None:
    assert checked_id(case["spelling"]) == case["id"]


@pytest.mark.parametrize("spelling", [case["spelling"] for case in IDS["refused"]])
def test_what_is_no_id_is_refused(spelling: str) -> None:
    with pytest.raises(ConfigurationError, match="is no device"):
        logins(spelling)


@pytest.mark.parametrize(
    ("spelling", "why"),
    [("homeassistant", "role"), ("operator", "role"), ("gateway", "reserved"), ("mac", "itself"), ("uuid", "itself")],
)
def test_names_that_mean_something_else_are_refused(spelling: str, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        logins(spelling)


@pytest.mark.parametrize("other", ["a4-cf-12-8b-3f-9e", "A4CF128B3F9E", "ESP32-a4cf128b3f9e", "a4cf128b3f9e"])
def test_one_mac_has_one_login_however_it_is_spelled(other: str) -> None:
    with pytest.raises(ConfigurationError, match="devices rotate a4cf128b3f9e"):
        logins("a4cf128b3f9e", other)
    assert logins("a4cf128b3f9e").device(other).spelling == "a4cf128b3f9e"


def test_devices_are_those_of_the_password_file_that_are_no_role() -> None:
    made = logins("kitchen", "hall").with_password("with space", "x", SALT)
    assert [device.spelling for device in made.devices] == ["kitchen", "hall"]
    assert made.roles == ["gateway", "operator"]


def test_a_device_that_was_taken_out_is_unknown() -> None:
    made = logins("kitchen", "hall")
    without = made.without(made.device("kitchen"))
    assert [device.spelling for device in without.devices] == ["hall"]
    with pytest.raises(UnknownLogin, match="devices list"):
        without.device("kitchen")


def test_what_is_known_can_be_kept() -> None:
    known = {"kitchen": COCINA, "hall": Device("hall")}
    assert decode_known(encode_known(known)) == known


NOT_OURS = ["[]", "[1]", '{"a": 1}', '{"a": {"size": 1}}', '{"a": {"created_at": "x"}}', "{", "[" * 100_000]
NOT_TEXTS = ['{"a": {"name": 5}}', '{"a": {"name": null}}', '{"a": {"language": ["es"]}}']


@pytest.mark.parametrize("text", [*NOT_OURS, *NOT_TEXTS], ids=lambda text: text[:20])
def test_what_was_not_kept_by_us_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        decode_known(text)


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("kitchen", "kitchen"),
        ("a4-cf-12-8b-3f-9e", "a4-cf-12-8b-3f-9e"),
        ("A4:CF:12:8B:3F:9E", "a4cf128b3f9e"),
        ("ESP32-A4:CF:12:8B:3F:9E", "a4cf128b3f9e"),
    ],
)
def test_a_login_is_the_id_but_has_no_colon(spelling: str, name: str) -> None:
    assert login_name(spelling) == name


def test_an_id_that_cannot_do_without_its_colon_has_no_login() -> None:
    with pytest.raises(ConfigurationError, match="colon"):
        login_name("floor:1")
