"""The JSON of a device's topics: what is understood, what is refused, what is told."""

import dataclasses
import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import DeviceFault, ErrorCode, Stage
from gateway.events import (
    EnginePassedOver,
    Event,
    Failed,
    Listening,
    PresenceChanged,
    SentenceReady,
    SessionsErased,
    Speaking,
    Thinking,
    ToolCalled,
    Transcribed,
    TurnEnded,
)
from gateway.values import DeviceAddress, DeviceId, LinkCounts, Outcome, Timings, TurnKind, TurnRecord
from gateway.wire.messages import (
    Abort,
    Forget,
    Played,
    event_json,
    parse_control,
    parse_hello,
    state_json,
)

CONTRACT_HELLO = (
    '{"v":1,"name":"Cocina","firmware":"1.0.0","board":"esp32-s3","max_packet":4096,"buffer_ms":2000,'
    '"codecs":["pcm","adpcm"],"rate":16000,"reply":{"rate":24000,"bitrate_kbps":32},"language":"es"}'
)
DEVICE = DeviceAddress(DeviceId("a4cf128b3f9e"), "A4:CF:12:8B:3F:9E")
NOON = datetime(2026, 11, 22, 13, 0, 0, 250_000, tzinfo=timezone(timedelta(hours=1)))


def refused(parse: Any, payload: bytes, *args: object) -> str:
    with pytest.raises(DeviceFault) as caught:
        parse(payload, *args)
    assert caught.value.code is ErrorCode.BAD_JSON
    return caught.value.message


def test_the_hello_of_the_contract() -> None:
    hello = parse_hello(CONTRACT_HELLO.encode())
    assert (hello.name, hello.firmware, hello.board) == ("Cocina", "1.0.0", "esp32-s3")
    assert (hello.max_packet, hello.buffer_ms, hello.rate, hello.language) == (4096, 2000, 16000, "es")
    assert (hello.reply_rate, hello.reply_bitrate_kbps) == (24000, 32)
    assert hello.raw == json.loads(CONTRACT_HELLO)


def test_all_keys_of_a_hello_but_v_are_optional_and_unknown_ones_are_kept_but_ignored() -> None:
    hello = parse_hello(b'{"v":1,"colour":"red"}')
    assert (hello.name, hello.max_packet, hello.buffer_ms, hello.rate, hello.language) == ("", None, None, None, None)
    assert (hello.reply_rate, hello.reply_bitrate_kbps) == (None, None)
    assert hello.raw == {"v": 1, "colour": "red"}
    assert parse_hello(hello.raw) == hello


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"name": "n" * 65}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"name": 7}, "name"),
        ({"max_packet": 31}, "max_packet"),
        ({"max_packet": 268_435_461}, "max_packet"),
        ({"max_packet": "much"}, "max_packet"),
        ({"max_packet": True}, "max_packet"),
        ({"max_packet": 4096.5}, "max_packet"),
        ({"buffer_ms": 19}, "buffer_ms"),
        ({"buffer_ms": 60_001}, "buffer_ms"),
        ({"codecs": "pcm"}, "codecs"),
        ({"rate": 16001}, "rate"),
        ({"reply": 24000}, "reply"),
        ({"reply": {"rate": 8000, "bitrate_kbps": 32}}, "reply.rate"),
        ({"reply": {"rate": 24000, "bitrate_kbps": 7}}, "reply.bitrate_kbps"),
        ({"language": "español"}, "language"),
        ({"end_of_speech": "hasty"}, "end_of_speech"),
        ({"end_of_speech": 99}, "end_of_speech"),
        ({"end_of_speech": 10_001}, "end_of_speech"),
        ({"end_of_speech": 700.5}, "end_of_speech"),
        ({"end_of_speech": True}, "end_of_speech"),
        ({"end_of_speech": [700]}, "end_of_speech"),
    ],
    ids=str,
)
def test_a_wrong_value_in_a_hello_is_told_and_costs_only_its_own_key(change: dict[str, Any], key: str) -> None:
    body = {**json.loads(CONTRACT_HELLO), **change}
    hello = parse_hello(json.dumps(body).encode())
    assert [reason.split(":")[0] for reason in hello.ignored] == [key]
    said = parse_hello(CONTRACT_HELLO.encode()).model_dump()
    for other in set(said) - {key.split(".")[0]}:
        assert hello.model_dump()[other] == said[other]
    if key == "reply.rate":
        assert (hello.reply_rate, hello.reply_bitrate_kbps) == (None, 32)


@pytest.mark.parametrize(
    ("said", "milliseconds"),
    [("relaxed", 1250), ("normal", 700), ("eager", 300), (450, 450), (450.0, 450), ("450", 450), (None, None)],
)
def test_a_hello_says_the_end_of_speech_by_name_or_in_milliseconds(said: object, milliseconds: int | None) -> None:
    hello = parse_hello(json.dumps({"v": 1, "end_of_speech": said}).encode())
    assert (hello.end_of_speech, hello.ignored) == (milliseconds, ())


@pytest.mark.parametrize("version", [2, "1", None])
def test_a_hello_of_another_version_is_refused(version: object) -> None:
    assert "v" in refused(parse_hello, json.dumps({**json.loads(CONTRACT_HELLO), "v": version}).encode())


def test_a_hello_may_write_numbers_and_languages_as_firmware_does() -> None:
    hello = parse_hello(b'{"v":1,"max_packet":"4096","buffer_ms":2000.0,"name":null,"language":"es-MX","reply":null}')
    assert (hello.max_packet, hello.buffer_ms, hello.name, hello.language) == (4096, 2000, "", "es")
    assert hello.ignored == ()


@pytest.mark.parametrize(
    "change",
    [
        {"max_packet": 32},
        {"max_packet": 268_435_460},
        {"buffer_ms": 20},
        {"buffer_ms": 60_000},
        {"name": "ñ" * 64},
        {"reply": {"rate": 48000, "bitrate_kbps": 320}},
        {"reply": {"bitrate_kbps": 8}},
        {"reply": {}},
        {"end_of_speech": 100},
        {"end_of_speech": 10_000},
    ],
    ids=str,
)
def test_a_hello_at_its_limits_is_taken(change: dict[str, Any]) -> None:
    assert parse_hello(json.dumps({**json.loads(CONTRACT_HELLO), **change}).encode()).ignored == ()


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"{",
        b"[1]",
        b"null",
        b"hola",
        b"\xff",
        b'{"name":"x"}',
        b'{"v":1,"x":NaN}',
        b'{"v":1,"x":1e999}',
        b'{"v":1,"x":"\\u0000"}',
        b'{"v":1,"x":' + b"[" * 1000,
    ],
)
def test_what_is_no_hello_at_all(payload: bytes) -> None:
    refused(parse_hello, payload)


def test_the_controls() -> None:
    assert isinstance(parse_control(b'{"type":"abort","why":"button"}'), Abort)
    assert isinstance(parse_control(b'{"type":"forget"}'), Forget)
    assert parse_control(b'{"type":"played","turn":7,"seq":41}') == Played(type="played", turn=7, seq=41)
    assert parse_control(b'{"type":"played","turn":65535,"end":true}') == Played(type="played", turn=65535, end=True)


@pytest.mark.parametrize(
    ("payload", "hint"),
    [
        (b'{"type":"dance"}', "'abort', 'played', 'forget'"),
        (b"{}", "type"),
        (b'{"type":"played","turn":7}', "seq"),
        (b'{"type":"played","seq":7}', "turn"),
        (b'{"type":"played","turn":0,"seq":1}', "turn"),
        (b'{"type":"played","turn":1,"seq":65536}', "seq"),
        (b'{"type":"played","turn":1,"seq":1,"end":"yes"}', "end"),
        (b"abort", ""),
    ],
)
def test_a_control_that_is_not_understood_says_what_would_be(payload: bytes, hint: str) -> None:
    assert hint in refused(parse_control, payload)


@given(st.binary(max_size=60), st.sampled_from([b"", b"{", b'{"v":1,', b'{"type":']))
def test_garbage_is_never_more_than_bad_json(garbage: bytes, start: bytes) -> None:
    for parse in (parse_hello, parse_control):
        with suppress(DeviceFault):
            parse(start + garbage)


RECORD = TurnRecord(
    DEVICE,
    7,
    TurnKind.SPEECH,
    Outcome.COMPLETED,
    NOON,
    heard="¿Qué hora es?",
    said="Es la una.",
    cached=True,
    chunks=3,
    bytes=5000,
    timings=Timings(received=900, stt=80, llm_first_token=200, tts_first_audio=250, first_audio_out=260, total=1500),
    link=LinkCounts(lost=1, duplicate=2, late=3),
)


@pytest.mark.parametrize(
    ("event", "told"),
    [
        (Listening(DEVICE, 7), {"event": "listening"}),
        (Transcribed(DEVICE, 7, "Sí", "es"), {"event": "transcript", "text": "Sí", "language": "es"}),
        (SentenceReady(DEVICE, 7, 0, "Hola."), {"event": "sentence", "index": 0, "text": "Hola."}),
        (Speaking(DEVICE, 7), {"event": "speaking"}),
        (
            EnginePassedOver(DEVICE, 7, Stage.TTS, "gtts", "429", 30.0),
            {"event": "engine_passed_over", "stage": "tts", "engine": "gtts", "message": "429", "rest_s": 30.0},
        ),
        (
            ToolCalled(DEVICE, 7, "home_control", True, 120, '{"private": 1}', "private"),
            {"event": "tool", "name": "home_control", "ok": True, "ms": 120},
        ),
        (
            Failed(DEVICE, 7, ErrorCode.STT_FAILED, Stage.STT, "no engine", True),
            {"event": "error", "code": "stt_failed", "stage": "stt", "message": "no engine", "retryable": True},
        ),
        (
            TurnEnded(RECORD),
            {
                "event": "done",
                "outcome": "completed",
                "reply": "Es la una.",
                "chunks": 3,
                "bytes": 5000,
                "cached": True,
                "timings_ms": {
                    "received": 900,
                    "stt": 80,
                    "llm_first_token": 200,
                    "tts_first_audio": 250,
                    "first_audio_out": 260,
                    "total": 1500,
                },
                "audio": {"lost": 1, "duplicate": 2, "late": 3},
                "kind": "speech",
                "heard": "¿Qué hora es?",
                "error": None,
            },
        ),
    ],
)
def test_an_event_is_told_as_the_contract_says(event: Event, told: dict[str, Any]) -> None:
    payload = event_json(event, NOON)
    assert payload is not None
    common = {"turn": 7, "session_id": "a4cf128b3f9e", "ts": "2026-11-22T12:00:00.250Z"}
    assert json.loads(payload) == {**told, **common}
    assert b"\\u" not in payload


def test_an_error_outside_a_turn_and_without_a_device_has_the_same_keys() -> None:
    payload = event_json(Failed(None, None, ErrorCode.BAD_TOPIC, Stage.RECEIVE, "no", False, "x y"), NOON)
    assert payload is not None
    assert json.loads(payload).items() >= {"event": "error", "turn": None, "session_id": None}.items()


@pytest.mark.parametrize(
    "event", [Thinking(DEVICE, 7), PresenceChanged(DEVICE, True), SessionsErased((DEVICE,), "forget")]
)
def test_what_is_not_told_on_the_event_topic(event: Event) -> None:
    assert event_json(event, NOON) is None


def test_the_state_tells_the_last_turn() -> None:
    assert json.loads(state_json("idle", DEVICE, RECORD, NOON, turns=3, language="es")) == {
        "state": "idle",
        "session_id": "a4cf128b3f9e",
        "ts": "2026-11-22T12:00:00.250Z",
        "turns": 3,
        "language": "es",
        "persona": None,
        "last": {
            "turn": 7,
            "outcome": "completed",
            "heard": "¿Qué hora es?",
            "said": "Es la una.",
            "total_ms": 1500,
            "first_audio_ms": 260,
        },
    }
    assert json.loads(state_json("listening", DEVICE, None, NOON.astimezone(UTC)))["last"] is None


@pytest.mark.parametrize("letter", ["a", "ñ", "語", "😀"])
def test_a_small_device_can_read_the_state_however_long_the_texts(letter: str) -> None:
    long = dataclasses.replace(RECORD, heard=letter * 5000, said=letter * 8000)
    payload = state_json("idle", DEVICE, long, NOON)
    assert 2200 < len(payload) < 3000
    last = json.loads(payload)["last"]
    assert {*last["heard"], *last["said"]} == {letter, "…"}
