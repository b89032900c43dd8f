import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import numpy as np
import pytest

from gateway.audio import Pcm
from gateway.errors import EngineFailed
from gateway.pipeline.ahead import HELD_MAX_BYTES, Synthesis, one_ahead
from tests.fakes.engines import ScriptedTts, Step

BLOCK = Pcm(np.full(2400, 5000, np.int16), 24_000)


async def texts(*pieces: str | Exception, more: asyncio.Event | None = None) -> AsyncGenerator[str]:
    """Each of `pieces`, then nothing until `more`."""
    for piece in pieces:
        if isinstance(piece, Exception):
            raise piece
        yield piece
    if more is not None:
        await more.wait()


class Voice:
    """A voice of which each call plays its own script, and the syntheses that it was asked for."""

    def __init__(self, *answers: list[Step[Pcm]]) -> None:
        self.tts = ScriptedTts("voice", *answers)

    def begin(self, text: str) -> Synthesis:
        return Synthesis(text, self.tts.speak(text, "es"), f"voice {text}")


async def spoken(synthesis: Synthesis) -> int:
    return len([block async for block in synthesis.blocks()])


async def until_asked(voice: Voice, calls: int) -> None:
    async with asyncio.timeout(5):
        while voice.tts.calls < calls:
            voice.tts.asked.clear()
            await voice.tts.asked.wait()


async def test_the_next_piece_is_asked_for_while_the_one_before_is_still_made() -> None:
    first = asyncio.Event()
    voice = Voice([BLOCK, first, BLOCK], [BLOCK])
    async with aclosing(one_ahead(texts("one", "two", "three"), voice.begin, "ahead")) as syntheses:
        one = await anext(syntheses)
        blocks = one.blocks()
        await anext(blocks)
        await until_asked(voice, 2)
        assert voice.tts.texts == ["one", "two"]
        first.set()
        assert await anext(blocks) is BLOCK
        await blocks.aclose()
        two = await anext(syntheses)
        await until_asked(voice, 3)
        assert (one.text, two.text) == ("one", "two")
        assert await spoken(two) == 1


async def test_pieces_come_in_order_even_if_a_later_one_is_ready_first() -> None:
    slow = asyncio.Event()
    voice = Voice([slow, BLOCK], [BLOCK, BLOCK])
    heard = []
    async with aclosing(one_ahead(texts("one", "two"), voice.begin, "ahead")) as syntheses:
        async for synthesis in syntheses:
            if synthesis.text == "one":
                await until_asked(voice, 2)
                slow.set()
            heard.append((synthesis.text, await spoken(synthesis)))
    assert heard == [("one", 1), ("two", 2)]


async def test_a_piece_is_begun_as_soon_as_its_text_is_there() -> None:
    voice = Voice([BLOCK])
    async with aclosing(one_ahead(texts("one", more=asyncio.Event()), voice.begin, "ahead")) as syntheses:
        async with asyncio.timeout(5):
            assert await spoken(await anext(syntheses)) == 1


async def test_a_failure_is_told_when_its_turn_comes() -> None:
    voice = Voice([BLOCK, BLOCK], [EngineFailed("no more")])
    heard = []

    async def listen() -> None:
        async with aclosing(one_ahead(texts("one", "two"), voice.begin, "ahead")) as syntheses:
            async for synthesis in syntheses:
                await until_asked(voice, 2)
                heard.append(await spoken(synthesis))

    with pytest.raises(EngineFailed, match="no more"):
        await listen()
    assert heard == [2]


async def test_what_the_text_breaks_off_with_comes_after_what_was_written() -> None:
    voice = Voice([BLOCK])
    heard = []

    async def listen() -> None:
        broken = texts("one", ValueError("the model broke off"))
        async with aclosing(one_ahead(broken, voice.begin, "ahead")) as syntheses:
            async for synthesis in syntheses:
                heard.append(await spoken(synthesis))

    with pytest.raises(ValueError, match="the model broke off"):
        await listen()
    assert heard == [1]


async def test_to_stop_ends_every_synthesis() -> None:
    voice = Voice([BLOCK, asyncio.Event()])

    async def listen() -> None:
        async with aclosing(one_ahead(texts("one", "two", "three"), voice.begin, "ahead")) as syntheses:
            async for synthesis in syntheses:
                await spoken(synthesis)

    listening = asyncio.create_task(listen())
    await until_asked(voice, 2)
    assert voice.tts.running == 2
    listening.cancel()
    await asyncio.wait({listening})
    assert listening.cancelled()
    assert voice.tts.running == 0
    assert voice.tts.calls == 2


async def test_a_voice_waits_when_nobody_takes_its_audio() -> None:
    made = 0
    block = Pcm(np.zeros(48_000, np.int16), 24_000)
    full = asyncio.Event()

    async def endless() -> AsyncGenerator[Pcm]:
        nonlocal made
        while True:
            made += 1
            if made * block.samples.nbytes >= HELD_MAX_BYTES:
                full.set()
            yield block

    synthesis = Synthesis("more", endless(), "endless")
    async with asyncio.timeout(5):
        await full.wait()
        limit = made
        blocks = synthesis.blocks()
        for _ in range(50):
            await anext(blocks)
    # Each block taken makes room for one.
    assert made <= limit + 51
    await blocks.aclose()
    await synthesis.close()
