import asyncio
from collections.abc import AsyncIterator, Iterator

import gtts.tts
import pytest

from gateway.config import Settings
from gateway.engines.tts.gtts import LONGEST_REQUEST, GoogleTranslateSpeech
from gateway.errors import ConfigurationError, EngineFailed
from tests.conformance.tts import OwnVoicesConformance, TtsConformance, spoken_by
from tests.fakes.google_translate import GoogleTranslate, speech, wrapped
from tests.fakes.http_server import Ending, Response

LONG = "Había una vez una frase tan larga que no cabía en una sola petición, " * 4


@pytest.fixture
async def service(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[GoogleTranslate]:
    async with GoogleTranslate() as service:
        # gTTS has no argument for the address of the service.
        monkeypatch.setattr(gtts.tts, "_translate_url", service.url)
        yield service


@pytest.fixture
async def engine(service: GoogleTranslate) -> AsyncIterator[GoogleTranslateSpeech]:
    engine = GoogleTranslateSpeech(tld="com", timeout_s=1.6)
    await engine.start()
    yield engine
    await engine.close()


def answers(*responses: Response) -> Iterator[Response]:
    """Each of `responses` once, the last for ever."""
    yield from responses
    while True:
        yield responses[-1]


class TestGoogleTranslateSpeech(TtsConformance, OwnVoicesConformance):
    async def test_asks_for_a_long_text_in_pieces_cut_between_words(
        self, engine: GoogleTranslateSpeech, service: GoogleTranslate
    ) -> None:
        blocks = [block async for block in engine.speak(LONG, "es")]
        texts = service.spoken.texts
        assert len(blocks) == len(texts) > 2
        assert max(map(len, texts)) <= LONGEST_REQUEST
        assert " ".join(texts).split() == LONG.split()

    async def test_asks_for_the_next_piece_only_when_it_is_wanted(
        self, engine: GoogleTranslateSpeech, service: GoogleTranslate
    ) -> None:
        pieces = engine.speak(LONG, "es")
        await anext(pieces)
        assert len(service.spoken.requests) == 1
        await pieces.aclose()

    @pytest.mark.parametrize(
        "first",
        [
            Response(500),
            Response(head=False, ending=Ending.CLOSE),
            Response(pieces=(b"x",), ending=Ending.CLOSE),
            Response(head=False, ending=Ending.HANG),
            Response(pieces=(b'"jQ1olc",null',)),
        ],
        ids=["500", "refused", "closed midway", "hangs", "no audio"],
    )
    async def test_tries_once_more(
        self, engine: GoogleTranslateSpeech, service: GoogleTranslate, first: Response
    ) -> None:
        said = answers(first, speech("Hola.", "es"))
        service.spoken.answer = lambda text, language: next(said)
        assert (await spoken_by(engine, "Hola.")).seconds > 0.1
        assert len(service.spoken.requests) == 2

    @pytest.mark.parametrize(
        ("response", "words", "requests"),
        [
            (Response(500), "answered 500", 2),
            (Response(404), "answered 404", 1),
            (Response(400), "refuses the text", 1),
            (Response(head=False, ending=Ending.CLOSE), "cannot be reached", 2),
            (Response(head=False, ending=Ending.HANG), "in time", 2),
            (Response(pieces=(b'"jQ1olc",null',)), "no audio", 2),
            (Response(), "cannot be decoded", 1),
            (wrapped(b"not an MP3"), "cannot be decoded", 1),
        ],
        ids=["500", "404", "400", "refused", "hangs", "no audio", "nothing", "not an MP3"],
    )
    async def test_gives_up(
        self,
        engine: GoogleTranslateSpeech,
        service: GoogleTranslate,
        response: Response,
        words: str,
        requests: int,
    ) -> None:
        service.spoken.answer = lambda text, language: response
        with pytest.raises(EngineFailed, match=words) as failure:
            await spoken_by(engine, "Hola.")
        assert failure.value.timed_out is (words == "in time")
        assert len(service.spoken.requests) == requests

    @pytest.mark.parametrize(("headers", "rest_s"), [({"Retry-After": "9"}, 9.0), ({}, None)])
    async def test_asked_too_often_it_does_not_ask_again(
        self,
        engine: GoogleTranslateSpeech,
        service: GoogleTranslate,
        headers: dict[str, str],
        rest_s: float | None,
    ) -> None:
        service.spoken.answer = lambda text, language: Response(429, headers)
        with pytest.raises(EngineFailed, match="429") as failure:
            await spoken_by(engine, "Hola.")
        assert failure.value.rest_s == rest_s
        assert len(service.spoken.requests) == 1

    async def test_a_service_that_is_away_is_a_failure(
        self, engine: GoogleTranslateSpeech, service: GoogleTranslate
    ) -> None:
        await service.stop()
        with pytest.raises(EngineFailed, match="cannot be reached"):
            await spoken_by(engine, "Hola.")

    async def test_cancelled_work_ends_at_once(self, engine: GoogleTranslateSpeech, service: GoogleTranslate) -> None:
        service.spoken.answer = lambda text, language: Response(head=False, ending=Ending.HANG)
        speaking = asyncio.create_task(spoken_by(engine, "Hola."))
        await service.spoken.arrived.get()
        speaking.cancel()
        async with asyncio.timeout(0.1):
            with pytest.raises(asyncio.CancelledError):
                await speaking
        await engine.close()
        assert len(service.spoken.requests) == 1

    async def test_an_accent_is_a_domain(self, engine: GoogleTranslateSpeech) -> None:
        mexican = GoogleTranslateSpeech.from_settings(Settings(tts_voice="gtts:com.mx"))
        await mexican.start()
        assert mexican.voice("es") == "es@com.mx"
        assert engine.voice("es") == "es@com"
        await mexican.close()

    async def test_a_voice_that_does_not_exist_stops_the_start(self) -> None:
        with pytest.raises(ConfigurationError, match="no voice 'nova'"):
            await GoogleTranslateSpeech.from_settings(Settings(tts_voice="nova")).start()
