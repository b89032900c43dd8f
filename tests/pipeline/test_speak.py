import asyncio
import io
from collections.abc import Sequence

import numpy as np
import pytest
import soundfile

from gateway.audio import Pcm
from gateway.engines.chain import TtsChain
from gateway.engines.encoder import Mp3Encoder
from gateway.errors import EngineFailed, StageFailed
from gateway.pipeline.speak import ReplyAudio
from gateway.pipeline.transmit import AudioPipe
from tests.fakes.engines import ScriptedTts, Step

RATE = 24_000
BROKEN = EngineFailed("it broke off")


def tone(ms: int, pitch: float = 440.0) -> Pcm:
    at = np.arange(RATE * ms // 1000) / RATE
    return Pcm((8000 * np.sin(2 * np.pi * pitch * at)).astype(np.int16), RATE)


def silence(ms: int) -> Pcm:
    return Pcm(np.zeros(RATE * ms // 1000, np.int16), RATE)


class Reply:
    """The audio of one reply, by a voice that does `steps` for every piece, or from the second on `then`."""

    def __init__(self, *steps: Step[Pcm], then: Sequence[Step[Pcm]] | None = None) -> None:
        voice = ScriptedTts("voice", steps, steps if then is None else then)
        chain = TtsChain([voice], timeout_s=15, rest_s=30, cache_bytes=0)
        self.firsts = 0
        self.pipe = AudioPipe()
        self.audio = ReplyAudio(chain, Mp3Encoder(RATE, 48), self.pipe, self._first)

    def _first(self) -> None:
        self.firsts += 1

    async def speak(self, text: str) -> None:
        synthesis = self.audio.synthesise(text, "en", lambda *_: None)
        await self.audio.speak(synthesis)
        await synthesis.close()

    async def mp3(self) -> bytes:
        await self.audio.finish()
        return self.pipe.take(1_000_000)


def seconds(mp3: bytes) -> float:
    samples, rate = soundfile.read(io.BytesIO(mp3))
    return len(samples) / rate


async def test_the_silence_around_pieces_is_not_sent() -> None:
    reply = Reply(silence(600), tone(500), silence(600))
    await reply.speak("One.")
    await reply.speak("Two.")
    # 20 ms before the first, 350 after each and 20 before the second; an encoder adds some at both ends.
    assert seconds(await reply.mp3()) == pytest.approx(0.02 + 0.5 + 0.37 + 0.5 + 0.35, abs=0.15)


async def test_the_first_bytes_come_before_the_first_block_is_whole() -> None:
    reply = Reply(tone(4000))

    async def first_bytes() -> int:
        await reply.pipe.fill(1, None)
        return len(reply.pipe)

    waiting = asyncio.create_task(first_bytes())
    await reply.speak("One.")
    # At 6 bytes a millisecond: of less than 80 ms of audio.
    assert await waiting < 480


async def test_a_sound_that_fills_the_wait_is_heard_and_is_no_part_of_the_answer() -> None:
    reply = Reply(tone(1000))
    assert await reply.audio.sound(tone(500))
    assert await reply.audio.sound(tone(500))
    assert reply.audio.lead_bytes == len(reply.pipe) > 0
    assert reply.firsts == 0
    await reply.speak("one two three four")
    assert reply.firsts > 0
    assert reply.audio.text == "one two three four"
    assert reply.audio.text_until(900) == ""
    assert reply.audio.text_until(1500) == "one two"
    assert reply.audio.mp3 is None
    assert seconds(await reply.mp3()) == pytest.approx(2.0, abs=0.15)


def words(count: int) -> str:
    return " ".join(["word"] * count)


async def test_of_a_piece_that_is_still_being_spoken_only_what_sounds_counts_as_said() -> None:
    # A second of audio is there, of a text of 39 characters: at 65 ms each about two and a half seconds.
    reply = Reply(tone(1000), BROKEN)
    with pytest.raises(StageFailed):
        await reply.speak(words(8))
    assert reply.audio.text_until(500) == words(1)
    assert reply.audio.text_until(1000) == words(3)
    # No later moment knows more than has been appended.
    assert reply.audio.text_until(5000) == words(3)


async def test_how_much_of_a_piece_was_said_is_measured_by_the_pace_of_those_before_it() -> None:
    slow = 39 * 130
    reply = Reply(tone(slow), then=(tone(slow * 3 // 10), BROKEN))
    await reply.speak(words(8))
    assert reply.audio.text_until(slow / 2) == words(4)
    with pytest.raises(StageFailed):
        await reply.speak(words(8))
    assert reply.audio.text_until(slow + slow / 6) == words(8 + 1)
    assert reply.audio.text_until(2 * slow) == words(8 + 2)


async def test_a_piece_that_is_spoken_more_slowly_than_thought_is_not_said_before_its_end() -> None:
    reply = Reply(tone(10_000), BROKEN)
    with pytest.raises(StageFailed):
        await reply.speak(words(8))
    assert reply.audio.text_until(5100) == words(4)


async def test_no_sound_fills_a_wait_that_is_over() -> None:
    reply = Reply(tone(1000))
    await reply.speak("one")
    assert not await reply.audio.sound(tone(500))
    assert reply.audio.lead_bytes == 0
    assert seconds(await reply.mp3()) == pytest.approx(1.0, abs=0.15)
    assert reply.audio.mp3 is not None
