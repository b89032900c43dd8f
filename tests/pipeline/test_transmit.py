import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import BrokerUnavailable
from gateway.pipeline.transmit import PREFERRED_CHUNK_BYTES, AudioPipe, Pacer, ReplyLimits, Transmitter
from gateway.values import ReplyForm
from gateway.wire.frame import Flag, FrameCodec, decode
from tests.fakes.virtual_time import in_virtual_time

KBPS = 48
BYTES_A_MS = KBPS / 8


class Device:
    """Receives messages as a board does, and knows what it holds at each moment."""

    def __init__(self) -> None:
        self.messages: list[bytes] = []
        self.arrived: list[float] = []
        self.most_held_ms = 0.0
        self.ran_dry_ms = 0.0
        self._held_ms = 0.0
        self._at = 0.0

    async def receive(self, payload: bytes) -> None:
        now = asyncio.get_running_loop().time()
        self.messages.append(payload)
        self.arrived.append(now)
        audio = len(payload) - 12 if payload[:2] == b"VG" else len(payload)
        left = self._held_ms - (now - self._at) * 1000
        if len(self.messages) > 1 and left < -1:
            self.ran_dry_ms -= left
        self._held_ms = max(0.0, left) + audio / BYTES_A_MS
        self._at = now
        self.most_held_ms = max(self.most_held_ms, self._held_ms)


def limits(payload: int | None = 4096, buffer_ms: int = 3000) -> ReplyLimits:
    return ReplyLimits(payload=payload, buffer_ms=buffer_ms, rate=24000, bitrate_kbps=KBPS)


async def send(
    device: Device,
    form: ReplyForm,
    audio: list[bytes],
    reply_limits: ReplyLimits,
    *,
    turn: int = 7,
    every_s: float = 0.0,
) -> Transmitter:
    transmitter = Transmitter(device.receive, form, turn, reply_limits, asyncio.get_running_loop().time)
    pipe = AudioPipe()

    async def produce() -> None:
        for block in audio:
            await pipe.put(block)
            await asyncio.sleep(every_s)
        pipe.close()

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(transmitter.run(pipe, lambda: None))
        tasks.create_task(produce())
    return transmitter


def mp3(seconds: float) -> bytes:
    size = int(seconds * 1000 * BYTES_A_MS)
    return bytes(i % 251 for i in range(size))


@in_virtual_time
async def test_the_first_audio_leaves_while_its_maker_works_on() -> None:
    device = Device()
    transmitter = Transmitter(device.receive, ReplyForm.FRAMES, 7, limits(), asyncio.get_running_loop().time)
    pipe = AudioPipe()
    sending = asyncio.create_task(transmitter.run(pipe, lambda: None))
    await asyncio.sleep(0)
    # A voice that has everything ready never waits between two blocks.
    had_arrived = []
    for block in [mp3(0.25)] * 8:
        await pipe.put(block)
        had_arrived.append(len(device.messages))
    pipe.close()
    await sending
    assert had_arrived[1] == 1


@in_virtual_time
async def test_frames_are_numbered_begin_with_start_and_end_with_end() -> None:
    device, audio = Device(), mp3(10)
    transmitter = await send(device, ReplyForm.FRAMES, [audio], limits())
    frames = [decode(message) for message in device.messages]
    assert [frame.seq for frame in frames] == list(range(len(frames)))
    assert [bool(frame.flags & Flag.START) for frame in frames] == [True] + [False] * (len(frames) - 1)
    assert [bool(frame.flags & Flag.END) for frame in frames] == [False] * (len(frames) - 1) + [True]
    assert {(frame.turn, frame.codec, frame.rate) for frame in frames} == {(7, FrameCodec.MP3, 24000)}
    assert b"".join(frame.audio for frame in frames) == audio
    assert transmitter.bytes == len(audio)


@in_virtual_time
async def test_a_stream_is_bare_audio_and_then_one_empty_message() -> None:
    device, audio = Device(), mp3(5)
    await send(device, ReplyForm.STREAM, [audio], limits())
    assert b"".join(device.messages) == audio
    assert [index for index, message in enumerate(device.messages) if not message] == [len(device.messages) - 1]


@in_virtual_time
async def test_a_reply_in_one_message_is_not_paced() -> None:
    device, audio = Device(), mp3(60)
    await send(device, ReplyForm.MESSAGE, [audio[:100_000], audio[100_000:]], limits(payload=None))
    assert device.messages == [audio]
    assert device.arrived == [0.0]


@in_virtual_time
async def test_a_reply_too_large_for_one_message_comes_as_a_stream_of_messages_that_fit() -> None:
    device, audio = Device(), mp3(5)
    await send(device, ReplyForm.MESSAGE, [audio], limits(payload=1000))
    assert max(map(len, device.messages)) <= 1000
    assert b"".join(device.messages) == audio
    assert device.messages[-1] == b""


@in_virtual_time
async def test_a_reply_without_audio_still_ends() -> None:
    framed, bare, whole = Device(), Device(), Device()
    await send(framed, ReplyForm.FRAMES, [], limits())
    await send(bare, ReplyForm.STREAM, [], limits())
    await send(whole, ReplyForm.MESSAGE, [], limits())
    assert [decode(message).flags for message in framed.messages] == [Flag.START | Flag.END]
    assert bare.messages == [b""]
    assert whole.messages == []


@pytest.mark.parametrize("form", [ReplyForm.FRAMES, ReplyForm.STREAM])
@pytest.mark.parametrize("payload", [44, 64, 229, 1036, 65_000])
@pytest.mark.parametrize("buffer_ms", [100, 500, 3000])
def test_no_message_is_too_large_and_the_buffer_is_neither_overfilled_nor_empty(
    form: ReplyForm, payload: int, buffer_ms: int
) -> None:
    @in_virtual_time
    async def check() -> None:
        device, audio = Device(), mp3(4)
        await send(device, form, [audio[i : i + 700] for i in range(0, len(audio), 700)], limits(payload, buffer_ms))
        assert max(map(len, device.messages)) <= payload
        assert device.most_held_ms <= buffer_ms
        assert device.ran_dry_ms == 0
        # It keeps up: the last audio leaves a buffer's length before it is played.
        assert device.arrived[-1] <= 4.0 - buffer_ms * 0.4 / 1000

    check()


@in_virtual_time
async def test_a_device_that_takes_only_crumbs_gets_the_end_and_no_audio() -> None:
    framed, bare = Device(), Device()
    await send(framed, ReplyForm.FRAMES, [mp3(3)], limits(payload=43))
    await send(bare, ReplyForm.STREAM, [mp3(3)], limits(payload=31))
    assert [decode(message).flags for message in framed.messages] == [Flag.START | Flag.END]
    assert bare.messages == [b""]


@in_virtual_time
async def test_audio_that_comes_slowly_is_sent_before_the_device_runs_dry() -> None:
    device = Device()
    blocks = [mp3(0.1)] * 40
    await send(device, ReplyForm.FRAMES, blocks, limits(), every_s=0.09)
    assert device.ran_dry_ms == 0


@in_virtual_time
async def test_the_first_audio_leaves_at_once_and_full_chunks_follow() -> None:
    device = Device()
    await send(device, ReplyForm.STREAM, [mp3(0.06), mp3(3)], limits(payload=None), every_s=0.01)
    assert len(device.messages[0]) == len(mp3(0.06))
    assert len(device.messages[1]) == PREFERRED_CHUNK_BYTES


@in_virtual_time
async def test_stopping_tells_the_device_to_flush_or_lets_it_play_out() -> None:
    for flush, flag in ((True, Flag.CANCEL), (False, Flag.END)):
        device = Device()
        transmitter = Transmitter(device.receive, ReplyForm.FRAMES, 9, limits(), asyncio.get_running_loop().time)
        pipe = AudioPipe()
        await pipe.put(mp3(2))
        task = asyncio.create_task(transmitter.run(pipe, lambda: None))
        await asyncio.sleep(0.1)
        task.cancel()
        await asyncio.wait({task})
        await transmitter.stop(flush=flush)
        await transmitter.stop(flush=flush)
        last = decode(device.messages[-1])
        assert (last.flags, last.turn, last.seq, last.audio) == (flag, 9, len(device.messages) - 1, b"")
        assert [decode(message).flags & flag for message in device.messages[:-1]] == [0] * (len(device.messages) - 1)


@in_virtual_time
async def test_stopping_before_anything_was_sent_still_ends_the_reply() -> None:
    for form, ending in ((ReplyForm.STREAM, [b""]), (ReplyForm.MESSAGE, [])):
        device = Device()
        transmitter = Transmitter(device.receive, form, 9, limits(), asyncio.get_running_loop().time)
        await transmitter.stop(flush=True)
        assert device.messages == ending


@in_virtual_time
async def test_what_a_device_says_it_played_is_found_by_its_seq() -> None:
    device = Device()
    transmitter = await send(device, ReplyForm.FRAMES, [mp3(4)], limits(payload=612))
    assert transmitter.played_ms(0) == pytest.approx(600 / BYTES_A_MS)
    assert transmitter.played_ms(9) == pytest.approx(6000 / BYTES_A_MS)
    assert transmitter.played_ms(60_000) == pytest.approx(transmitter.sent_ms)


@in_virtual_time
async def test_a_broker_that_goes_away_is_raised_to_the_turn() -> None:
    async def publish(payload: bytes) -> None:
        raise BrokerUnavailable("gone")

    transmitter = Transmitter(publish, ReplyForm.FRAMES, 9, limits(), asyncio.get_running_loop().time)
    pipe = AudioPipe()
    await pipe.put(mp3(1))
    with pytest.raises(BrokerUnavailable):
        await transmitter.run(pipe, lambda: None)


@in_virtual_time
async def test_synthesis_waits_when_far_more_is_made_than_can_be_sent() -> None:
    pipe = AudioPipe(limit=1000)
    await pipe.put(bytes(1000))
    waiting = asyncio.create_task(pipe.put(b"more"))
    await asyncio.sleep(1)
    assert not waiting.done()
    pipe.take(500)
    await waiting
    assert len(pipe) == 504


@given(
    buffer_ms=st.integers(100, 5000),
    steps=st.lists(st.tuples(st.floats(0, 3), st.floats(1, 45)), max_size=50),
)
def test_the_pacer_never_holds_more_than_the_buffer(buffer_ms: int, steps: list[tuple[float, float]]) -> None:
    pacer = Pacer(buffer_ms)
    now = 0.0
    for pause, chunk_ms in steps:
        now += pause
        now += pacer.wait_s(now, chunk_ms)
        pacer.sent(now, chunk_ms)
        assert pacer.held_ms(now) <= buffer_ms
