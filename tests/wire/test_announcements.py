"""What may be said on `say` and `ask`, and in a request for several devices."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import DeviceFault, ErrorCode
from gateway.values import Announcement, Priority, TurnKind
from gateway.wire.announcements import TTL_MAX_S, parse_announcement_request, parse_text


def reason(payload: bytes) -> str:
    with pytest.raises(DeviceFault) as caught:
        parse_text(payload, 100)
    assert caught.value.code is ErrorCode.BAD_JSON
    return caught.value.message


def test_say_and_ask_take_text_or_json() -> None:
    plain = parse_text(" ¿Qué hora es?\n".encode(), 100)
    assert (plain.text, plain.language) == ("¿Qué hora es?", None)
    both = parse_text(b'{"text":"Good morning","language":"en"}', 100)
    assert (both.text, both.language) == ("Good morning", "en")
    assert parse_text(b"[1, 2]", 100).text == "[1, 2]"


def test_all_that_json_may_say() -> None:
    payload = (
        b'{"text":"Fuego","language":"es","priority":"urgent","ttl_s":2.5,"volume":80,"id":"fire 1","type":"unknown"}'
    )
    said = parse_text(payload, 100).announcement(TurnKind.SAY, "made up", 300)
    assert said == Announcement("fire 1", TurnKind.SAY, "Fuego", "es", Priority.URGENT, 2.5, 80)


def test_what_is_not_said_is_made_up() -> None:
    said = parse_text(b"Hello", 100).announcement(TurnKind.ASK, "made up", 300)
    assert said == Announcement("made up", TurnKind.ASK, "Hello", None, Priority.NORMAL, 300, None)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"  \n",
        b"\xff\xfe",
        b"a\x00b",
        b"{",
        b'{"text":""}',
        b'{"text":7}',
        b'{"language":"es"}',
        b"x" * 101,
        b'{"text":"hola","language":"spanish"}',
    ],
)
def test_text_that_cannot_be_spoken(payload: bytes) -> None:
    reason(payload)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("priority", '"shouted"'),
        ("priority", "3"),
        ("ttl_s", "0"),
        ("ttl_s", f"{TTL_MAX_S + 1}"),
        ("ttl_s", '"soon"'),
        ("volume", "101"),
        ("volume", "-1"),
        ("volume", "0.5"),
        ("id", '""'),
        ("id", f'"{"x" * 65}"'),
        ("id", '"two\\nlines"'),
    ],
)
def test_a_wrong_key_is_named(key: str, value: str) -> None:
    assert key in reason(f'{{"text":"hola","{key}":{value}}}'.encode())


@pytest.mark.parametrize(("to", "names"), [("kitchen", ["kitchen"]), (["group:up", "all"], ["group:up", "all"])])
def test_a_request_names_one_or_several(to: object, names: list[str]) -> None:
    request = parse_announcement_request({"to": to, "text": "Dinner", "priority": "high"}, 100)
    assert (request.to, request.text, request.priority) == (names, "Dinner", Priority.HIGH)


@pytest.mark.parametrize(
    ("body", "hint"),
    [
        ({"text": "Dinner"}, "to"),
        ({"to": [], "text": "Dinner"}, "to"),
        ({"to": [7], "text": "Dinner"}, "to"),
        ({"to": "", "text": "Dinner"}, "to"),
        ({"to": "kitchen"}, "text"),
        ({"to": "kitchen", "text": "x" * 101}, "101 characters"),
    ],
)
def test_a_request_that_cannot_be_done_names_the_key(body: dict[str, Any], hint: str) -> None:
    with pytest.raises(DeviceFault, match=hint):
        parse_announcement_request(body, 100)


@given(st.binary(max_size=60), st.sampled_from([b"", b"{", b'{"text":']))
def test_garbage_is_never_more_than_bad_json(garbage: bytes, start: bytes) -> None:
    with suppress(DeviceFault):
        parse_text(start + garbage, 100)
