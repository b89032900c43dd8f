import io
from collections.abc import AsyncIterator

import numpy as np
import pytest
import soundfile

from gateway.audio import SPEECH_RATE
from gateway.config import Settings
from gateway.engines.stt.openai import OpenAITranscription
from gateway.values import Transcript
from tests.conformance.openai_failures import OpenAIFailures
from tests.conformance.speech import silence
from tests.conformance.stt import SttConformance
from tests.fakes.http_server import Request
from tests.fakes.openai_server import Answer, Endpoint, OpenAIServer, Status


@pytest.fixture
async def engine(server: OpenAIServer) -> AsyncIterator[OpenAITranscription]:
    engine = TestOpenAITranscription().make()
    await engine.start()
    yield engine
    await engine.close()


class TestOpenAITranscription(SttConformance, OpenAIFailures):
    beginning = "¿Qué hora es?"

    @pytest.fixture(autouse=True)
    def answering(self, server: OpenAIServer) -> None:
        server.transcriptions.answer = " What time is it? "

    def make(self, timeout_s: float = 10.0) -> OpenAITranscription:
        return OpenAITranscription(model="whisper-test", default_language="es", timeout_s=timeout_s)

    async def work(self, engine: OpenAITranscription) -> Transcript:
        return await engine.transcribe(self.speech, "es")

    def endpoint(self, server: OpenAIServer) -> Endpoint:
        return server.transcriptions

    async def test_uploads_the_speech_as_wav(self, engine: OpenAITranscription, server: OpenAIServer) -> None:
        await engine.transcribe(self.speech, "es")
        sent = server.transcriptions.requests[-1]
        assert (sent.fields["model"], sent.fields["language"]) == ("whisper-test", "es")
        samples, rate = soundfile.read(io.BytesIO(sent.files["file"]), dtype="float32")
        assert rate == SPEECH_RATE
        assert np.abs(samples - self.speech).max() < 1e-3

    async def test_a_loud_sound_that_is_no_speech_is_the_servers_to_judge(
        self, engine: OpenAITranscription, server: OpenAIServer
    ) -> None:
        tone = (0.3 * np.sin(np.arange(16_000) * 0.17)).astype(np.float32)
        assert (await engine.transcribe(tone, None)).text
        assert len(server.transcriptions.requests) == 1

    async def test_faint_noise_is_not_sent(self, engine: OpenAITranscription, server: OpenAIServer) -> None:
        noise = np.random.default_rng(1).normal(0, 0.005, 16_000).astype(np.float32)
        assert (await engine.transcribe(noise, None)).text == ""
        assert server.transcriptions.requests == []

    async def test_silence_is_not_sent(self, engine: OpenAITranscription, server: OpenAIServer) -> None:
        assert await engine.transcribe(silence(1.0), None) == Transcript("", "es")
        assert not server.transcriptions.requests

    @pytest.mark.parametrize(
        ("told", "understood"), [("english", "en"), ("Spanish", "es"), ("fr", "fr"), ("klingon", "es")]
    )
    async def test_takes_the_language_that_the_server_detects(
        self, engine: OpenAITranscription, server: OpenAIServer, told: str, understood: str
    ) -> None:
        server.transcriptions.language = told
        assert await engine.transcribe(self.speech, None) == Transcript("What time is it?", understood)
        assert "language" not in server.transcriptions.requests[-1].fields

    async def test_does_without_the_language_where_the_server_cannot_tell_it(
        self, engine: OpenAITranscription, server: OpenAIServer
    ) -> None:
        def only_json(request: Request) -> Answer:
            if request.fields.get("response_format") == "verbose_json":
                return Status(400, param="response_format", code="unsupported_value")
            return "Hola."

        server.transcriptions.answer = only_json
        assert await engine.transcribe(self.speech, None) == Transcript("Hola.", "es")
        assert await engine.transcribe(self.speech, None) == Transcript("Hola.", "es")
        assert len(server.transcriptions.requests) == 3

    def test_is_made_from_settings(self) -> None:
        assert "whisper-1" in OpenAITranscription.from_settings(Settings()).description
        settings = Settings(stt_model="faster-whisper:small,openai:gpt-4o-mini-transcribe", language="auto")
        assert "gpt-4o-mini-transcribe" in OpenAITranscription.from_settings(settings).description
