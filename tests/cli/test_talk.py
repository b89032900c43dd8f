"""`voice-gateway talk`, against a whole gateway on a real broker."""

import asyncio
import os
import pty
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import numpy as np
import pytest

from gateway.app import Gateway
from gateway.audio import Pcm
from gateway.device import read_sound
from gateway.device.software_device import CONNECT_TIMEOUT_S
from tests.cli.conftest import CommandLine
from tests.cli.retained import publish_retained
from tests.cli.sound_card import SoundCard
from tests.e2e.conftest import StartGateway, openai_environment, provider, settings, start_gateway
from tests.e2e.speech import sound_file, spoken
from tests.fakes.mosquitto import Mosquitto, free_port
from tests.fakes.openai_server import HANG, OpenAIServer, Status

__all__ = ["openai_environment", "provider", "settings", "start_gateway"]


@pytest.fixture
async def broker() -> AsyncIterator[Mosquitto]:
    async with Mosquitto() as running:
        yield running


@pytest.fixture
async def gateway(broker: Mosquitto, start_gateway: StartGateway) -> Gateway:
    return await start_gateway(mqtt_url=broker.url)


@pytest.fixture
def question(tmp_path: Path) -> str:
    (tmp_path / "question.wav").write_bytes(sound_file(spoken(3)))
    return "question.wav"


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A terminal as standard input; yields the end at which keys are pushed."""
    keys, end = pty.openpty()
    with os.fdopen(end) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        yield keys
    os.close(keys)


async def test_a_question_is_answered_aloud_and_everything_is_told(
    cli: CommandLine, gateway: Gateway, broker: Mosquitto, question: str, tmp_path: Path
) -> None:
    told = await cli("talk", question, "--mqtt-url", broker.url)
    assert (told.code, told.err) == (0, "")
    for line in (
        "heard    question 3 (en)",
        "says     Answer to question 3.",
        "sound    begins after",
        "done     completed",
        "answer   answer.mp3: 1.",
    ):
        assert line in told.out
    answer = read_sound(tmp_path / "answer.mp3")
    assert 1.2 < answer.seconds < 2
    assert np.abs(answer.samples).max() > 4000


@pytest.mark.parametrize(
    "options", [["--raw"], ["--codec", "adpcm"], ["--codec", "pcm", "--no-pacing"]], ids=["raw", "adpcm", "unpaced"]
)
async def test_however_it_is_sent_it_is_heard(
    cli: CommandLine, gateway: Gateway, broker: Mosquitto, question: str, tmp_path: Path, options: list[str]
) -> None:
    told = await cli("talk", question, "--mqtt-url", broker.url, "--json", "--output", "reply.mp3", *options)
    assert told.code == 0
    assert "heard    question 3" in told.err
    data = told.json
    assert (data["heard"], data["said"], data["outcome"]) == ("question 3", "Answer to question 3.", "completed")
    assert (data["answer"], data["errors"]) == ("reply.mp3", [])
    assert data["bytes"] == (tmp_path / "reply.mp3").stat().st_size > 0
    assert data["first_sound_ms"] >= 0


async def test_a_text_is_asked_aloud(
    cli: CommandLine, gateway: Gateway, broker: Mosquitto, provider: OpenAIServer
) -> None:
    provider.transcriptions.answer = "hello"
    told = await cli("talk", "--text", "Is anybody there?", "--language", "en", "--mqtt-url", broker.url)
    assert (told.code, told.err) == (0, "")
    assert "asked    Is anybody there?: " in told.out
    assert read_sound(provider.transcriptions.requests[-1].files["file"]).seconds > 0.5


async def test_opus_is_heard_too(cli: CommandLine, gateway: Gateway, broker: Mosquitto, question: str) -> None:
    data = (await cli("talk", question, "--mqtt-url", broker.url, "--json", "--codec", "opus", "--no-pacing")).json
    # Its packets are whole, so that the question is a little longer.
    assert data["heard"] in ("question 3", "question 4", "question 5")


async def test_one_question_after_the_other_belongs_to_one_conversation(
    cli: CommandLine, gateway: Gateway, broker: Mosquitto, provider: OpenAIServer, tmp_path: Path
) -> None:
    for number in range(2):
        (tmp_path / "question.wav").write_bytes(sound_file(spoken(number)))
        asked = await cli("talk", "question.wav", "--mqtt-url", broker.url, "--no-pacing", "--language", "es")
        assert asked.code == 0
    assert [message["content"] for message in provider.chat.requests[-1].json["messages"][1:]] == [
        "question 0",
        "Answer to question 0.",
        "question 1",
    ]
    assert provider.transcriptions.requests[-1].fields["language"] == "es"


async def test_a_failed_turn_says_why_and_saves_what_was_said_instead(
    cli: CommandLine, gateway: Gateway, broker: Mosquitto, question: str, provider: OpenAIServer, tmp_path: Path
) -> None:
    provider.transcriptions.answer = Status(500)
    told = await cli("talk", question, "--mqtt-url", broker.url, "--no-pacing")
    assert told.code == 1
    assert "error    stt_failed: " in told.out
    assert "done     failed" in told.out
    assert read_sound(tmp_path / "answer.mp3").seconds > 0.5


async def test_silence_is_no_answer(cli: CommandLine, gateway: Gateway, broker: Mosquitto, tmp_path: Path) -> None:
    (tmp_path / "silence.flac").write_bytes(sound_file(Pcm(np.zeros(16_000, np.int16), 16_000), "FLAC"))
    (tmp_path / "answer.mp3").write_bytes(b"of an earlier question")
    told = await cli("talk", "silence.flac", "--mqtt-url", broker.url, "--no-pacing", "--json")
    assert (told.code, told.json["outcome"], told.json["answer"]) == (1, "silent", None)
    assert not (tmp_path / "answer.mp3").exists()


async def test_what_the_gateway_lacks_is_noted(
    cli: CommandLine, gateway: Gateway, broker: Mosquitto, question: str
) -> None:
    statistics = b'{"notes": ["No speech model is at hand."]}'
    await publish_retained(broker.url, ["home/gateway/stats"], statistics)
    elsewhere = ("--root-topic", "home", "--timeout", "1")
    told = await cli("talk", question, *elsewhere, "--mqtt-url", broker.url)
    assert "  note     No speech model is at hand.\n" in told.out
    # This gateway lacks nothing.
    assert (await cli("talk", question, "--mqtt-url", broker.url, "--json")).json["notes"] == []


async def test_without_a_gateway_it_says_what_to_look_at(cli: CommandLine, broker: Mosquitto, question: str) -> None:
    told = await cli("talk", question, "--mqtt-url", broker.url, "--no-pacing", "--timeout", "1")
    assert told.code == 1
    assert "no answer within 1 s: is the gateway running, on this broker? See: voice-gateway doctor" in told.err


async def test_an_answer_that_breaks_off_is_said_to(
    cli: CommandLine, gateway: Gateway, broker: Mosquitto, question: str, provider: OpenAIServer
) -> None:
    provider.chat.answer = HANG
    told = await cli("talk", question, "--mqtt-url", broker.url, "--no-pacing", "--timeout", "1")
    assert told.code == 1
    assert "the answer broke off: no " in told.err
    assert "transcript" in told.err


async def test_without_a_broker_it_says_so(cli: CommandLine, question: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.device.software_device.CONNECT_TIMEOUT_S", 0.3)
    told = await cli("talk", question, "--mqtt-url", f"mqtt://127.0.0.1:{free_port()}")
    assert told.code == 1
    assert "is the broker running there?" in told.err
    assert "Start the gateway (voice-gateway run)" in told.err


async def test_a_refused_login_is_said_at_once(cli: CommandLine, question: str) -> None:
    async with Mosquitto(password="right") as broker, asyncio.timeout(CONNECT_TIMEOUT_S / 2):
        told = await cli("talk", question, "--mqtt-url", broker.url.replace("right", "wrong"))
    assert told.code == 1
    assert "not authorised: check user and password" in told.err
    assert "GATEWAY_MQTT_URL=mqtt://user:password@host" in told.err
    assert "Start the gateway" not in told.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give a sound file, --text or --mic"),
        (["question.wav", "--mic"], "give a sound file, --text or --mic"),
        (["question.wav", "--codec", "mp3"], "--codec is one of pcm, adpcm, opus, not mp3"),
        (["question.wav", "--raw", "--codec", "adpcm"], "--raw goes with neither --mic nor --codec"),
        (["question.wav", "--device", "gateway"], "--device gateway: the device id 'gateway' is reserved"),
        (["question.wav", "--output", "no/such/folder.mp3"], "the answer cannot be saved"),
        (["missing.wav"], "missing.wav cannot be read as sound"),
    ],
)
async def test_what_cannot_work_is_refused(
    cli: CommandLine, gateway: Gateway, broker: Mosquitto, question: str, arguments: list[str], message: str
) -> None:
    told = await cli("talk", *arguments, "--mqtt-url", broker.url, "--no-pacing")
    assert told.code == 2
    assert message in told.err


async def test_a_microphone_is_sent_until_enter(
    cli: CommandLine, gateway: Gateway, broker: Mosquitto, terminal: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = SoundCard(spoken(3).samples)
    card.when_recorded = lambda: os.write(terminal, b"\n") and None
    monkeypatch.setitem(sys.modules, "sounddevice", card)
    told = await cli("talk", "--mic", "--mqtt-url", broker.url)
    assert told.code == 0
    assert "push Enter when you are done" in told.out
    assert "heard    question 3" in told.out


async def test_a_microphone_that_is_not_there_is_said(
    cli: CommandLine, broker: Mosquitto, terminal: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", SoundCard())
    told = await cli("talk", "--mic", "--mqtt-url", broker.url)
    assert (told.code, "no microphone can be used" in told.err) == (2, True)


async def test_a_microphone_needs_a_terminal(
    cli: CommandLine, broker: Mosquitto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", SoundCard())
    (tmp_path / "keys").touch()
    with (tmp_path / "keys").open() as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        told = await cli("talk", "--mic", "--mqtt-url", broker.url)
    assert (told.code, "needs a terminal" in told.err) == (2, True)


async def test_an_answer_is_played_while_it_arrives(
    cli: CommandLine, gateway: Gateway, broker: Mosquitto, question: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = SoundCard()
    monkeypatch.setitem(sys.modules, "sounddevice", card)
    told = await cli("talk", question, "--mqtt-url", broker.url, "--no-pacing", "--play", "--json")
    assert told.code == 0
    played = np.frombuffer(card.played, np.float32)
    assert card.played_rate == 24_000
    assert len(played) / 24_000 == pytest.approx(told.json["audio_ms"] / 1000, abs=0.1)
    assert np.abs(played).max() > 0.1
    assert card.drained
    assert card.closed


async def test_a_loudspeaker_that_is_not_there_is_said(
    cli: CommandLine, gateway: Gateway, broker: Mosquitto, question: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", SoundCard(loudspeaker=False))
    told = await cli("talk", question, "--mqtt-url", broker.url, "--no-pacing", "--play")
    assert (told.code, "no loudspeaker can be used" in told.err) == (2, True)


@pytest.mark.parametrize(
    ("trouble", "advice"),
    [
        ("raise ModuleNotFoundError('No module named sounddevice')", "pip install 'mqtt-voice-gateway[mic]'"),
        ("raise OSError('PortAudio library not found')", "apt-get install libportaudio2"),
    ],
    ids=["no package", "no library"],
)
async def test_what_is_missing_for_sound_is_named(
    cli: CommandLine, question: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trouble: str, advice: str
) -> None:
    (tmp_path / "sounddevice.py").write_text(trouble)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    told = await cli("talk", question, "--play")
    assert (told.code, advice in told.err) == (2, True)
