"""What happens rarely: garbage, and a clock that runs over."""

import random

import pytest

from tests.e2e.conftest import StartGateway
from tests.e2e.firmware.voice_board import DEVICE, StartBoard, VoiceBoard
from tests.e2e.onlooker import Onlooker
from tests.fakes.mosquitto import Mosquitto

pytestmark = pytest.mark.timeout(300)
"""The first test builds the board; others wait for time limits of the firmware."""


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
