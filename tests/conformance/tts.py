"""What every voice must do."""

import asyncio
from contextlib import aclosing

import numpy as np
import pytest

from gateway.audio import Pcm
from gateway.engines.chain import TtsChain
from gateway.engines.protocols import TextToSpeech
from gateway.errors import EngineFailed
from tests.fakes.engines import ScriptedTts


async def spoken_by(engine: TextToSpeech, text: str, language: str = "es") -> Pcm:
    """All that `engine` says, as one."""
    blocks = [block async for block in engine.speak(text, language)]
    assert len({block.rate for block in blocks}) == 1
    return Pcm(np.concatenate([block.samples for block in blocks]), blocks[0].rate)


class TtsConformance:
    """Inherit, and give a fixture `engine`, started, to be closed at the end. It must speak Spanish and English."""

    async def test_speaks(self, engine: TextToSpeech) -> None:
        audio = await spoken_by(engine, "Hola, ¿qué tal?")
        assert audio.samples.dtype == np.int16
        assert audio.samples.ndim == 1
        assert 0.3 < audio.seconds < 5
        assert np.abs(audio.samples.astype(int)).max() > 1000

    async def test_a_longer_text_takes_longer(self, engine: TextToSpeech) -> None:
        short = await spoken_by(engine, "Hola.")
        long = await spoken_by(engine, "Hola, esta es una frase que tarda mucho más en decirse que la otra.")
        assert long.seconds > 2 * short.seconds

    async def test_speaks_many_texts_at_once(self, engine: TextToSpeech) -> None:
        texts = ["Hola.", "Buenas tardes a todos.", "Son las cinco y cinco de la tarde."]
        alone = [(await spoken_by(engine, text)).seconds for text in texts]
        together = [audio.seconds for audio in await asyncio.gather(*(spoken_by(engine, text) for text in texts))]
        assert together == pytest.approx(alone, rel=0.1)

    async def test_speech_that_is_closed_early_ends(self, engine: TextToSpeech) -> None:
        async with aclosing(engine.speak("Una frase larga que nadie quiere oír hasta el final.", "es")) as blocks:
            assert len((await anext(blocks)).samples)
        assert (await spoken_by(engine, "Hola.")).seconds > 0.2

    async def test_a_voice_names_its_audio(self, engine: TextToSpeech) -> None:
        assert engine.voice("es") == engine.voice("es") != ""

    def test_describes_itself(self, engine: TextToSpeech) -> None:
        assert engine.name in engine.description


class OwnVoicesConformance:
    """For engines whose voices are bound to a language."""

    async def test_refuses_a_language_that_it_does_not_speak(self, engine: TextToSpeech) -> None:
        with pytest.raises(EngineFailed) as failure:
            await spoken_by(engine, "nuqneH", "tlh")
        assert not failure.value.retryable

    async def test_what_it_cannot_say_for_one_device_it_is_asked_by_the_next(self, engine: TextToSpeech) -> None:
        other = ScriptedTts("other", [Pcm(np.full(7, 1, np.int16), 24_000)])
        chain = TtsChain([engine, other], timeout_s=15, rest_s=30, cache_bytes=0)
        for text, language in (("nuqneH", "tlh"), (" ", "es")):
            async with aclosing(chain.speak(text, language, lambda *_: None)) as blocks:
                assert len((await anext(blocks)).samples) == 7
        async with aclosing(chain.speak("Hola.", "es", lambda *_: None)) as blocks:
            assert len((await anext(blocks)).samples) != 7
        assert other.texts == ["nuqneH", " "]

    async def test_has_nothing_to_say_for_no_words(self, engine: TextToSpeech) -> None:
        with pytest.raises(EngineFailed, match="nothing to say"):
            await spoken_by(engine, " ")
