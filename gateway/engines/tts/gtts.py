"""Text to speech by the voice of Google Translate, through gTTS: free, without a key, and without any promise.

The service takes at most 100 characters a request and refuses (429) whoever asks too often. gTTS knows its requests
and its languages; left to send them itself it would open a TLS session for each, without looking at the certificate,
and wait for ever. So they are sent here: on connections that are kept, with a time limit and one retry, no more than a
few at a time. What was spoken is kept by the chain's cache.
"""

import base64
import contextlib
import http.cookiejar
import re
import textwrap
import threading
import urllib.parse
from collections.abc import AsyncGenerator
from typing import Self

import gtts
import requests
from gtts.lang import tts_langs

from gateway.audio import Pcm
from gateway.config import Settings
from gateway.engines.choice import own_choice
from gateway.engines.retry_after import retry_after_s
from gateway.engines.tts.decoding import MAX_AUDIO_BYTES, decode_file
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
_AHEAD_S = 5.0
"""Longest wait for a connection that nobody needs yet."""
_MAX_BODY_BYTES = MAX_AUDIO_BYTES * 4 // 3
_AUDIO = re.compile(rb'jQ1olc","\[\\"([A-Za-z0-9+/=]*)\\"]')
"""The audio in the service's answer: base64 in JSON in JSON. jQ1olc is its name for speech."""


class GoogleTranslateSpeech:
    """Asks for one piece of text after another, in a few threads shared by all devices."""

    name = "gtts"

    def __init__(self, *, tld: str, timeout_s: float) -> None:
        """`tld` is one of ACCENT_TLDS; `timeout_s` limits the synthesis of one piece, its retry included."""
        self._tld = tld
        self._timeout_s = timeout_s
        self._workers = Workers("gtts", threads=_THREADS, queue=_QUEUE)
        self._session = _session()

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
        self._session.close()

    async def prepare(self) -> None:
        """Open a connection, unless requests are under way and so have one; or use the one that is open, which keeps
        it. That it fails is told when there is something to say."""
        if self._workers.pending:
            return
        url = urllib.parse.urljoin(self._requests("a", "en", self._tld)[0].url or "", "/")

        def connect(_: threading.Event) -> None:
            with contextlib.suppress(requests.RequestException):
                self._session.head(url, timeout=_AHEAD_S, allow_redirects=False)

        await self._workers.run(connect)

    def voice(self, language: str, wanted: str | None = None) -> str:
        return f"{_LANGUAGES.get(language, language)}@{wanted or self._tld}"

    async def speak(self, text: str, language: str, voice: str | None = None) -> AsyncGenerator[Pcm]:
        """Speak `text`, piece by piece.

        Raises:
            EngineFailed: the service cannot be reached, refuses, is slow, answers no audio, or does not know the
                language or the voice.
            EngineBusy: too many pieces wait.
        """
        tld = voice or self._tld
        if tld not in ACCENT_TLDS:
            raise EngineFailed(f"gtts has no voice {tld!r}", retryable=False, rest_s=0.0)
        code = _LANGUAGES.get(language, language)
        if code not in tts_langs():
            raise EngineFailed(f"gtts does not speak {language!r}", retryable=False, rest_s=0.0)
        pieces = [piece for piece in split(text) if any(map(str.isalnum, piece))]
        if not pieces:
            raise EngineFailed("there is nothing to say in the text", retryable=False, rest_s=0.0)
        for piece in pieces:
            yield await self._fetch(piece, code, tld)

    async def _fetch(self, piece: str, code: str, tld: str) -> Pcm:
        requests_of_piece = self._requests(piece, code, tld)

        def fetch(abandoned: threading.Event) -> Pcm:
            attempt = 1
            while True:
                try:
                    audio = b"".join(map(self._ask, requests_of_piece))
                    break
                except EngineFailed as failure:
                    again = failure.retryable and failure.rest_s is None
                    if attempt == ATTEMPTS or not again or abandoned.is_set():
                        raise
                attempt += 1
            return decode_file(audio, self.name)

        return await self._workers.run(fetch)

    def _requests(self, piece: str, code: str, tld: str) -> list[requests.PreparedRequest]:
        """gTTS's own requests for `piece`: one, unless what it writes out (an abbreviation) makes it too long."""
        speech = gtts.gTTS(piece, lang=code, tld=tld, lang_check=False)
        prepared: list[requests.PreparedRequest] = speech._prepare_requests()
        return prepared

    def _ask(self, request: requests.PreparedRequest) -> bytes:
        """Send `request` and return the MP3 that is answered.

        Raises:
            EngineFailed: there is none.
        """
        # What a session does for requests that it makes itself: the variables for proxies and certificates.
        options = self._session.merge_environment_settings(request.url or "", {}, True, None, None)
        try:
            with self._session.send(request, timeout=self._timeout_s / ATTEMPTS, **options) as response:
                body = bytearray()
                for part in response.iter_content(65536):
                    body += part
                    if len(body) > _MAX_BODY_BYTES:
                        raise EngineFailed(f"the service answered more than {_MAX_BODY_BYTES} bytes", retryable=False)
        except requests.Timeout as error:
            raise EngineFailed("the service did not answer in time", timed_out=True) from error
        except requests.RequestException as error:
            raise EngineFailed("the service cannot be reached, or closed the connection midway") from error
        if not response.ok:
            raise _refusal(response)
        found = _AUDIO.search(body)
        if found is None:
            raise EngineFailed("the service answered no audio")
        return base64.b64decode(found[1])


def _session() -> requests.Session:
    """Kept-alive connections for all threads, to a service that learns nothing about who asks."""
    session = requests.Session()
    session.mount("https://", requests.adapters.HTTPAdapter(pool_maxsize=_THREADS))
    session.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=_THREADS))
    session.cookies.set_policy(http.cookiejar.DefaultCookiePolicy(allowed_domains=[]))
    return session


def split(text: str) -> list[str]:
    """Cut `text` into pieces that the service takes, between words where it can be."""
    return textwrap.wrap(text, LONGEST_REQUEST, break_on_hyphens=False)


def _refusal(response: requests.Response) -> EngineFailed:
    """What an error status of the service means."""
    if response.status_code == requests.codes.too_many_requests:
        rest_s = retry_after_s(response.headers.get("retry-after"))
        return EngineFailed("the service is asked too often (429)", rest_s=rest_s, retryable=False)
    if response.status_code == requests.codes.bad_request:
        return EngineFailed("the service refuses the text (400)", retryable=False, rest_s=0.0)
    return EngineFailed(f"the service answered {response.status_code}", retryable=response.status_code >= 500)
