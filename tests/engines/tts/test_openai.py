import io
from collections.abc import AsyncIterator

import numpy as np
import pytest
import soundfile

from gateway.audio import Pcm
from gateway.config import Settings
from gateway.engines.tts import openai as module
from gateway.engines.tts.openai import OpenAISpeech
from gateway.errors import EngineFailed
from tests.conformance.openai_failures import OpenAIFailures
from tests.conformance.tts import TtsConformance, spoken_by
from tests.fakes.http_server import Request
from tests.fakes.openai_server import Audio, Endpoint, OpenAIServer, Status, tone


@pytest.fixture
async def engine(server: OpenAIServer) -> AsyncIterator[OpenAISpeech]:
    engine = TestOpenAISpeech().make()
    await engine.start()
    yield engine
    await engine.close()


def file(kind: str, rate: int = 24_000, channels: int = 1) -> bytes:
    """One second of tone as a file."""
    samples = np.repeat(np.frombuffer(tone(1.0, rate), "<i2")[:, None], channels, axis=1)
    body = io.BytesIO()
    soundfile.write(body, samples, rate, format=kind)
    return body.getvalue()


class TestOpenAISpeech(TtsConformance, OpenAIFailures):
    beginning = Audio(b"", "audio/pcm")

    def make(self, timeout_s: float = 10.0) -> OpenAISpeech:
        return OpenAISpeech(model="tts-test", voice="nova", timeout_s=timeout_s)

    async def work(self, engine: OpenAISpeech) -> Pcm:
        return await spoken_by(engine, "Hola.")

    def endpoint(self, server: OpenAIServer) -> Endpoint:
        return server.speech

    async def test_asks_for_pcm_in_the_voice(self, engine: OpenAISpeech, server: OpenAIServer) -> None:
        await spoken_by(engine, "Hola.")
        assert server.speech.requests[-1].json == {
            "model": "tts-test",
            "voice": "nova",
            "input": "Hola.",
            "response_format": "pcm",
            "sample_rate": 24_000,
        }

    async def test_a_server_that_takes_no_rate_is_asked_without_from_then_on(
        self, engine: OpenAISpeech, server: OpenAIServer
    ) -> None:
        def strict(request: Request) -> Audio | Status:
            refused = Status(422, message="sample_rate: extra inputs are not permitted")
            return refused if "sample_rate" in request.json else Audio(tone(0.5), "audio/pcm")

        server.speech.answer = strict
        for _ in range(2):
            assert len((await spoken_by(engine, "Hola.")).samples) == 12_000
        assert ["sample_rate" in request.json for request in server.speech.requests] == [True, False, False]

    async def test_a_device_may_have_another_voice(self, engine: OpenAISpeech, server: OpenAIServer) -> None:
        for voice in ("alloy", None):
            assert [block async for block in engine.speak("Hola.", "es", voice)]
        assert [request.json["voice"] for request in server.speech.requests] == ["alloy", "nova"]
        assert engine.voice("es", "alloy") != engine.voice("es")
        server.speech.answer = Status(404, message="no such voice")
        with pytest.raises(EngineFailed) as failure:
            await anext(engine.speak("Hola.", "es", "gone"))
        assert failure.value.rest_s == 0.0

    @pytest.mark.parametrize("content_type", ["audio/pcm", "application/octet-stream", "audio/L16"])
    async def test_passes_pcm_on_as_it_comes(
        self, engine: OpenAISpeech, server: OpenAIServer, content_type: str
    ) -> None:
        server.speech.answer = Audio(tone(1.0), content_type)
        blocks = [block async for block in engine.speak("Hola.", "es")]
        assert len(blocks) > 3
        assert {block.rate for block in blocks} == {24_000}
        assert b"".join(block.samples.tobytes() for block in blocks) == tone(1.0)

    async def test_a_sample_cut_at_the_very_end_is_left_out(self, engine: OpenAISpeech, server: OpenAIServer) -> None:
        server.speech.answer = Audio(tone(0.5) + b"\x01", "audio/pcm")
        assert len((await spoken_by(engine, "Hola.")).samples) == 12_000

    @pytest.mark.parametrize(
        ("kind", "content_type"),
        [("WAV", "audio/pcm"), ("FLAC", "application/octet-stream"), ("OGG", ""), ("MP3", "audio/mpeg")],
    )
    async def test_understands_a_server_that_answers_a_file_all_the_same(
        self, engine: OpenAISpeech, server: OpenAIServer, kind: str, content_type: str
    ) -> None:
        server.speech.answer = Audio(file(kind, rate=22_050), content_type)
        audio = await spoken_by(engine, "Hola.")
        assert audio.rate == 22_050
        assert audio.seconds == pytest.approx(1.0, abs=0.1)
        assert 7000 < np.abs(audio.samples.astype(int)).max() < 9000

    async def test_mixes_channels(self, engine: OpenAISpeech, server: OpenAIServer) -> None:
        server.speech.answer = Audio(file("WAV", channels=2), "audio/wav")
        audio = await spoken_by(engine, "Hola.")
        assert audio.samples.tobytes() == tone(1.0)

    @pytest.mark.parametrize(
        ("audio", "words"),
        [
            (Audio(b"", "audio/pcm"), "no audio"),
            (Audio(b"\x00", "audio/pcm"), "no audio"),
            (Audio(file("WAV")[:44], "audio/wav"), "no audio"),
            (Audio(b"RIFF, or so", "audio/pcm"), "cannot be decoded"),
            (Audio(b'{"error": "busy"}', "audio/mpeg"), "cannot be decoded"),
        ],
    )
    async def test_no_usable_audio_is_a_failure(
        self, engine: OpenAISpeech, server: OpenAIServer, audio: Audio, words: str
    ) -> None:
        server.speech.answer = audio
        with pytest.raises(EngineFailed, match=words):
            await spoken_by(engine, "Hola.")

    @pytest.mark.parametrize("content_type", ["audio/pcm", "audio/wav"])
    async def test_endless_audio_is_a_failure(
        self, engine: OpenAISpeech, server: OpenAIServer, content_type: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "MAX_AUDIO_BYTES", 40_000)
        server.speech.answer = Audio(tone(1.0), content_type)
        with pytest.raises(EngineFailed, match="more than 40000 bytes"):
            await spoken_by(engine, "Hola.")

    def test_is_made_from_settings(self) -> None:
        assert "tts-1, voice alloy" in OpenAISpeech.from_settings(Settings()).description
        settings = Settings(tts_model="kokoro", tts_voice="openai:af_sky,espeak:es+f3")
        assert "kokoro, voice af_sky" in OpenAISpeech.from_settings(settings).description
