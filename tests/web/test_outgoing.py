"""What a browser that talks is sent, when it does not keep up."""

import asyncio
import json

from gateway.web.outgoing import WAITING_MAX, Outgoing


async def test_sound_that_nobody_wants_any_more_is_not_sent_and_what_was_told_is() -> None:
    outgoing = Outgoing()
    await outgoing.tell({"type": "audio", "turn": 1})
    for _ in range(3):
        await outgoing.play(bytes(8))
    await outgoing.tell({"type": "event"})
    outgoing.cut_off({"type": "audio_end", "turn": 1})
    await outgoing.tell({"type": "audio", "turn": 2})
    await outgoing.play(b"new")
    sent = [await outgoing.next() for _ in range(5)]
    assert [json.loads(each)["type"] for each in sent[:4]] == ["audio", "event", "audio_end", "audio"]
    assert sent[4] == b"new"


async def test_whoever_has_more_to_send_than_is_taken_waits() -> None:
    outgoing = Outgoing()
    for _ in range(WAITING_MAX):
        await outgoing.play(b"x")
    one_more = asyncio.create_task(outgoing.play(b"last"))
    await asyncio.sleep(0)
    assert not one_more.done()
    assert await outgoing.next() == b"x"
    async with asyncio.timeout(10):
        await one_more
    rest = [await outgoing.next() for _ in range(WAITING_MAX)]
    assert rest[-1] == b"last"
