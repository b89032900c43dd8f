"""Speech to text by any server with OpenAI's transcriptions: OpenAI, speaches, whisper.cpp, vLLM, …"""

import io
import wave
from typing import Self

import numpy as np
import openai
from numpy.typing import NDArray

from gateway.audio import SPEECH_RATE, to_int16
from gateway.config import Settings
from gateway.engines.choice import own_choice
from gateway.engines.openai_client import Client, errors_mapped, open_client, server_name
from gateway.engines.vad import SpeechDetector
from gateway.values import Transcript

DEFAULT_MODEL = "whisper-1"
"""The name that OpenAI and nearly every compatible server know."""

# OpenAI names the language that it detected in English words; other servers give the code.
_CODES = {
    "spanish": "es",
    "english": "en",
    "french": "fr",
    "german": "de",
    "italian": "it",
    "portuguese": "pt",
    "catalan": "ca",
    "galician": "gl",
    "basque": "eu",
    "dutch": "nl",
    "polish": "pl",
    "russian": "ru",
    "ukrainian": "uk",
    "turkish": "tr",
    "arabic": "ar",
    "hindi": "hi",
    "chinese": "zh",
    "japanese": "ja",
    "korean": "ko",
    "swedish": "sv",
    "danish": "da",
    "norwegian": "no",
    "finnish": "fi",
    "greek": "el",
    "czech": "cs",
    "romanian": "ro",
    "hungarian": "hu",
}

_LOUD_DBFS = -30.0
"""Well above the noise of a room, which a microphone gives at -60 to -40 dBFS."""


class OpenAITranscription:
    """Uploads an utterance as a WAV file. Silence and faint noise are not sent: Whisper answers them with invented
    words. What is loud is the server's to judge, speech or not."""

    name = "openai"
    local = False

    def __init__(self, *, model: str, default_language: str, timeout_s: float) -> None:
        """`default_language` is reported when neither the caller nor the server knows the language."""
        self._model = model
        self._default_language = default_language
        self._timeout_s = timeout_s
        self._tells_language = True
        self._client: Client | None = None
        self._detector = SpeechDetector()

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        return cls(
            model=own_choice(settings.stt_model, cls.name) or DEFAULT_MODEL,
            default_language="es" if settings.language == "auto" else settings.language,
            timeout_s=settings.stt_timeout_s,
        )

    @property
    def description(self) -> str:
        return f"openai {self._model} {server_name(self._client)}".rstrip()

    async def start(self) -> None:
        self._client = await open_client(timeout_s=self._timeout_s)
        await self._detector.start()

    async def prepare(self) -> None:
        if self._client is not None:
            await self._client.connect_ahead()

    async def close(self) -> None:
        await self._detector.close()
        if self._client is not None:
            await self._client.close()

    async def transcribe(self, speech: NDArray[np.float32], language: str | None) -> Transcript:
        """Recognise `speech`: mono, shape (n,), -1..1, 16 kHz. `language` None means: let the server detect it.

        Raises:
            EngineFailed: the server cannot be reached, refuses or breaks off.
        """
        client = self._client
        assert client is not None, "transcribe() before start()"
        if not _loud(speech) and not await self._detector.contains_speech(speech):
            return Transcript("", language or self._default_language)
        upload = ("speech.wav", _wav(speech), "audio/wav")
        with errors_mapped(client):
            if language is None and self._tells_language:
                try:
                    heard = await client.audio.transcriptions.create(
                        model=self._model, file=upload, response_format="verbose_json"
                    )
                    return Transcript(heard.text.strip(), self._code(heard.language))
                except openai.BadRequestError as error:
                    if error.param != "response_format":
                        raise
                    # gpt-4o-transcribe and some compatible servers only answer the text.
                    self._tells_language = False
            text = await client.audio.transcriptions.create(
                model=self._model, file=upload, language=language or openai.omit
            )
            return Transcript(text.text.strip(), language or self._default_language)

    def _code(self, language: str) -> str:
        known = language.strip().lower()
        return _CODES.get(known, known if len(known) == 2 else self._default_language)


def _loud(speech: NDArray[np.float32]) -> bool:
    """Whether any tenth of a second of `speech`, shape (n,), is louder than `_LOUD_DBFS`."""
    block = SPEECH_RATE // 10
    padded = np.pad(speech, (0, -len(speech) % block)).reshape(-1, block)
    loudest = float(np.square(padded).mean(axis=1).max(initial=0.0))
    return bool(loudest > 10 ** (_LOUD_DBFS / 10))


def _wav(speech: NDArray[np.float32]) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(SPEECH_RATE)
        writer.writeframes(to_int16(speech).tobytes())
    return file.getvalue()
