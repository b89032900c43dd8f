"""Each check fails when a gateway does what it is for, over a real broker; and only that one."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest

from gateway.audio import Pcm
from gateway.broker.url import parse_broker_url
from gateway.device.uplink import pieces
from gateway.engines.encoder import Mp3Encoder
from gateway.errors import BrokerUnavailable, NothingCame
from gateway.simulator import Plan, Simulation
from gateway.simulator.checks import Check
from gateway.simulator.plan import name_of
from gateway.simulator.tally import Tally
from tests.device.peer import RATE, mp3_of, tone
from tests.fakes.mosquitto import Mosquitto, free_port
from tests.simulator.fake_gateway import CHUNK_BYTES, SOUND, Asked, FakeGateway, Serve, well

RUN = "test"
PATIENCE_S = 1.0


@pytest.fixture
async def broker() -> AsyncIterator[Mosquitto]:
    async with Mosquitto() as running:
        yield running


async def simulated(broker: Mosquitto, **given: Any) -> Tally:
    """What a short simulation of two devices on `broker` comes to."""
    values: dict[str, Any] = {"devices": 2, "seconds": 1.5, "pause_s": 0.05, "patience_s": PATIENCE_S}
    plan = Plan(run=RUN, **(values | given))
    simulation = Simulation(plan, parse_broker_url(broker.url), [tone(0.1)], root_topic="voice")
    await simulation.run()
    return simulation.tally


async def too_large(gateway: FakeGateway, asked: Asked) -> None:
    sound = mp3_of(0.9)
    await gateway.frames(asked, [sound])
    await gateway.done(asked, sound, chunks=1)


async def for_another_device(gateway: FakeGateway, asked: Asked) -> None:
    await gateway.frames(asked, [SOUND], turn=Plan(devices=2, seconds=1, run=RUN).first_turn(1) + 7)
    await well(gateway, asked)


async def of_another_session(gateway: FakeGateway, asked: Asked) -> None:
    await gateway.event(asked, "sentence", index=0, text="Hola.", session_id="somebody")
    await well(gateway, asked)


async def with_the_name_of_another(gateway: FakeGateway, asked: Asked) -> None:
    await gateway.event(asked, "sentence", index=0, text=f"Hola, {name_of(0)}. Hola, {name_of(1).upper()}.")
    await well(gateway, asked)


async def as_a_stray_message(gateway: FakeGateway, asked: Asked) -> None:
    await gateway.out(asked, b"VG\x01\x00\x03\x00\x00\x00broken")
    await well(gateway, asked)


async def forgetful(gateway: FakeGateway, asked: Asked) -> None:
    await gateway.frames(asked, pieces(SOUND, CHUNK_BYTES))
    await gateway.done(asked, reply="No me has dicho cómo te llamas.")


async def with_a_gap(gateway: FakeGateway, asked: Asked) -> None:
    await gateway.frames(asked, pieces(SOUND, CHUNK_BYTES), seqs=(0, 2, 3))
    await gateway.done(asked)


async def in_disorder(gateway: FakeGateway, asked: Asked) -> None:
    chunks = pieces(SOUND, CHUNK_BYTES)
    await gateway.frames(asked, [chunks[0], chunks[1], chunks[1], chunks[2]], seqs=(0, 1, 1, 2))
    await gateway.done(asked)


async def shorter_than_told(gateway: FakeGateway, asked: Asked) -> None:
    await gateway.frames(asked, pieces(SOUND, CHUNK_BYTES))
    await gateway.done(asked, bytes=len(SOUND) + 144)


async def cancelled(gateway: FakeGateway, asked: Asked) -> None:
    await gateway.frames(asked, pieces(SOUND, CHUNK_BYTES), end=False)
    await gateway.out(asked, bytes.fromhex("5647 0104 0300") + asked.turn.to_bytes(2, "little") + b"\x03\x00\xc0\x5d")
    await gateway.done(asked)


async def without_end(gateway: FakeGateway, asked: Asked) -> None:
    await gateway.frames(asked, pieces(SOUND, CHUNK_BYTES), end=False)


async def as_noise(gateway: FakeGateway, asked: Asked) -> None:
    await gateway.frames(asked, pieces(bytes(len(SOUND)), CHUNK_BYTES))
    await gateway.done(asked)


async def at_two_rates(gateway: FakeGateway, asked: Asked) -> None:
    other = Mp3Encoder(16_000, 48)
    sound = SOUND + other.feed(tone(0.2)) + other.finish()
    await gateway.frames(asked, pieces(sound, CHUNK_BYTES))
    await gateway.done(asked, sound)


async def silent_sound(gateway: FakeGateway, asked: Asked) -> None:
    encoder = Mp3Encoder(RATE, 48)
    sound = encoder.feed(Pcm(np.zeros(RATE // 2, np.int16), RATE)) + encoder.finish()
    await gateway.frames(asked, pieces(sound, CHUNK_BYTES))
    await gateway.done(asked, sound)


async def late(gateway: FakeGateway, asked: Asked) -> None:
    await asyncio.sleep(PATIENCE_S + 0.3)
    await well(gateway, asked)


async def never(gateway: FakeGateway, asked: Asked) -> None:
    """Leave the question alone."""


async def in_a_burst(gateway: FakeGateway, asked: Asked) -> None:
    sound = mp3_of(2.5)
    await gateway.frames(asked, pieces(sound, CHUNK_BYTES))
    await gateway.done(asked, sound)


async def starving(gateway: FakeGateway, asked: Asked) -> None:
    sound = mp3_of(0.8)
    half = len(sound) // 2
    await gateway.frames(asked, [sound[:half], sound[half:]], gap_s=0.7)
    await gateway.done(asked, sound, chunks=2)


async def refused(gateway: FakeGateway, asked: Asked) -> None:
    await gateway.event(asked, "error", code="busy", stage="stt", message="full", retryable=True)
    await gateway.frames(asked, pieces(SOUND, CHUNK_BYTES))
    await gateway.done(asked, outcome="failed")


@pytest.mark.parametrize(
    ("serve", "broken", "why"),
    [
        (too_large, {Check.FITS}, "bytes; 40"),
        (for_another_device, {Check.BELONGS}, "a frame of turn 0x4007, sim-test-002"),
        (of_another_session, {Check.BELONGS}, "an event of somebody"),
        (with_the_name_of_another, {Check.BELONGS}, "the name of sim-test-00"),
        (as_a_stray_message, {Check.BELONGS}, "1 messages that answer nothing"),
        (with_a_gap, {Check.COMPLETE}, "1 chunks are missing"),
        (in_disorder, {Check.COMPLETE}, "1 chunks came twice or out of order"),
        (shorter_than_told, {Check.COMPLETE}, "the gateway says that it sent 3"),
        (cancelled, {Check.COMPLETE}, "it was cancelled"),
        (as_noise, {Check.DECODABLE}, "byte 0 of"),
        (at_two_rates, {Check.DECODABLE}, "it has 16000 Hz at byte"),
        (silent_sound, {Check.DECODABLE}, "it is silence"),
        (late, {Check.IN_TIME}, "the first sound came after 1."),
        (never, {Check.IN_TIME}, "no audio"),
        (without_end, {Check.IN_TIME, Check.COMPLETE}, "no audio"),
        (in_a_burst, {Check.NEVER_OVERFULL}, "the device has room for 2300"),
        (starving, {Check.NEVER_DRY}, "ms, in 1 places"),
        (refused, {Check.ANSWERED}, "the turn is failed (busy)"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
async def test_a_gateway_that_answers(broker: Mosquitto, serve: Serve, broken: set[Check], why: str) -> None:
    async with FakeGateway(broker.url, serve):
        tally = await simulated(broker, seconds=0.3)
    assert set(tally.failed) == broken
    assert {failure.check for failure in tally.failures} == broken
    assert all(failure.device.startswith("sim-test-00") for failure in tally.failures)
    assert any(why in failure.why for failure in tally.failures), tally.failures
    assert not tally.ok


async def test_a_gateway_that_does_all_right_passes_every_check(broker: Mosquitto) -> None:
    async with FakeGateway(broker.url):
        tally = await simulated(broker, seconds=4.0)
    assert tally.ok, tally.failures
    assert all(tally.passed[check] for check in Check)
    assert tally.events["done"] == tally.answers == tally.outcomes["completed"]
    assert tally.connected == 0


async def test_a_name_that_was_told_is_asked_for(broker: Mosquitto) -> None:
    async with FakeGateway(broker.url, forgetful):
        tally = await simulated(broker, seconds=4.0)
    assert set(tally.failed) == {Check.BELONGS}
    asked_for = [f"its name is {name_of(index)}; asked for it, it hears “No me has dicho" for index in range(2)]
    assert any(text in tally.failures[0].why for text in asked_for)


async def test_of_a_chat_model_with_a_will_of_its_own_no_name_is_asked_for(broker: Mosquitto) -> None:
    async with FakeGateway(broker.url, forgetful, chat="openai"):
        tally = await simulated(broker, seconds=3.0)
    assert tally.ok, tally.failures


async def test_one_answer_that_never_comes_is_one_failure(broker: Mosquitto, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.simulator.simulated_device.BUFFER_MS", 500)
    answered: list[str] = []

    async def all_but_the_first_text(gateway: FakeGateway, asked: Asked) -> None:
        if "Me llamo" not in asked.text:
            answered.append(asked.text)
            await well(gateway, asked)

    async with FakeGateway(broker.url, all_but_the_first_text):
        tally = await simulated(broker, devices=1, seconds=3.5)
    assert "¿Cómo me llamo?" in answered
    assert [(failure.turn, failure.check) for failure in tally.failures] == [(None, Check.IN_TIME)]


async def test_a_slow_consumer_is_no_failure_and_the_others_do_not_notice_it(broker: Mosquitto) -> None:
    async def long(gateway: FakeGateway, asked: Asked) -> None:
        sound = mp3_of(1.9)
        await gateway.frames(asked, pieces(sound, CHUNK_BYTES))
        await gateway.done(asked, sound, chunks=len(pieces(sound, CHUNK_BYTES)))

    async with FakeGateway(broker.url, long):
        tally = await simulated(broker, slow_consumers=True, seconds=4.0)
    assert tally.ok, tally.failures
    assert tally.slow_answers >= 1
    assert tally.passed[Check.NEVER_DRY] == tally.answers - tally.slow_answers > 0


async def test_without_a_gateway_nothing_is_begun(broker: Mosquitto, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.simulator.watched_gateway.GATEWAY_S", 0.2)
    with pytest.raises(
        NothingCame, match=r"no gateway is online on mqtt://127.0.0.1.*voice/gateway/status says nothing"
    ):
        await simulated(broker)


async def test_without_a_broker_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.simulator.watched_gateway.CONNECT_S", 0.3)
    url = parse_broker_url(f"mqtt://127.0.0.1:{free_port()}")
    with pytest.raises(BrokerUnavailable, match="is the broker running there"):
        await Simulation(Plan(devices=1, seconds=1, run=RUN), url, [tone(0.1)], root_topic="voice").run()


async def test_a_broker_that_goes_away_is_no_success(broker: Mosquitto) -> None:
    async with FakeGateway(broker.url) as gateway:
        # Longer than a device waits for the answer that it no longer gets, so that it asks again.
        simulating = asyncio.create_task(simulated(broker, seconds=6.0))
        await gateway.until_answered()
        await broker.stop()
        tally = await simulating
    assert tally.not_asked > 0
    assert not tally.ok
    assert any("connection" in trouble for trouble in tally.troubles)


async def test_a_gateway_that_goes_away_is_named_even_if_it_comes_back(broker: Mosquitto) -> None:
    async def restart(gateway: FakeGateway, asked: Asked) -> None:
        await well(gateway, asked)
        if gateway.answered == 1:
            await gateway.status("offline")
            await gateway.status("online")

    async with FakeGateway(broker.url, restart):
        tally = await simulated(broker)
    assert tally.troubles == {"the gateway went away (voice/gateway/status): look at its log": 1}
    assert not tally.failures
    assert not tally.ok


async def test_what_ended_before_it_began_is_no_success() -> None:
    assert not Tally().ok
