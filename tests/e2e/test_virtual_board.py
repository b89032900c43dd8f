"""The stand-ins that the firmware runs on without a board keep the limits and the timing of what they stand in for.

With PUBSUBCLIENT=<checkout> in the environment the same tests run with the real library, and must say the same.
"""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.e2e.board import Board, build_board
from tests.e2e.onlooker import Onlooker
from tests.fakes.mosquitto import Mosquitto, free_port

pytestmark = pytest.mark.timeout(300)
"""The first test builds the board."""

TOPIC = "t/1"
LARGEST_IN = 256 - 3 - 2 - len(TOPIC)
"""Payload bytes that fill PubSubClient's default buffer: type, length of two bytes, and the topic come before."""
LARGEST_OUT = 256 - 5 - 2 - len(TOPIC)
"""Less, because room is kept for the longest header there is."""


@pytest.fixture
async def mosquitto() -> AsyncIterator[Mosquitto]:
    async with Mosquitto() as running:
        yield running


@pytest.fixture
async def board(tmp_path: Path) -> AsyncIterator[Board]:
    program = build_board(SKETCH="host/test/probe.cpp")
    async with Board(program, "--nvs", str(tmp_path / "nvs"), "--wav-out", str(tmp_path / "out.wav")) as running:
        await running.line("^!ready")
        while await running.call("wifi") != "3":
            pass
        yield running


@pytest.fixture
async def onlooker(mosquitto: Mosquitto) -> AsyncIterator[Onlooker]:
    async with Onlooker(mosquitto.url, "#") as running:
        yield running


@pytest.fixture
async def connected(board: Board, mosquitto: Mosquitto) -> Board:
    await board.call(f"server 127.0.0.1 {mosquitto.port}")
    assert await board.call("connect probe") == "1"
    return board


async def take_packet(board: Board) -> None:
    """Wait until there is a packet, and let one call of loop() take it."""
    await board.call("await")
    assert await board.call("loop") == "1"


async def subscribe(board: Board, topic: str, qos: int = 0) -> None:
    assert await board.call(f"subscribe {topic} {qos}") == "1"
    await take_packet(board)


class TestPubSubClient:
    async def test_a_message_that_fills_the_buffer_arrives_and_a_longer_one_vanishes(
        self, connected: Board, onlooker: Onlooker
    ) -> None:
        await subscribe(connected, TOPIC)
        for size in (LARGEST_IN, LARGEST_IN + 1, 3):
            await onlooker.publish(TOPIC, b"y" * size)
            await take_packet(connected)
        assert [line for line in connected.lines if line.startswith("got")] == [
            f"got t/1 {LARGEST_IN} {'y' * 20}",
            "got t/1 3 yyy",
        ]

    async def test_a_message_that_does_not_fit_is_refused_before_anything_is_sent(
        self, connected: Board, onlooker: Onlooker
    ) -> None:
        assert await connected.call(f"publish {TOPIC} {LARGEST_OUT + 1}") == "0"
        assert await connected.call(f"publish {TOPIC} {LARGEST_OUT}") == "1"
        assert len((await onlooker.nth(TOPIC, 0)).payload) == LARGEST_OUT

    async def test_a_larger_buffer_takes_larger_messages_both_ways(self, connected: Board, onlooker: Onlooker) -> None:
        assert await connected.call("buffer 0") == "0 256"
        assert await connected.call("buffer 4096") == "1 4096"
        await subscribe(connected, TOPIC)
        await onlooker.publish(TOPIC, b"y" * 4000)
        await take_packet(connected)
        assert connected.lines[-2] == f"got t/1 4000 {'y' * 20}"
        assert await connected.call("publish t/2 4000") == "1"
        assert len((await onlooker.message("t/2")).payload) == 4000

    async def test_a_message_in_parts_may_be_larger_than_the_buffer(self, connected: Board, onlooker: Onlooker) -> None:
        assert await connected.call(f"publish-parts {TOPIC} 100") == "1"
        assert (await onlooker.message(TOPIC)).payload == b"0123456789" * 100

    async def test_one_call_of_loop_takes_one_packet(self, connected: Board, onlooker: Onlooker) -> None:
        await subscribe(connected, TOPIC)
        await onlooker.publish(TOPIC, b"first")
        await onlooker.publish(TOPIC, b"second")
        await take_packet(connected)
        assert connected.lines[-2] == "got t/1 5 first"
        await take_packet(connected)
        assert connected.lines[-2] == "got t/1 6 second"

    async def test_messages_at_qos_1_are_acknowledged(self, connected: Board, onlooker: Onlooker) -> None:
        """Without that Mosquitto keeps back what comes after 20 of them."""
        await subscribe(connected, TOPIC, 1)
        for index in range(30):
            await onlooker.publish(TOPIC, str(index).encode())
            await take_packet(connected)
        got = [line.split()[-1] for line in connected.lines if line.startswith("got")]
        assert got == [str(index) for index in range(30)]

    async def test_qos_2_is_refused_and_an_unsubscribed_topic_is_silent(
        self, connected: Board, onlooker: Onlooker
    ) -> None:
        assert await connected.call(f"subscribe {TOPIC} 2") == "0"
        await subscribe(connected, TOPIC)
        await subscribe(connected, "t/2")
        assert await connected.call(f"unsubscribe {TOPIC}") == "1"
        await take_packet(connected)
        await onlooker.publish(TOPIC, b"unheard")
        await onlooker.publish("t/2", b"heard")
        await take_packet(connected)
        assert [line for line in connected.lines if line.startswith("got")] == ["got t/2 5 heard"]

    async def test_the_will_is_published_when_the_board_vanishes_and_not_when_it_says_goodbye(
        self, board: Board, mosquitto: Mosquitto, onlooker: Onlooker
    ) -> None:
        await board.call(f"server 127.0.0.1 {mosquitto.port}")
        assert await board.call("connect-will probe t/polite") == "1"
        await board.call("disconnect")
        assert await board.call("state") == "-1"
        assert await board.call("connect-will probe t/online") == "1"
        assert await board.call("publish-retained t/online online") == "1"
        await onlooker.message("t/online", b"online")
        board.type("restart")
        await onlooker.message("t/online", b"offline")
        assert onlooker.on("t/polite") == []

    async def test_the_connection_outlives_many_keep_alive_intervals(self, board: Board, mosquitto: Mosquitto) -> None:
        await board.call(f"server 127.0.0.1 {mosquitto.port}")
        await board.call("keepalive 1")
        assert await board.call("connect probe") == "1"
        assert await board.call("serve 4000") == "1"

    async def test_state_says_why_there_is_no_connection(self, board: Board, mosquitto: Mosquitto) -> None:
        await board.call(f"server 127.0.0.1 {free_port()}")
        assert await board.call("connect probe") == "0"
        assert await board.call("state") == "-2"
        await board.call(f"server 127.0.0.1 {mosquitto.port}")
        assert await board.call("connect probe") == "1"
        assert await board.call("state") == "0"
        await mosquitto.stop()
        await board.call("serve 2000")
        assert await board.call("connected") == "0"
        assert await board.call("state") == "-3"
        assert await board.call(f"publish {TOPIC} 1") == "0"

    async def test_a_wrong_password_is_told_apart(self, board: Board) -> None:
        async with Mosquitto(password="secret") as broker:
            await board.call(f"server 127.0.0.1 {broker.port}")
            assert await board.call("connect-login voice wrong") == "0"
            assert await board.call("state") == "5"
            assert await board.call("connect-login voice secret") == "1"


class TestNetwork:
    async def test_while_nothing_gets_through_the_send_buffer_fills_and_empties_when_the_network_is_back(
        self, connected: Board, onlooker: Onlooker
    ) -> None:
        assert await connected.call("buffer 4096") == "1 4096"
        connected.type("!wifi silent")
        assert await connected.call("writable") == "1"
        assert await connected.call("publish t/1 3000") == "1"
        assert await connected.call("connected") == "1"
        assert await connected.call("writable") == "0"
        connected.type("!wifi up")
        assert await connected.call("publish t/2 1") == "1"
        assert len((await onlooker.message("t/1")).payload) == 3000
        await onlooker.message("t/2")

    async def test_a_lost_network_is_noticed_and_the_other_side_is_left_in_the_dark(
        self, board: Board, mosquitto: Mosquitto, onlooker: Onlooker
    ) -> None:
        await board.call(f"server 127.0.0.1 {mosquitto.port}")
        assert await board.call("connect-will probe t/online") == "1"
        board.type("!wifi down")
        assert await board.call("wifi") != "3"
        await board.call("disconnect")
        assert await board.call("connect probe") == "0"
        await onlooker.publish("t/mark", b"")
        await onlooker.message("t/mark")
        assert onlooker.on("t/online") == []
        board.type("!wifi up")
        await onlooker.message("t/online", b"offline")


class TestSound:
    async def test_a_gap_in_what_the_speaker_is_given_is_counted_and_heard(self, board: Board, tmp_path: Path) -> None:
        """Whole buffers of 15 ms: of one left half full the driver goes on filling what has been sent already."""
        assert await board.call("play 90 1000 1000") == "1440"
        await board.call("wait 400")
        assert await board.call("play 90 1000 1000") == "1440"
        stopped = await board.line(r"^!speaker stop samples=(\d+) underruns=(\d+) underrun_samples=(\d+)")
        samples, underruns, missing = map(int, stopped.groups())
        assert (samples, underruns) == (2880, 1)
        assert 0.25 < missing / 16_000 < 0.5
        heard, rate = soundfile.read(tmp_path / "out.wav", dtype="int16")
        assert rate == 16_000
        assert len(heard) == samples + missing
        assert np.count_nonzero(heard == 1000) == samples
        assert np.count_nonzero(heard) == samples
        assert heard[0] == heard[-1] == 1000

    async def test_the_speaker_takes_no_more_than_its_buffers_hold(self, board: Board) -> None:
        taken = int(await board.call("play 1000 1000 0"))
        assert 0 < taken <= 5 * 240

    async def test_the_microphone_hears_what_is_said_while_it_is_said(self, board: Board, tmp_path: Path) -> None:
        path = tmp_path / "say.wav"
        soundfile.write(path, np.full(8_000, 3000, np.int16), 16_000)
        await board.call("record 100")
        board.type(f"!say {path}")
        count, loud = map(int, (await board.call("record 1000")).split())
        assert count == pytest.approx(16_000, abs=1_000)
        assert loud == pytest.approx(8_000, abs=3)
        await board.line(r"^!said .* heard=100%")
        assert (await board.counters())["microphone_lost"] == 0

    async def test_what_is_not_read_in_time_is_lost(self, board: Board, tmp_path: Path) -> None:
        path = tmp_path / "say.wav"
        soundfile.write(path, np.full(4_800, 3000, np.int16), 16_000)
        await board.call("record 100")
        board.type(f"!say {path}")
        await board.call("wait 400")
        _, loud = map(int, (await board.call("record 100")).split())
        lost = (await board.counters())["microphone_lost"]
        assert loud < 2_400
        assert lost == pytest.approx(16_000 * 0.4 - 5 * 240, abs=1_000)

    async def test_what_cannot_be_said_is_told(self, board: Board, tmp_path: Path) -> None:
        board.type(f"!say {tmp_path}/none.wav")
        await board.line("cannot read it: No such file")
        (tmp_path / "text.wav").write_text("text")
        board.type(f"!say {tmp_path}/text.wav")
        await board.line("not a WAV file; make one with: ffmpeg")


class TestChip:
    async def test_flash_memory_outlives_a_restart_and_the_process(self, board: Board, tmp_path: Path) -> None:
        assert await board.call("get name") == "(none)"
        assert await board.call("put name Cocina") == "6"
        assert await board.call("put a_name_too_long_ Cocina") == "0"
        board.type("restart")
        await board.line("^!ready")
        assert await board.call("get name") == "Cocina"
        async with Board(build_board(SKETCH="host/test/probe.cpp"), "--nvs", str(tmp_path / "nvs")) as other:
            assert await other.call("get name") == "Cocina"

    async def test_the_clock_runs_over(self) -> None:
        program = build_board(SKETCH="host/test/probe.cpp")
        async with Board(program, "--millis-offset", str(2**32 - 500)) as board:
            assert int(await board.call("millis")) >= 2**32 - 500
            await board.call("wait 600")
            assert 0 <= int(await board.call("millis")) < 10_000

    @pytest.mark.parametrize("options", [("--mac", "12"), ("--millis-offset", "-1"), ("--nvs",), ("--what", "1")])
    async def test_a_wrong_option_is_refused_with_what_to_do(self, options: tuple[str, ...]) -> None:
        board = await asyncio.create_subprocess_exec(
            build_board(SKETCH="host/test/probe.cpp"), *options, stderr=asyncio.subprocess.PIPE
        )
        _, errors = await board.communicate()
        assert board.returncode == 2
        assert options[0].encode() in errors
        assert b"Try: virtual-board --help" in errors
