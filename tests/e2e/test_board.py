"""The firmware itself, run as a virtual board, against a real Mosquitto and the whole gateway.

PUBSUBCLIENT and MICRO_MP3 in the environment choose the real libraries.
"""

import asyncio
import random
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import soundfile

from gateway.audio import SPEECH_RATE
from tests.e2e.board import Board, build_board
from tests.e2e.conftest import StartGateway
from tests.e2e.onlooker import Onlooker
from tests.e2e.questions import heard_question, recording
from tests.fakes.http_server import Request
from tests.fakes.mosquitto import Mosquitto, find_program, free_port
from tests.fakes.openai_server import SPEECH_RATE as REPLY_RATE
from tests.fakes.openai_server import Audio, OpenAIServer

pytestmark = pytest.mark.timeout(300)
"""The first test builds the board; others wait for time limits of the firmware."""

DEVICE = "a4cf128b3f9e"
SECONDS_A_CHARACTER = 0.05
LONG = " ".join(f"This is sentence {word} of it." for word in ("one", "two", "three", "four", "five"))
MINUTE_PATIENCE_S = 60.0
"""For what waits for a time limit of the firmware, or for its next attempt to connect."""


def recognise(request: Request) -> str:
    """Answer of the transcription server: the question that was heard, if it was heard whole and clear."""
    number, whole = heard_question(request)
    return f"question {number}" if whole else f"something like question {number}"


def pitch(text: str) -> int:
    """Hz in which an answer is spoken: it says which question it answers."""
    number = re.search(r"\d", text)
    return 400 + 150 * int(number[0]) if number else 300


def speak(request: Request) -> Audio:
    """Answer of the speech server: a tone as long as the text, in the pitch of its question."""
    text = request.json["input"]
    times = np.arange(round(SECONDS_A_CHARACTER * len(text) * REPLY_RATE)) / REPLY_RATE
    return Audio((8000 * np.sin(2 * np.pi * pitch(text) * times)).astype("<i2").tobytes(), "audio/pcm")


class Sound(NamedTuple):
    """Something that the speaker played, from one silence to the next."""

    seconds: float
    hertz: float
    underruns: int
    loudest: int


class VoiceBoard:
    """A board with the firmware, set up and online; what it plays goes to a file."""

    def __init__(self, board: Board, folder: Path, sounds: Path) -> None:
        self.board = board
        self._folder = folder
        self._sounds = sounds
        self._heard = 0

    async def online(self) -> None:
        await self.board.line("^mqtt: connected", MINUTE_PATIENCE_S)

    def recording(self, number: int) -> Path:
        path = self._folder / f"question-{number}.wav"
        if not path.exists():
            soundfile.write(path, recording(number), SPEECH_RATE)
        return path

    async def say(self, number: int) -> None:
        self.board.type(f"!say {self.recording(number)}")
        await self.board.line(r"^!said .* heard=100%")

    async def ask(self, number: int) -> None:
        """Hold the button and ask."""
        self.board.type(f"!ask {self.recording(number)}")
        await self.board.line(r"^!said .* heard=100%")

    async def sounds(self) -> None:
        """Wait until something is played."""
        await self.board.line("^!speaker start", MINUTE_PATIENCE_S)

    async def heard(self) -> Sound:
        """Wait for the end of what is played, or of the next sound, and return it."""
        pattern = r"^!speaker stop samples=(\d+) underruns=(\d+) underrun_samples=(\d+)"
        samples, underruns, missing = map(int, (await self.board.line(pattern, MINUTE_PATIENCE_S)).groups())
        everything, rate = soundfile.read(self._sounds, dtype="int16")
        sound = everything[self._heard : self._heard + samples + missing]
        assert len(sound) == samples + missing
        self._heard += len(sound)
        spectrum = np.abs(np.fft.rfft(sound.astype(np.float64)))
        hertz = float(np.argmax(spectrum) * rate / len(sound))
        return Sound(len(sound) / rate, hertz, underruns, int(np.abs(sound.astype(int)).max()))

    async def hears(self, number: int, answer: str = "") -> None:
        """The answer to question `number` is played whole and without a gap."""
        expected = answer or f"Answer to question {number}."
        sound = await self.heard()
        assert sound.hertz == pytest.approx(pitch(expected), abs=5)
        assert sound.seconds == pytest.approx(SECONDS_A_CHARACTER * len(expected), abs=0.25)
        assert sound.underruns == 0

    async def is_answered(self, number: int) -> None:
        await self.ask(number)
        await self.hears(number)

    async def hears_the_error_tone(self) -> None:
        sound = await self.heard()
        assert sound.seconds < 0.6

    async def status(self) -> dict[str, str]:
        """The firmware's state and counters."""
        self.board.type("status")
        state = await self.board.line(r"^state (\S+),")
        await self.board.counters()
        lines = self.board.lines
        counters = [line.rsplit(" ", 1) for line in lines[lines.index(state.string) :] if not line.startswith("!")]
        return {name.strip(): value for name, value in counters} | {"state": state[1]}


StartBoard = Callable[..., Awaitable[VoiceBoard]]


@pytest.fixture
async def mosquitto() -> AsyncIterator[Mosquitto]:
    async with Mosquitto(persistence=True) as running:
        yield running


@pytest.fixture
async def onlooker(mosquitto: Mosquitto) -> AsyncIterator[Onlooker]:
    async with Onlooker(mosquitto.url) as running:
        yield running


@pytest.fixture(autouse=True)
def conversation(provider: OpenAIServer) -> OpenAIServer:
    provider.transcriptions.answer = recognise
    provider.speech.answer = speak
    return provider


@pytest.fixture
async def start_board(mosquitto: Mosquitto, tmp_path: Path) -> AsyncIterator[StartBoard]:
    """Starts a board with the settings given, as a person types them, and ends it with the test."""
    async with AsyncExitStack() as stack:

        async def start(*options: str, program: Path | None = None, **settings: str) -> VoiceBoard:
            files = ("--nvs", str(tmp_path / "nvs"), "--wav-out", str(tmp_path / "out.wav"))
            board = await stack.enter_async_context(Board(program or build_board(), *files, *options))
            values = {"wifi_ssid": "home", "mqtt_host": "127.0.0.1", "mqtt_port": str(mosquitto.port)} | settings
            for name, value in values.items():
                board.type(f"set {name} {value}")
            board.type("save")
            await board.line("^!restart")
            voice = VoiceBoard(board, tmp_path, tmp_path / "out.wav")
            await voice.online()
            return voice

        yield start


@pytest.fixture
async def board(start_gateway: StartGateway, mosquitto: Mosquitto, start_board: StartBoard) -> VoiceBoard:
    await start_gateway(mqtt_url=mosquitto.url)
    return await start_board()


async def test_it_asks_and_is_heard_to_answer_again_and_again(board: VoiceBoard, onlooker: Onlooker) -> None:
    for number in (0, 1, 0):
        await board.is_answered(number)
    status = await board.status()
    assert status["state"] == "idle"
    assert {name: status[name] for name in ("utterances", "replies", "replies_heard")} == dict.fromkeys(
        ("utterances", "replies", "replies_heard"), "3"
    )
    assert not {"underruns", "frames_lost", "frames_bad", "tones", "undecodable_bytes"} & set(status)
    assert (await board.board.counters())["microphone_lost"] == 0
    hello = await onlooker.json(f"voice/{DEVICE}/hello", v=1)
    assert (hello["board"], hello["max_packet"], hello["buffer_ms"]) == ("esp32dev", 4096, 2000)
    assert hello["rssi"] == -50
    assert "end_of_speech" not in hello
    await onlooker.message(f"voice/{DEVICE}/control", type="played", end=True)


async def test_a_press_interrupts_the_answer_and_the_next_question_gets_its_own(
    board: VoiceBoard, conversation: OpenAIServer, onlooker: Onlooker
) -> None:
    usual, conversation.chat.answer = conversation.chat.answer, LONG
    await board.ask(0)
    await onlooker.message(f"voice/{DEVICE}/control", type="played")
    conversation.chat.answer = usual
    board.board.type("!counters")
    board.board.type("!press")
    played_s = (await board.board.counted())["speaker_samples"] / REPLY_RATE
    interrupted = await board.heard()
    assert 0.5 < interrupted.seconds < 0.5 * SECONDS_A_CHARACTER * len(LONG)
    assert interrupted.seconds - played_s < 0.1
    await board.say(1)
    board.board.type("!release")
    await board.hears(1)
    await onlooker.message(f"voice/{DEVICE}/event", event="done", outcome="interrupted")


async def test_a_short_press_stops_the_answer_and_says_nothing(
    board: VoiceBoard, conversation: OpenAIServer, onlooker: Onlooker
) -> None:
    conversation.chat.answer = LONG
    await board.ask(0)
    await board.sounds()
    board.board.type("!press")
    board.board.type("!release")
    assert (await board.heard()).seconds < 0.5 * SECONDS_A_CHARACTER * len(LONG)
    await onlooker.message(f"voice/{DEVICE}/event", event="done", outcome="interrupted")
    while (status := await board.status())["state"] != "idle":
        pass
    assert (status["utterances"], status["short_presses"], status["replies_aborted"]) == ("2", "1", "1")


async def test_an_answer_longer_than_its_memory_is_played_without_a_gap(
    board: VoiceBoard, conversation: OpenAIServer
) -> None:
    conversation.chat.answer = LONG
    await board.ask(0)
    sound = await board.heard()
    # A reply is one stream: the sentences follow each other without the spaces between them.
    assert sound.seconds == pytest.approx(SECONDS_A_CHARACTER * len(LONG), abs=0.6)
    assert sound.underruns == 0
    assert "frames_overflowed" not in await board.status()


async def test_an_announcement_is_played(board: VoiceBoard, onlooker: Onlooker) -> None:
    await onlooker.publish(f"voice/{DEVICE}/say", b"Dinner 3 is ready.")
    await board.hears(3, "Dinner 3 is ready.")
    assert (await board.status())["announcements"] == "1"
    await board.is_answered(1)


async def test_an_announcement_is_as_loud_as_it_is_to_be(board: VoiceBoard, onlooker: Onlooker) -> None:
    loudest = []
    for keys in ("", ',"volume":25', ""):
        await onlooker.publish(f"voice/{DEVICE}/say", f'{{"text":"Dinner 3 is ready."{keys}}}'.encode())
        loudest.append((await board.heard()).loudest)
    assert loudest[1] == pytest.approx(loudest[0] / 4, rel=0.02)
    assert loudest[2] == loudest[0]


async def test_what_is_urgent_is_heard_at_once_whatever_was_being_asked(
    board: VoiceBoard, onlooker: Onlooker, conversation: OpenAIServer
) -> None:
    usual, conversation.chat.answer = conversation.chat.answer, LONG
    board.board.type(f"!ask {board.recording(0)}")
    await onlooker.message(f"voice/{DEVICE}/event", event="listening")
    fire = "Fire 3 burns in the garage by now"  # in one piece, and for longer than the question
    await onlooker.publish(f"voice/{DEVICE}/say", f'{{"text":"{fire}","priority":"urgent"}}'.encode())
    await board.board.line("^!said ")
    await board.hears(3, fire)
    await onlooker.message(f"voice/{DEVICE}/event", event="done", outcome="interrupted")
    conversation.chat.answer = usual
    await board.is_answered(1)


async def test_hands_free_needs_no_button(
    start_gateway: StartGateway, mosquitto: Mosquitto, start_board: StartBoard
) -> None:
    await start_gateway(mqtt_url=mosquitto.url)
    board = await start_board(mode="hands-free")
    for number in (0, 2):
        await board.say(number)
        await board.hears(number)


async def test_hands_free_a_question_is_recognised_in_the_quiet_that_ends_it(
    start_gateway: StartGateway,
    mosquitto: Mosquitto,
    start_board: StartBoard,
    onlooker: Onlooker,
    conversation: OpenAIServer,
) -> None:
    await start_gateway(mqtt_url=mosquitto.url, speculation="recognise", stats_interval_s=0.2)
    board = await start_board(mode="hands-free")
    assert (await onlooker.json(f"voice/{DEVICE}/hello", v=1))["end_of_speech"] == 700
    await board.say(0)
    await board.hears(0)
    turns = {"completed": 1, "interrupted": 0, "silent": 0, "failed": 0}
    counts = (await onlooker.json("voice/gateway/stats", turns=turns))["speculation"]
    assert counts["used"] == 1
    assert len(conversation.transcriptions.requests) == counts["started"]


@pytest.mark.parametrize("setting", ["ESP32-KITCHEN-001", "uuid"])
async def test_an_id_of_its_own_outlives_a_restart(
    start_gateway: StartGateway, mosquitto: Mosquitto, start_board: StartBoard, onlooker: Onlooker, setting: str
) -> None:
    await start_gateway(mqtt_url=mosquitto.url)
    board = await start_board(id=setting)
    board.board.type("!reset")
    first, second = [
        each[1] for line in board.board.lines if (each := re.match(r"mqtt: connected to .* as (\S+)", line))
    ] + [(await board.board.line(r"^mqtt: connected to .* as (\S+)"))[1]]
    assert first == second
    assert first == setting or re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", first)
    await board.is_answered(0)
    assert (await onlooker.message(f"voice/{first}/event", event="done")).payload


class TestLink:
    """What is lost with the link is told by a tone; the next question is answered, and nothing stale is ever heard."""

    async def test_a_moment_without_network_costs_nothing_of_the_question(self, board: VoiceBoard) -> None:
        board.board.type("!press")
        board.board.type(f"!say {board.recording(0)}")
        await asyncio.sleep(0.3)
        board.board.type("!wifi silent")
        await asyncio.sleep(0.5)
        board.board.type("!wifi up")
        await board.board.line("^!said")
        board.board.type("!release")
        await board.hears(0)

    async def test_lost_in_the_middle_of_the_question(self, board: VoiceBoard, onlooker: Onlooker) -> None:
        board.board.type("!press")
        board.board.type(f"!say {board.recording(0)}")
        await onlooker.message(f"voice/{DEVICE}/event", event="listening")
        board.board.type("!wifi down")
        await board.hears_the_error_tone()
        board.board.type("!release")
        board.board.type("!wifi up")
        await board.online()
        await board.is_answered(1)
        assert (await board.status())["utterances_lost"] == "1"

    async def test_lost_in_the_middle_of_the_answer(self, board: VoiceBoard, conversation: OpenAIServer) -> None:
        """What the board holds is played; the rest is waited for, up to a limit."""
        usual, conversation.chat.answer = conversation.chat.answer, LONG
        await board.ask(0)
        await board.sounds()
        board.board.type("!wifi down")
        assert (await board.heard()).hertz == pytest.approx(pitch(LONG), abs=5)
        await board.hears_the_error_tone()
        conversation.chat.answer = usual
        board.board.type("!wifi up")
        await board.online()
        await board.is_answered(1)
        assert (await board.status())["replies_stalled"] == "1"

    async def test_an_answer_goes_on_after_what_was_lost_of_it(
        self, board: VoiceBoard, conversation: OpenAIServer
    ) -> None:
        usual, conversation.chat.answer = conversation.chat.answer, LONG + LONG
        await board.ask(0)
        await board.sounds()
        board.board.type("!wifi down")
        beginning = await board.heard()
        board.board.type("!wifi up")
        rest = await board.heard()
        assert beginning.hertz == pytest.approx(pitch(LONG), abs=5)
        assert rest.hertz == pytest.approx(pitch(LONG), abs=5)
        conversation.chat.answer = usual
        await board.is_answered(1)
        status = await board.status()
        assert "tones" not in status
        assert int(status["frames_lost"]) > 0

    async def test_a_moment_without_network_is_not_heard_in_the_answer(
        self, board: VoiceBoard, conversation: OpenAIServer
    ) -> None:
        conversation.chat.answer = LONG
        await board.ask(0)
        await board.sounds()
        await asyncio.sleep(1.0)
        board.board.type("!wifi silent")
        await asyncio.sleep(1.0)
        board.board.type("!wifi up")
        sound = await board.heard()
        assert sound.seconds == pytest.approx(SECONDS_A_CHARACTER * len(LONG), abs=0.6)
        assert sound.underruns == 0

    async def test_an_answer_that_arrives_all_at_once_after_a_silence_of_the_network_is_heard_whole(
        self, board: VoiceBoard, conversation: OpenAIServer, onlooker: Onlooker
    ) -> None:
        conversation.chat.answer = LONG
        conversation.chat.delay_s = 1.0
        await board.ask(0)
        await onlooker.message(f"voice/{DEVICE}/event", event="transcript")
        board.board.type("!wifi silent")
        await onlooker.message(f"voice/{DEVICE}/event", event="speaking")
        await asyncio.sleep(4.0)
        board.board.type("!wifi up")
        sound = await board.heard()
        assert sound.seconds == pytest.approx(SECONDS_A_CHARACTER * len(LONG), abs=0.6)
        assert sound.underruns == 0
        assert "frames_overflowed" not in await board.status()

    async def test_a_press_without_a_link_is_answered_by_the_error_tone(self, board: VoiceBoard) -> None:
        board.board.type("!wifi down")
        await board.board.line("^wifi: connection lost")
        board.board.type("!press")
        board.board.type("!release")
        await board.hears_the_error_tone()


class TestRestarts:
    async def test_of_the_broker(self, board: VoiceBoard, mosquitto: Mosquitto, onlooker: Onlooker) -> None:
        await board.is_answered(0)
        seen = len(onlooker.on("voice/gateway/status"))
        await mosquitto.stop()
        await board.board.line("^mqtt: connection lost")
        await mosquitto.start()
        await board.online()
        # Not what it said before: a question is asked only once the gateway is back.
        await onlooker.nth("voice/gateway/status", seen)
        await board.is_answered(1)

    async def test_of_the_broker_in_the_middle_of_the_answer(
        self, board: VoiceBoard, mosquitto: Mosquitto, conversation: OpenAIServer
    ) -> None:
        usual, conversation.chat.answer = conversation.chat.answer, LONG
        await board.ask(0)
        await board.sounds()
        await mosquitto.stop()
        await mosquitto.start()
        conversation.chat.answer = usual
        assert (await board.heard()).hertz == pytest.approx(pitch(LONG), abs=5)
        await board.is_answered(1)

    async def test_of_the_gateway(
        self, start_gateway: StartGateway, mosquitto: Mosquitto, start_board: StartBoard
    ) -> None:
        gateway = await start_gateway(mqtt_url=mosquitto.url)
        board = await start_board()
        await board.is_answered(0)
        await gateway.__aexit__(None, None, None)
        await start_gateway(mqtt_url=mosquitto.url)
        await board.is_answered(1)

    async def test_of_the_board(self, board: VoiceBoard) -> None:
        await board.is_answered(0)
        board.board.type("!reset")
        await board.online()
        await board.is_answered(1)


async def test_the_simplest_sketch_is_answered(
    start_gateway: StartGateway, mosquitto: Mosquitto, onlooker: Onlooker, tmp_path: Path
) -> None:
    await start_gateway(mqtt_url=mosquitto.url)
    values = {"WIFI_SSID": "home", "WIFI_PASSWORD": "", "MQTT_HOST": "127.0.0.1", "MQTT_USER": "", "MQTT_PASSWORD": ""}
    lines = [f'#define VOICE_{name} "{value}"' for name, value in values.items()]
    lines.append(f"#define VOICE_MQTT_PORT {mosquitto.port}")
    (tmp_path / "secrets.h").write_text("\n".join([*lines, ""]))
    program = build_board(SKETCH="examples/simplest/simplest.ino", SECRETS=str(tmp_path))
    async with Board(program) as simplest:
        await onlooker.message("voice/gateway/status", b"online")
        board = VoiceBoard(simplest, tmp_path, tmp_path / "none.wav")
        while (await simplest.counters())["connects"] == 0:
            pass
        await board.ask(1)
        assert int((await simplest.line(r"^answer: (\d+) bytes of MP3"))[1]) > 1_000
    done = await onlooker.json("voice/simplest/event", event="done")
    assert done["reply"] == "Answer to question 1."


async def certificate(folder: Path, name: str) -> Path:
    """A certificate that vouches for itself, valid for this machine, and beside it its key."""
    path = folder / f"{name}.pem"
    openssl = await asyncio.create_subprocess_exec(
        find_program("openssl"),
        *("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", f"/CN={name}"),
        *("-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(folder / f"{name}.key"), "-out", str(path)),
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert await openssl.wait() == 0
    return path


async def test_over_tls_it_trusts_only_the_authority_that_it_was_given(
    start_gateway: StartGateway, start_board: StartBoard, tmp_path: Path
) -> None:
    trusted, other = await certificate(tmp_path, "trusted"), await certificate(tmp_path, "other")
    header = f'static const char voice_ca_cert[] = R"CERT({trusted.read_text()})CERT";'
    (tmp_path / "ca_cert.h").write_text(header)
    program = build_board(TLS="1", SECRETS=str(tmp_path))
    port, other_port = free_port(), free_port()
    listeners = "".join(
        f"listener {each} 127.0.0.1\ncertfile {pem}\nkeyfile {pem.with_suffix('.key')}\n"
        for each, pem in ((port, trusted), (other_port, other))
    )
    async with Mosquitto(settings=listeners) as broker:
        await start_gateway(mqtt_url=broker.url)
        board = await start_board(program=program, mqtt_port=str(port))
        await board.is_answered(0)
        board.board.type(f"set mqtt_port {other_port}")
        board.board.type("save")
        await board.board.line("^!tls: certificate verify failed")
        await board.board.line(f"^mqtt: no TLS connection to 127.0.0.1:{other_port}; check .* ca_cert.h")


async def test_garbage_on_its_topics_changes_nothing(board: VoiceBoard, onlooker: Onlooker) -> None:
    generator = random.Random(7)
    garbage = [generator.randbytes(generator.choice([0, 1, 11, 12, 13, 200, 3000, 9000])) for _ in range(60)]
    garbage += [b"VG" + generator.randbytes(generator.randrange(40)) for _ in range(60)]
    garbage += [b"VG\x01" + generator.randbytes(9) for _ in range(60)]
    garbage += [b'{"event":"done","turn":', b'{"event":{"a":[1,{"b":"}"}]},"turn":1}', b"[" * 4000, b"\xff\xfb\x90\x00"]
    for payload in garbage:
        for leaf in ("out", "event"):
            await onlooker.publish(f"voice/{DEVICE}/{leaf}", payload, qos=0)
    await board.is_answered(0)
    assert (await board.status())["state"] == "idle"


async def test_nothing_happens_when_the_clock_runs_over(
    start_gateway: StartGateway, mosquitto: Mosquitto, start_board: StartBoard
) -> None:
    await start_gateway(mqtt_url=mosquitto.url)
    before_ms = 4_000
    board = await start_board("--millis-offset", str(2**32 - before_ms))
    while (await board.board.counters())["uptime_ms"] < before_ms + 1_000:
        await board.is_answered(2)
    await board.is_answered(1)
    assert "tones" not in await board.status()
