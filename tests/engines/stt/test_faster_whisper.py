"""faster-whisper itself, with the miniature model that knows a few phrases as espeak says them."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub.constants
import numpy as np
import pytest

from gateway.config import Settings
from gateway.engines.choosing import MINIATURE_MODEL
from gateway.engines.stt.faster_whisper import FasterWhisper
from gateway.errors import ConfigurationError, EngineBusy
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
