"""What every recogniser must do."""

import asyncio
import contextlib

import numpy as np
import pytest
from numpy.typing import NDArray

from gateway.engines.chain import SttChain
from gateway.engines.protocols import SpeechToText
from gateway.errors import EngineFailed
from gateway.values import Transcript
from tests.conformance.speech import silence, spoken
from tests.fakes.engines import ScriptedStt


class SttConformance:
    """Inherit, and give a fixture `engine`, started, to be closed at the end."""

    question, voice = "What time is it?", "en-us"
    heard = "What time is it?"
    """What the engine makes of the question as espeak says it in that voice."""

    @property
    def speech(self) -> NDArray[np.float32]:
        """The question with some silence around it; mono, 16 kHz."""
        return np.concatenate((silence(0.3), spoken(self.question, self.voice), silence(0.3)))

    async def test_recognises_a_question(self, engine: SpeechToText) -> None:
        assert await engine.transcribe(self.speech, "en") == Transcript(self.heard, "en")

    async def test_hears_nothing_in_silence(self, engine: SpeechToText) -> None:
        assert await engine.transcribe(silence(2.0), "en") == Transcript("", "en")

    async def test_hears_nothing_in_no_audio_at_all(self, engine: SpeechToText) -> None:
        assert await engine.transcribe(silence(0.0), "en") == Transcript("", "en")

    async def test_hears_nothing_in_noise(self, engine: SpeechToText) -> None:
        noise = np.random.default_rng(1).normal(0.0, 0.01, 32_000).astype(np.float32)
        assert await engine.transcribe(noise, "en") == Transcript("", "en")

    async def test_serves_many_at_once(self, engine: SpeechToText) -> None:
        asked = (engine.transcribe(self.speech if turn % 2 else silence(1.0), "en") for turn in range(4))
        texts = [transcript.text for transcript in await asyncio.gather(*asked)]
        assert texts == ["", self.heard] * 2

    async def test_names_a_language_even_if_it_has_to_detect_it(self, engine: SpeechToText) -> None:
        assert len((await engine.transcribe(self.speech, None)).language) == 2

    async def test_keeps_the_loop_free(self, engine: SpeechToText) -> None:
        longest = 0.0

        async def watch() -> None:
            nonlocal longest
            loop = asyncio.get_running_loop()
            while True:
                before = loop.time()
                await asyncio.sleep(0.005)
                longest = max(longest, loop.time() - before)

        began = asyncio.get_running_loop().time()
        watching = asyncio.create_task(watch())
        await engine.transcribe(self.speech, "en")
        took = asyncio.get_running_loop().time() - began
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching
        assert longest < max(0.25, took / 2)

    async def test_works_on_after_a_cancelled_call(self, engine: SpeechToText) -> None:
        calls = [asyncio.create_task(engine.transcribe(self.speech, "en")) for _ in range(3)]
        await asyncio.sleep(0)
        for call in calls:
            call.cancel()
        assert all(
            isinstance(result, asyncio.CancelledError)
            for result in await asyncio.gather(*calls, return_exceptions=True)
        )
        assert (await engine.transcribe(self.speech, "en")).text == self.heard

    def test_describes_itself(self, engine: SpeechToText) -> None:
        assert engine.name in engine.description


class OwnLanguagesConformance:
    """For engines that know some languages only."""

    async def test_refuses_a_language_that_it_does_not_know(self, engine: SpeechToText) -> None:
        with pytest.raises(EngineFailed, match="'tlh'") as failure:
            await engine.transcribe(silence(1.0), "tlh")
        assert not failure.value.retryable

    async def test_what_it_does_not_know_for_one_device_it_is_asked_by_the_next(self, engine: SpeechToText) -> None:
        chain = SttChain([engine, ScriptedStt("other", ["other"])], timeout_s=15, rest_s=30)
        heard = [(await chain.transcribe(silence(1.0), code, lambda *_: None)).text for code in ("tlh", "en")]
        assert heard == ["other", ""]
