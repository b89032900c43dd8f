import asyncio
from collections.abc import Iterator

import pytest

from gateway.config import Settings
from gateway.engines.stt.pocketsphinx import PocketSphinx
from tests.conformance.stt import OwnLanguagesConformance, SttConformance


@pytest.fixture(scope="module")
def engine() -> Iterator[PocketSphinx]:
    engine = PocketSphinx.from_settings(Settings())
    asyncio.run(engine.start())
    yield engine
    asyncio.run(engine.close())


class TestPocketSphinx(SttConformance, OwnLanguagesConformance):
    # One of the few phrases that a model of human speech recognises as espeak says them.
    question, voice = "What are you doing?", "en-us+m3"
    heard = "what are you doing"
