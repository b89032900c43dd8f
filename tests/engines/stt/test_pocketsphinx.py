import asyncio
from collections.abc import Iterator

import pytest

from gateway.config import Settings
from gateway.engines.stt.pocketsphinx import PocketSphinx
from gateway.errors import EngineFailed
from tests.conformance.stt import SttConformance


@pytest.fixture(scope="module")
def engine() -> Iterator[PocketSphinx]:
    engine = PocketSphinx.from_settings(Settings())
    asyncio.run(engine.start())
    yield engine
    asyncio.run(engine.close())


class TestPocketSphinx(SttConformance):
    # One of the few phrases that a model of human speech recognises as espeak says them.
    question, voice = "What are you doing?", "en-us+m3"
    heard = "what are you doing"

    async def test_passes_other_languages_on(self, engine: PocketSphinx) -> None:
        with pytest.raises(EngineFailed, match="English only") as failure:
            await engine.transcribe(self.speech, "es")
        assert not failure.value.retryable
