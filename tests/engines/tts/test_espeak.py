import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import aclosing

import numpy as np
import pytest

from gateway.config import Settings
from gateway.engines.tts import espeak as module
from gateway.engines.tts import espeak_library
from gateway.engines.tts.espeak import EspeakSpeech
from gateway.errors import ConfigurationError, EngineFailed
from tests.conformance.tts import OwnVoicesConformance, TtsConformance, spoken_by


@pytest.fixture
async def engine() -> AsyncIterator[EspeakSpeech]:
    engine = EspeakSpeech.from_settings(Settings())
    await engine.start()
    yield engine
    await engine.close()


class TestEspeakSpeech(TtsConformance, OwnVoicesConformance):
    async def test_speaks_each_language_in_its_voice(self, engine: EspeakSpeech) -> None:
        spanish, english = await spoken_by(engine, "no", "es"), await spoken_by(engine, "no", "en")
        assert not np.array_equal(spanish.samples, english.samples)

    async def test_the_first_audio_comes_before_the_last_is_made(self, engine: EspeakSpeech) -> None:
        blocks = [block async for block in engine.speak("Son las cinco y cinco de la tarde.", "es")]
        assert len(blocks) > 10
        assert max(block.seconds for block in blocks) < 0.1

    async def test_a_listener_that_takes_its_time_does_not_keep_the_voice(self, engine: EspeakSpeech) -> None:
        async with aclosing(engine.speak("Una frase larga que alguien escucha muy despacio.", "es")) as slow:
            await anext(slow)
            async with asyncio.timeout(5):
                assert (await spoken_by(engine, "Hola.")).seconds > 0.2
            assert [block async for block in slow]

    async def test_a_listener_that_leaves_stops_the_voice(
        self, engine: EspeakSpeech, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "LONGEST_SPEECH_S", 1e6)
        async with aclosing(engine.speak("palabra " * 50_000, "es")) as hours:
            await anext(hours)
        async with asyncio.timeout(5):
            assert (await spoken_by(engine, "Hola.")).seconds > 0.2

    async def test_a_text_without_end_is_a_failure(self, engine: EspeakSpeech, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "LONGEST_SPEECH_S", 1)
        with pytest.raises(EngineFailed, match="longer than 1 s"):
            await spoken_by(engine, "palabra " * 100)

    async def test_the_voice_of_the_setting_speaks_every_language(self) -> None:
        engine = EspeakSpeech.from_settings(Settings(tts_voice="espeak:es+f3"))
        await engine.start()
        assert engine.voice("en") == "es+f3"
        assert await spoken_by(engine, "Hola.", "en")
        await engine.close()

    async def test_a_device_may_have_another_voice(self, engine: EspeakSpeech) -> None:
        own, other = [
            np.concatenate([block.samples async for block in engine.speak("Hola.", "es", voice)])
            for voice in (None, "es+f3")
        ]
        assert engine.voice("es", "es+f3") == "es+f3" != engine.voice("es")
        assert not np.array_equal(own, other)
        with pytest.raises(EngineFailed, match="no voice 'nova'") as failure:
            await anext(engine.speak("Hola.", "es", "nova"))
        assert failure.value.rest_s == 0.0

    async def test_a_voice_that_does_not_exist_stops_the_start(self) -> None:
        with pytest.raises(ConfigurationError, match="no voice 'nova'"):
            await EspeakSpeech.from_settings(Settings(tts_voice="nova")).start()

    async def test_a_missing_library_stops_the_start(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(espeak_library, "_library", None)
        monkeypatch.setitem(__import__("sys").modules, "espeakng_loader", None)
        with pytest.raises(ConfigurationError, match="pip install"):
            await EspeakSpeech.from_settings(Settings()).start()

    async def test_its_work_is_not_on_the_event_loop(
        self, engine: EspeakSpeech, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        threads: list[threading.Thread] = []
        speak = espeak_library.EspeakLibrary.speak

        def watched(*args: object, **options: object) -> None:
            threads.append(threading.current_thread())
            speak(*args, **options)  # type: ignore[arg-type]

        monkeypatch.setattr(espeak_library.EspeakLibrary, "speak", watched)
        await spoken_by(engine, "Hola.")
        assert threads
        assert threading.main_thread() not in threads
