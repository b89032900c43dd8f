import asyncio
import ipaddress
import ssl
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import gtts.tts
import pytest

from gateway.config import Settings
from gateway.engines.tts.gtts import LONGEST_REQUEST, GoogleTranslateSpeech
from gateway.errors import ConfigurationError, EngineFailed
from gateway.provisioning.certificates import make_authority, make_server
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
            (Response(), "no audio", 2),
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

    async def test_pieces_that_follow_each_other_share_a_connection(
        self, engine: GoogleTranslateSpeech, service: GoogleTranslate
    ) -> None:
        for text in ("Hola.", LONG):
            await spoken_by(engine, text)
        assert len(service.spoken.requests) > 3
        assert service.accepted == 1

    async def test_pieces_that_are_wanted_together_are_asked_for_together(
        self, engine: GoogleTranslateSpeech, service: GoogleTranslate
    ) -> None:
        both_here = asyncio.Event()

        async def one(text: str) -> float:
            return (await spoken_by(engine, text)).seconds

        # Each is answered only when the other has been asked for.
        service.spoken.answer = lambda text, language: replace(speech(text, language), wait_for=both_here)
        first, second = asyncio.create_task(one("Uno, dos.")), asyncio.create_task(one("Tres, cuatro, cinco."))
        async with asyncio.timeout(1.5):
            await service.spoken.arrived.get()
            await service.spoken.arrived.get()
            both_here.set()
            assert await first < await second
        assert service.accepted == 2
        await spoken_by(engine, "Y más.")
        assert service.accepted == 2

    async def test_its_connection_is_open_before_it_is_needed(
        self, engine: GoogleTranslateSpeech, service: GoogleTranslate
    ) -> None:
        await engine.prepare()
        request = service.strays.get_nowait()
        assert (request.method, request.path) == ("HEAD", "/")
        await spoken_by(engine, "Hola.")
        assert service.accepted == 1
        assert len(service.spoken.requests) == 1

    async def test_while_it_asks_it_needs_no_further_connection(
        self, engine: GoogleTranslateSpeech, service: GoogleTranslate
    ) -> None:
        service.spoken.answer = lambda text, language: Response(head=False, ending=Ending.HANG)
        speaking = asyncio.create_task(spoken_by(engine, "Hola."))
        await service.spoken.arrived.get()
        await engine.prepare()
        assert service.strays.empty()
        speaking.cancel()
        await asyncio.wait({speaking})

    async def test_a_service_that_is_away_is_not_told_of_before_it_is_needed(
        self, engine: GoogleTranslateSpeech, service: GoogleTranslate
    ) -> None:
        await service.stop()
        await engine.prepare()

    async def test_it_tells_the_service_nothing_that_the_service_told_it(
        self, engine: GoogleTranslateSpeech, service: GoogleTranslate
    ) -> None:
        said = speech("Hola.", "es")
        marked = replace(said, headers={**said.headers, "Set-Cookie": "NID=511; path=/"})
        service.spoken.answer = lambda text, language: marked
        for _ in range(2):
            await spoken_by(engine, "Hola.")
        assert "cookie" not in service.spoken.requests[-1].headers

    async def test_it_talks_to_nobody_whose_certificate_it_cannot_check(
        self, engine: GoogleTranslateSpeech, service: GoogleTranslate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        authority = make_authority(datetime.now(UTC))
        server = make_server(authority, [], [ipaddress.ip_address("127.0.0.1")], datetime.now(UTC), 2)
        (tmp_path / "ca.pem").write_text(authority.certificate_pem)
        (tmp_path / "server.pem").write_text(server.certificate_pem + server.key_pem)
        await service.stop()
        service.tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        service.tls.load_cert_chain(tmp_path / "server.pem")
        await service.start()
        await engine.prepare()
        with pytest.raises(EngineFailed, match="cannot be reached"):
            await spoken_by(engine, "Hola.")
        assert not service.spoken.requests
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))
        assert (await spoken_by(engine, "Hola.")).seconds > 0.1

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

    async def test_a_device_may_have_another_accent(
        self, engine: GoogleTranslateSpeech, service: GoogleTranslate
    ) -> None:
        assert engine.voice("es", "com.mx") == "es@com.mx"
        assert [block async for block in engine.speak("Hola.", "es", "com.mx")]
        assert service.tlds[-1] == "com.mx"
        with pytest.raises(EngineFailed, match="no voice 'nova'") as failure:
            await anext(engine.speak("Hola.", "es", "nova"))
        assert failure.value.rest_s == 0.0

    async def test_a_voice_that_does_not_exist_stops_the_start(self) -> None:
        with pytest.raises(ConfigurationError, match="no voice 'nova'"):
            await GoogleTranslateSpeech.from_settings(Settings(tts_voice="nova")).start()
