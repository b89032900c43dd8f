"""The software device against the other end of the wire, over a real broker."""

import asyncio
import json
import time
from collections.abc import AsyncIterator

import numpy as np
import pytest

from gateway.device import Ended, SoftwareDevice
from gateway.errors import BrokerUnavailable, NothingCame
from gateway.values import Codec, ReplyForm
from gateway.wire import adpcm
from gateway.wire.frame import Flag, FrameCodec
from gateway.wire.topics import Leaf
from tests.device.peer import TIMEOUT_S, Peer, mp3_of, tone
from tests.fakes.mosquitto import Mosquitto, free_port

SPELLING = "A4:CF:12:8B:3F:9E"


@pytest.fixture
async def broker() -> AsyncIterator[Mosquitto]:
    async with Mosquitto() as running:
        yield running


@pytest.fixture
async def peer(broker: Mosquitto) -> AsyncIterator[Peer]:
    async with Peer(broker.url, SPELLING) as running:
        yield running


@pytest.fixture
async def device(broker: Mosquitto, peer: Peer) -> AsyncIterator[SoftwareDevice]:
    async with SoftwareDevice(broker.url, SPELLING) as running:
        yield running


# Presence


async def test_it_says_that_it_is_there_what_it_is_and_that_it_goes(broker: Mosquitto, peer: Peer) -> None:
    async with SoftwareDevice(broker.url, SPELLING, hello={"v": 1, "name": "Cocina"}):
        assert await peer.next(Leaf.ONLINE) == b"online"
        assert json.loads(await peer.next(Leaf.HELLO)) == {"v": 1, "name": "Cocina"}
    assert await peer.next(Leaf.ONLINE) == b"offline"
    async with Peer(broker.url, SPELLING) as later:
        kept = {leaf: payload for leaf, payload, _ in [await later.arrived.get(), await later.arrived.get()]}
    assert kept.keys() == {Leaf.ONLINE, Leaf.HELLO}


async def test_a_hello_that_is_not_retained_leaves_nothing_on_the_broker(broker: Mosquitto) -> None:
    async with SoftwareDevice(broker.url, SPELLING, hello={"v": 1}, hello_retained=False):
        pass
    async with Peer(broker.url, SPELLING) as later:
        assert await later.arrived.get() == (Leaf.ONLINE, b"offline", True)
        await asyncio.wait_for(later.state(b"{}"), TIMEOUT_S)
        assert later.arrived.empty()


async def test_it_is_there_again_after_the_broker_was_away(broker: Mosquitto) -> None:
    async with SoftwareDevice(broker.url, SPELLING):
        await broker.stop()
        await broker.start()
        async with Peer(broker.url, SPELLING) as later:
            while await later.next(Leaf.ONLINE) != b"online":
                pass


async def test_without_a_broker_it_says_what_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.device.software_device.CONNECT_TIMEOUT_S", 0.3)
    with pytest.raises(BrokerUnavailable, match="is the broker running there"):
        await SoftwareDevice(f"mqtt://127.0.0.1:{free_port()}", SPELLING).start()


# Speaking


async def test_an_utterance_goes_out_in_frames_that_put_together_are_it(device: SoftwareDevice, peer: Peer) -> None:
    speech = tone(0.5)
    exchange = await device.speak(speech, chunk_ms=60, paced=False)
    frames = await peer.utterance()
    assert exchange.turn == 1
    assert [frame.seq for frame in frames] == list(range(9))
    assert [frame.flags for frame in frames] == [Flag.START, *[Flag.NONE] * 7, Flag.END]
    assert {(frame.turn, frame.codec, frame.rate) for frame in frames} == {(1, FrameCodec.PCM, 16_000)}
    assert b"".join(frame.audio for frame in frames) == speech.samples.tobytes()
    assert (await device.speak(speech, paced=False)).turn == 2


async def test_adpcm_frames_hold_the_same_sound_in_a_quarter_of_the_bytes(device: SoftwareDevice, peer: Peer) -> None:
    speech = tone(0.5)
    await device.speak(speech, codec=Codec.ADPCM, paced=False)
    frames = await peer.utterance()
    heard = np.concatenate([adpcm.decode(frame.audio) for frame in frames])
    assert len(heard) == len(speech.samples)
    # After the first samples, in which the step grows to the signal.
    assert np.abs(heard[200:].astype(int) - speech.samples[200:]).max() < 800


@pytest.mark.parametrize("chunk_ms", [20, 60])
async def test_opus_frames_are_one_packet_each_of_the_length_asked_for(
    device: SoftwareDevice, peer: Peer, chunk_ms: int
) -> None:
    from gateway.wire import opus

    await device.speak(tone(0.5), codec=Codec.OPUS, chunk_ms=chunk_ms, paced=False)
    frames = await peer.utterance()
    assert len(frames) == -(-500 // chunk_ms)
    assert {opus.samples(frame.audio, 16_000) for frame in frames} == {16 * chunk_ms}


async def test_what_cannot_be_framed_is_refused(device: SoftwareDevice) -> None:
    with pytest.raises(ValueError, match="60 ms"):
        device.begin(codec=Codec.OPUS, chunk_ms=50)
    with pytest.raises(ValueError, match="not file"):
        device.begin(codec=Codec.FILE)


async def test_a_paced_utterance_takes_as_long_as_it_is(device: SoftwareDevice, peer: Peer) -> None:
    began = time.monotonic()
    await device.speak(tone(0.3), chunk_ms=50)
    assert 0.3 <= time.monotonic() - began < 1.5


async def test_a_link_loses_repeats_and_reorders_what_it_is_told_to(device: SoftwareDevice, peer: Peer) -> None:
    await device.speak(tone(0.3), chunk_ms=60, paced=False, link=lambda sent: [sent[1], sent[0], *sent[0:1], sent[4]])
    assert [frame.seq for frame in await peer.utterance()] == [1, 0, 0, 4]


async def test_a_paced_utterance_is_held_up_as_the_link_says(device: SoftwareDevice, peer: Peer) -> None:
    began = time.monotonic()
    delays = iter([0.0, 0.3, 0.0])
    await device.speak(tone(0.15), chunk_ms=50, delay=lambda: next(delays))
    assert 0.4 <= time.monotonic() - began < 1.5
    assert [frame.seq for frame in await peer.utterance()] == [0, 1, 2]


async def test_an_utterance_can_be_sent_bit_by_bit_and_taken_back(device: SoftwareDevice, peer: Peer) -> None:
    utterance = device.begin()
    await utterance.send(tone(0.06).samples)
    await utterance.send(tone(0.06).samples)
    await utterance.end()
    assert [(frame.seq, frame.flags) for frame in await peer.utterance()] == [
        (0, Flag.START),
        (1, Flag.NONE),
        (2, Flag.END),
    ]
    second = device.begin()
    await second.send(tone(0.06).samples)
    await second.cancel()
    assert [(frame.turn, frame.flags) for frame in await peer.utterance()] == [(2, Flag.START), (2, Flag.CANCEL)]


async def test_raw_samples_end_with_an_empty_message_unless_it_is_left_out(device: SoftwareDevice, peer: Peer) -> None:
    speech = tone(0.1)
    await device.speak_raw(speech, paced=False)
    assert b"".join([await peer.next(Leaf.IN), await peer.next(Leaf.IN)]) == speech.samples.tobytes()
    assert await peer.next(Leaf.IN) == b""
    await device.speak_raw(speech, paced=False, end=False)
    await device.publish(Leaf.IN, b"after")
    assert [len(await peer.next(Leaf.IN)) for _ in range(3)] == [1920, 1280, 5]


async def test_files_go_whole_or_in_parts(device: SoftwareDevice, peer: Peer) -> None:
    await device.speak_file(b"RIFF" + bytes(9000))
    assert len(await peer.next(Leaf.IN)) == 9004
    await device.speak_wav(b"RIFF" + bytes(9000), chunk_bytes=4000)
    assert [len(await peer.next(Leaf.IN)) for _ in range(3)] == [4000, 4000, 1004]


async def test_texts_and_control_are_json(device: SoftwareDevice, peer: Peer) -> None:
    await device.ask("¿Qué hora es?")
    assert json.loads(await peer.next(Leaf.ASK)) == {"text": "¿Qué hora es?"}
    await device.say("Good night", "en")
    assert json.loads(await peer.next(Leaf.SAY)) == {"text": "Good night", "language": "en"}
    await device.abort()
    await device.forget()
    await device.played(7, 41)
    await device.played(7, 42, end=True)
    assert [json.loads(await peer.next(Leaf.CONTROL)) for _ in range(4)] == [
        {"type": "abort"},
        {"type": "forget"},
        {"type": "played", "turn": 7, "seq": 41},
        {"type": "played", "turn": 7, "seq": 42, "end": True},
    ]


# Listening


async def test_a_framed_reply_is_put_together_with_its_times(device: SoftwareDevice, peer: Peer) -> None:
    exchange = await device.speak(tone(0.1), paced=False)
    mp3 = mp3_of(1.0)
    await peer.frame(1, 0, mp3[:3000])
    await peer.frame(1, 1, mp3[3000:], Flag.END)
    reply = await exchange.reply(TIMEOUT_S)
    assert (reply.turn, reply.form, reply.ended, reply.mp3) == (1, ReplyForm.FRAMES, Ended.END, mp3)
    assert [(chunk.seq, chunk.size) for chunk in reply.chunks] == [(0, 3000), (1, len(mp3) - 3000)]
    assert reply.largest_message == max(3000, len(mp3) - 3000) + 12
    assert reply.started_after_s is not None
    assert reply.ended_after_s is not None
    assert 0 < reply.started_after_s <= reply.ended_after_s
    assert reply.playback.audio_ms == pytest.approx(len(mp3) / 6)


async def test_an_end_may_be_empty_and_a_cancel_ends_too(device: SoftwareDevice, peer: Peer) -> None:
    exchange = await device.speak(tone(0.1), paced=False)
    await peer.frame(1, 0, mp3_of(0.2))
    await peer.frame(1, 1, b"", Flag.END)
    reply = await exchange.reply(TIMEOUT_S)
    assert (len(reply.chunks), reply.ended) == (1, Ended.END)
    exchange = await device.speak(tone(0.1), paced=False)
    await peer.frame(2, 0, mp3_of(0.2))
    await peer.frame(2, 1, b"", Flag.CANCEL)
    assert (await exchange.reply(TIMEOUT_S)).ended is Ended.CANCELLED


async def test_lost_and_repeated_frames_are_counted(device: SoftwareDevice, peer: Peer) -> None:
    exchange = await device.speak(tone(0.1), paced=False)
    for seq in (0, 0, 3, 2, 4):
        await peer.frame(1, seq, b"\xff" * 10, Flag.END if seq == 4 else Flag.NONE)
    reply = await exchange.reply(TIMEOUT_S)
    assert (reply.lost, reply.duplicate) == (2, 2)


async def test_after_barge_in_the_old_reply_is_stale_and_its_end_still_known(
    device: SoftwareDevice, peer: Peer
) -> None:
    first = await device.speak(tone(0.1), paced=False)
    await peer.frame(1, 0, b"old")
    async for chunk in first.chunks(TIMEOUT_S):
        assert chunk.audio == b"old"
        break
    second = await device.speak(tone(0.1), paced=False)
    await peer.frame(1, 1, b"stale")
    await peer.frame(1, 2, b"", Flag.CANCEL)
    await peer.frame(2, 0, b"new", Flag.END)
    assert (await second.reply(TIMEOUT_S)).mp3 == b"new"
    old = await first.reply(TIMEOUT_S)
    assert (old.mp3, old.ended, device.downlink.stale) == (b"old", Ended.CANCELLED, 1)
    await peer.frame(900, 0, b"nobody's")
    await peer.out(b"VG\x02\x00\x03\x00broken frame")
    await peer.event("listening", 3)
    await device.event("listening", TIMEOUT_S)
    assert (device.downlink.stale, device.downlink.malformed) == (2, 1)
    assert list(device.downlink.unknown_turns) == [900]


async def test_a_raw_question_is_answered_by_messages_to_the_empty_one(device: SoftwareDevice, peer: Peer) -> None:
    exchange = await device.speak_raw(tone(0.1), paced=False)
    await peer.event("listening", 0x8001)
    await peer.out(b"one")
    await peer.out(b"two")
    await peer.out(b"")
    await peer.event("done", 0x8001, outcome="completed", chunks=2, bytes=6)
    reply = await exchange.reply(TIMEOUT_S)
    assert (reply.form, reply.mp3, reply.ended) == (ReplyForm.STREAM, b"onetwo", Ended.END)
    assert (await exchange.done(TIMEOUT_S))["bytes"] == 6
    assert exchange.turn == 0x8001


async def test_a_raw_reply_without_its_empty_message_has_not_ended(device: SoftwareDevice, peer: Peer) -> None:
    exchange = await device.speak_raw(tone(0.1), paced=False)
    await peer.event("listening", 0x8001)
    await peer.out(b"one")
    await peer.event("done", 0x8001, outcome="completed", chunks=1, bytes=3)
    await exchange.done(TIMEOUT_S)
    with pytest.raises(NothingCame, match=r"no end of the reply \(turn 0x8001; events: listening, done; 1 chunks"):
        await exchange.reply(0.05)


async def test_a_file_is_answered_by_one_message(device: SoftwareDevice, peer: Peer) -> None:
    exchange = await device.speak_file(b"RIFF")
    await peer.event("listening", 0x8001)
    await peer.out(b"whole")
    await peer.event("done", 0x8001, outcome="completed", chunks=1, bytes=5)
    reply = await exchange.reply(TIMEOUT_S)
    assert (reply.form, reply.mp3, reply.ended) == (ReplyForm.MESSAGE, b"whole", Ended.END)
    await peer.out(b"")
    await peer.event("error", None, code="busy")
    assert (await device.event("error", TIMEOUT_S, code="busy"))["turn"] is None
    assert device.downlink.stray == 1


async def test_an_interrupted_raw_reply_and_the_next_are_told_apart(device: SoftwareDevice, peer: Peer) -> None:
    first = await device.speak_raw(tone(0.1), paced=False)
    await peer.event("listening", 0x8001)
    await peer.out(b"old")
    second = await device.speak_raw(tone(0.1), paced=False)
    await peer.out(b"")
    await peer.event("listening", 0x8002)
    await peer.out(b"new")
    await peer.out(b"")
    assert [(await each.reply(TIMEOUT_S)).mp3 for each in (first, second)] == [b"old", b"new"]
    await peer.event("done", 0x8002, outcome="completed")
    await second.done(TIMEOUT_S)
    assert [first.turn, second.turn] == [0x8001, 0x8002]


async def test_what_is_interrupted_before_a_word_is_unanswered(device: SoftwareDevice, peer: Peer) -> None:
    exchange = await device.speak_raw(tone(0.1), paced=False)
    await peer.event("listening", 0x8001)
    await peer.event("done", 0x8001, outcome="interrupted", chunks=0, bytes=0)
    reply = await exchange.reply(TIMEOUT_S)
    assert (reply.ended, reply.chunks) == (Ended.UNANSWERED, ())


@pytest.mark.parametrize("framed", [True, False])
async def test_a_text_is_answered_in_whatever_form_comes(device: SoftwareDevice, peer: Peer, framed: bool) -> None:
    exchange = await device.ask("hello")
    if framed:
        await peer.frame(0x9000, 0, b"answer", Flag.END)
    else:
        await peer.event("sentence", 0x9000, index=0, text="answer")
        await peer.out(b"answer")
    await peer.event("done", 0x9000, outcome="completed", chunks=1, bytes=6)
    reply = await exchange.reply(TIMEOUT_S)
    assert (reply.mp3, reply.turn) == (b"answer", 0x9000)
    assert reply.form is (ReplyForm.FRAMES if framed else ReplyForm.MESSAGE)


async def test_what_others_have_said_on_it_is_an_announcement(device: SoftwareDevice, peer: Peer) -> None:
    await peer.event("sentence", 0xFFFF, index=0, text="ding")
    await peer.frame(0xFFFF, 0, b"ding", Flag.END)
    announced = await device.announcement(TIMEOUT_S)
    assert (await announced.reply(TIMEOUT_S)).mp3 == b"ding"
    # The gateway's numbers go round: 0x8000 is newer, and 0xFFFE is old by now.
    await peer.frame(0xFFFE, 0, b"late", Flag.END)
    await peer.frame(0x8000, 0, b"dong", Flag.END)
    announced = await device.announcement(TIMEOUT_S)
    assert (await announced.reply(TIMEOUT_S)).mp3 == b"dong"
    assert device.downlink.stale == 1


async def test_events_and_state_are_waited_for(device: SoftwareDevice, peer: Peer) -> None:
    exchange = await device.speak(tone(0.1), paced=False)
    waiting = asyncio.create_task(exchange.event("transcript", TIMEOUT_S))
    await peer.event("sentence", 1, index=0, text="one")
    await peer.event("sentence", 1, index=1, text="two")
    await peer.event("transcript", 1, text="heard")
    assert (await waiting)["text"] == "heard"
    assert (await exchange.event("sentence", TIMEOUT_S, index=1))["text"] == "two"
    await peer.state(b'{"state": "idle"}')
    assert await device.wait_state("idle", TIMEOUT_S) == {"state": "idle"}
    with pytest.raises(NothingCame, match="no state speaking"):
        await device.wait_state("speaking", 0.01)
    await peer.state(b"not json")
    await peer.state(b'{"state": "speaking"}')
    await device.wait_state("speaking", TIMEOUT_S)
    assert device.malformed_events == 1


async def test_nothing_that_comes_is_said_with_what_did_come(device: SoftwareDevice, peer: Peer) -> None:
    exchange = await device.speak(tone(0.1), paced=False)
    await peer.event("listening", 1)
    await exchange.event("listening", TIMEOUT_S)
    with pytest.raises(NothingCame, match=r"no end of the reply \(turn 0x0001; events: listening; 0 chunks, 0 bytes"):
        await exchange.reply(0.05)
    with pytest.raises(NothingCame, match="no audio"):
        await anext(exchange.chunks(0.05))


async def test_what_would_have_been_heard_is_reported_when_asked_for(broker: Mosquitto, peer: Peer) -> None:
    async with SoftwareDevice(broker.url, SPELLING, report_played=True) as device:
        await device.speak(tone(0.1), paced=False)
        mp3 = mp3_of(0.3)
        began = time.monotonic()
        await peer.frame(1, 0, mp3[:900])
        await peer.frame(1, 1, mp3[900:])
        await peer.frame(1, 2, b"", Flag.END)
        assert json.loads(await peer.next(Leaf.CONTROL)) == {"type": "played", "turn": 1, "seq": 0}
        assert time.monotonic() - began >= 0.15
        assert json.loads(await peer.next(Leaf.CONTROL)) == {"type": "played", "turn": 1, "seq": 1, "end": True}
        assert time.monotonic() - began >= len(mp3) / 6000
        await device.abort()
        assert json.loads(await peer.next(Leaf.CONTROL)) == {"type": "abort"}


async def test_what_is_not_heard_to_its_end_is_not_reported(broker: Mosquitto, peer: Peer) -> None:
    async with SoftwareDevice(broker.url, SPELLING, report_played=True) as device:
        first = await device.speak(tone(0.1), paced=False)
        await peer.frame(1, 0, mp3_of(0.2))
        async for _ in first.chunks(TIMEOUT_S):
            break
        await device.speak(tone(0.1), paced=False)
        await peer.frame(2, 0, mp3_of(0.4), Flag.END)
        assert json.loads(await peer.next(Leaf.CONTROL)) == {"type": "played", "turn": 2, "seq": 0, "end": True}


async def test_the_events_of_a_turn_can_be_followed_to_its_end(device: SoftwareDevice, peer: Peer) -> None:
    exchange = await device.speak(tone(0.1), paced=False)
    for kind in ("listening", "transcript", "done", "late"):
        await peer.event(kind, 1)
    assert [event["event"] async for event in exchange.each_event(TIMEOUT_S)] == ["listening", "transcript", "done"]
    other = await device.speak(tone(0.1), paced=False)
    with pytest.raises(NothingCame, match="no further event"):
        await anext(other.each_event(0.01))
