"""faster-whisper itself, with the miniature model that knows a few phrases as espeak says them."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub.constants
import numpy as np
import pytest

from gateway.config import Settings
from gateway.engines.chain import SttChain
from gateway.engines.choosing import MINIATURE_MODEL
from gateway.engines.stt.faster_whisper import FasterWhisper
from gateway.errors import ConfigurationError, EngineBusy, EngineFailed
from gateway.values import Transcript
from tests.conformance.speech import silence, spoken
from tests.conformance.stt import OwnLanguagesConformance, SttConformance


def make(model: str | Path = MINIATURE_MODEL, *, workers: int = 2, queue: int = 8, **settings: str) -> FasterWhisper:
    return FasterWhisper.from_settings(
        Settings(stt_model=str(model), stt_workers=workers, stt_queue=queue, **settings)  # type: ignore[arg-type]
    )


@pytest.fixture(scope="module")
def engine() -> Iterator[FasterWhisper]:
    engine = make()
    asyncio.run(engine.start())
    yield engine
    asyncio.run(engine.close())


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the Hugging Face Hub, and no way to the Hub."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    return tmp_path


class TestFasterWhisper(SttConformance, OwnLanguagesConformance):
    async def test_detects_the_language(self, engine: FasterWhisper) -> None:
        assert await engine.transcribe(self.speech, None) == Transcript("What time is it?", "en")
        assert await engine.transcribe(spoken("¿Qué hora es?", "es"), None) == Transcript("¿Qué hora es?", "es")

    async def test_silence_around_the_words_does_not_matter(self, engine: FasterWhisper) -> None:
        quiet = silence(3.0)
        for speech in ((quiet, self.speech), (self.speech, quiet), (quiet, self.speech, quiet)):
            assert (await engine.transcribe(np.concatenate(speech), "en")).text == "What time is it?"

    async def test_more_than_may_wait_is_busy(self) -> None:
        engine = make(workers=1, queue=1)
        await engine.start()
        results = await asyncio.gather(
            *(engine.transcribe(self.speech, "en") for _ in range(3)), return_exceptions=True
        )
        assert [type(result) for result in results] == [Transcript, Transcript, EngineBusy]
        await engine.close()

    def test_says_which_model_runs_and_where(self, engine: FasterWhisper) -> None:
        assert engine.description == "faster-whisper mini-whisper (int8, cpu, safe window)"
        assert FasterWhisper.from_settings(Settings()).description == "faster-whisper base (int8, cpu, safe window)"


PHRASES = (
    ("What time is it?", "en-us", "en"),
    ("¿Qué hora es?", "es", "es"),
    ("What day is today?", "en-gb", "en"),
    ("¿Qué día es hoy?", "es-419", "es"),
)


class TestManyDevices:
    @pytest.mark.parametrize("window", ["full", "safe", "fast"])
    async def test_eight_at_once_are_all_heard_right(self, window: str) -> None:
        """Two languages, told and detected, different lengths, and one that says nothing."""
        engine = make(stt_window=window)
        await engine.start()
        asked = [
            engine.transcribe(spoken(text, voice), language if number < 4 else None)
            for number, (text, voice, language) in enumerate(PHRASES * 2)
        ]
        *heard, nothing = await asyncio.gather(*asked, engine.transcribe(silence(2.0), "es"))
        await engine.close()
        assert heard == [Transcript(text, language) for text, _, language in PHRASES * 2]
        assert nothing == Transcript("", "es")
        counted = engine.counters
        assert counted["utterances"] == 9
        assert counted["retried_at_full_window"] == 0
        # How many meet depends on their lengths and on the moment; in one length, some must.
        assert counted["largest_batch"] >= (1 if window == "fast" else 2)

    async def test_a_device_that_interrupts_gets_its_place_back_and_others_their_text(self) -> None:
        engine = make(workers=1, queue=2)
        await engine.start()
        speech = TestFasterWhisper().speech
        calls = [asyncio.create_task(engine.transcribe(speech, "en")) for _ in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(EngineBusy):
            await engine.transcribe(speech, "en")
        calls[1].cancel()
        with pytest.raises(asyncio.CancelledError):
            await calls[1]
        again = asyncio.create_task(engine.transcribe(spoken("¿Qué hora es?", "es"), "es"))
        texts = [transcript.text for transcript in await asyncio.gather(calls[0], calls[2], again)]
        assert texts == ["What time is it?", "What time is it?", "¿Qué hora es?"]
        assert (engine.counters["cancelled"], engine.counters["busy"]) == (1, 1)
        await engine.close()

    async def test_closing_frees_who_still_waits(self) -> None:
        engine = make(workers=1)
        await engine.start()
        calls = [asyncio.create_task(engine.transcribe(TestFasterWhisper().speech, "en")) for _ in range(3)]
        await asyncio.sleep(0)
        await engine.close()
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert all(isinstance(result, Transcript | EngineFailed) for result in results)
        assert isinstance(results[-1], EngineFailed)

    async def test_what_it_counts_is_known_with_its_health(self) -> None:
        engine = make()
        chain = SttChain([engine], timeout_s=15, rest_s=30)
        assert chain.health()[0].counters == {}
        await engine.start()
        await chain.transcribe(TestFasterWhisper().speech, "en", lambda *_: None)
        assert chain.health()[0].counters["utterances"] == 1
        await chain.close()


class TestStart:
    async def test_a_model_in_the_cache_needs_no_network(self, hub: Path) -> None:
        cached = hub / "models--Systran--faster-whisper-tiny"
        (cached / "refs").mkdir(parents=True)
        (cached / "refs" / "main").write_text("0123abcd")
        (cached / "snapshots").mkdir()
        (cached / "snapshots" / "0123abcd").symlink_to(MINIATURE_MODEL)
        engine = make("tiny")
        await engine.start()
        assert (await engine.transcribe(TestFasterWhisper().speech, "en")).text == "What time is it?"
        await engine.close()

    @pytest.mark.parametrize("name", ["tiny", "somebody/some-whisper"])
    async def test_a_model_that_cannot_be_fetched_says_what_to_do(self, hub: Path, name: str) -> None:
        with pytest.raises(ConfigurationError, match="not in the cache and cannot be fetched: start once with"):
            await make(name).start()

    async def test_an_unknown_name_lists_those_that_there_are(self) -> None:
        with pytest.raises(ConfigurationError, match=r"no model 'enormous'.* small, "):
            await make("enormous").start()

    async def test_a_folder_without_a_model_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigurationError, match=str(tmp_path)):
            await make(tmp_path).start()

    async def test_a_folder_with_a_broken_model_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "model.bin").write_bytes(b"not a model")
        with pytest.raises(ConfigurationError, match="does not load on cpu as int8"):
            await make(tmp_path).start()

    async def test_an_impossible_number_format_is_named(self) -> None:
        with pytest.raises(ConfigurationError, match="does not load on cpu as int7"):
            await make(stt_compute_type="int7").start()
