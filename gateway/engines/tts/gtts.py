"""Text to speech by the voice of Google Translate, through gTTS: free, without a key, and without any promise.

The service takes at most 100 characters a request and refuses (429) whoever asks too often; gTTS opens a TLS session
for each request and by itself waits for ever. Hence the pieces, the time limit, one retry, and no more than a few
requests at a time. What was spoken is kept by the chain's cache.
"""

import textwrap
import threading
from collections.abc import AsyncGenerator
from typing import Self

import gtts
import requests
from gtts.lang import tts_langs

from gateway.audio import Pcm
from gateway.config import Settings
from gateway.engines.choice import own_choice
from gateway.engines.retry_after import retry_after_s
from gateway.engines.tts.decoding import decode_file
from gateway.engines.workers import Workers
from gateway.errors import ConfigurationError, EngineFailed

LONGEST_REQUEST = 100
"""Characters (gTTS's GOOGLE_TTS_MAX_CHARS)."""
ATTEMPTS = 2
DEFAULT_TLD = "com"
ACCENT_TLDS = (
    "com",
    "com.mx",
    "es",
    "us",
    "ca",
    "co.uk",
    "com.au",
    "co.in",
    "ie",
    "co.za",
    "com.ng",
    "com.br",
    "pt",
    "fr",
)
"""Google's domains that speak with an accent of their own, as gTTS documents them."""

_LANGUAGES = {"he": "iw", "nb": "no", "jv": "jw"}
"""What Google calls the languages whose code differs from ours."""
_THREADS = 4
_QUEUE = 32


class GoogleTranslateSpeech:
    """Asks for one piece of text after another, in a few threads shared by all devices."""

    name = "gtts"

    def __init__(self, *, tld: str, timeout_s: float) -> None:
        """`tld` is one of ACCENT_TLDS; `timeout_s` limits the synthesis of one piece, its retry included."""
        self._tld = tld
        self._timeout_s = timeout_s
        self._workers = Workers("gtts", threads=_THREADS, queue=_QUEUE)

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        return cls(tld=own_choice(settings.tts_voice, cls.name) or DEFAULT_TLD, timeout_s=settings.tts_timeout_s)

    @property
    def description(self) -> str:
        return f"gtts (translate.google.{self._tld})"

    async def start(self) -> None:
        """Check the settings; the service itself is first asked when there is something to say.

        Raises:
            ConfigurationError: there is no such accent.
        """
        if self._tld not in ACCENT_TLDS:
            raise ConfigurationError(
                f"gtts has no voice {self._tld!r}: GATEWAY_TTS_VOICE may be one of {', '.join(ACCENT_TLDS)};"
                " if it is meant for another engine, write for example espeak:es"
            )

    async def close(self) -> None:
        await self._workers.close()

    def voice(self, language: str) -> str:
        return f"{_LANGUAGES.get(language, language)}@{self._tld}"

    async def speak(self, text: str, language: str) -> AsyncGenerator[Pcm]:
        """Speak `text`, piece by piece.

        Raises:
            EngineFailed: the service cannot be reached, refuses, is slow, answers no audio, or does not know the
                language.
            EngineBusy: too many pieces wait.
        """
        code = _LANGUAGES.get(language, language)
        if code not in tts_langs():
            raise EngineFailed(f"gtts does not speak {language!r}", retryable=False, rest_s=0.0)
        pieces = [piece for piece in split(text) if any(map(str.isalnum, piece))]
        if not pieces:
            raise EngineFailed("there is nothing to say in the text", retryable=False, rest_s=0.0)
        for piece in pieces:
            yield await self._fetch(piece, code)

    async def _fetch(self, piece: str, code: str) -> Pcm:
        def fetch(abandoned: threading.Event) -> Pcm:
            attempt = 1
            while True:
                speech = gtts.gTTS(
                    piece, lang=code, tld=self._tld, lang_check=False, timeout=self._timeout_s / ATTEMPTS
                )
                try:
                    return decode_file(b"".join(speech.stream()), self.name)
                except (gtts.gTTSError, ValueError) as error:
                    failure = _failure(error)
                    if attempt == ATTEMPTS or not failure.retryable or failure.rest_s is not None or abandoned.is_set():
                        raise failure from error
                attempt += 1

        return await self._workers.run(fetch)


def split(text: str) -> list[str]:
    """Cut `text` into pieces that the service takes, between words where it can be."""
    return textwrap.wrap(text, LONGEST_REQUEST, break_on_hyphens=False)


def _failure(error: gtts.gTTSError | ValueError) -> EngineFailed:
    """What went wrong: gTTS keeps the response if there was one, and the cause in the exception's context."""
    response = error.rsp if isinstance(error, gtts.gTTSError) else None
    if response is None:
        if isinstance(error.__context__, requests.Timeout):
            return EngineFailed("the service did not answer in time", timed_out=True)
        return EngineFailed("the service cannot be reached, or closed the connection midway")
    if response.status_code == requests.codes.too_many_requests:
        rest_s = retry_after_s(response.headers.get("retry-after"))
        return EngineFailed("the service is asked too often (429)", rest_s=rest_s, retryable=False)
    if response.ok:
        return EngineFailed("the service answered no audio")
    if response.status_code == requests.codes.bad_request:
        return EngineFailed("the service refuses the text (400)", retryable=False, rest_s=0.0)
    return EngineFailed(f"the service answered {response.status_code}", retryable=response.status_code >= 500)
