"""Text to speech by any server with OpenAI's speech API: OpenAI, Kokoro, speaches, openedai-speech, …"""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack
from functools import partial
from typing import Self

import numpy as np
import openai

from gateway.audio import Pcm
from gateway.config import Settings
from gateway.engines.choice import own_choice
from gateway.engines.openai_client import Client, errors_mapped, open_client, server_name
from gateway.engines.tts.decoding import MAX_AUDIO_BYTES, decode_file
from gateway.errors import EngineFailed

DEFAULT_MODEL = "tts-1"
"""The name that OpenAI and nearly every compatible server know."""
DEFAULT_VOICE = "alloy"
"""It speaks every language; OpenAI's voices are not bound to one."""

OPENAI_HOST = "api.openai.com"

PCM_RATE = 24_000
"""Hz of `response_format=pcm`: signed 16-bit little-endian, mono."""
_RATE = {"sample_rate": PCM_RATE}

_FILE_TYPES = ("mpeg", "mp3", "wav", "flac", "ogg", "opus")
_FILE_MAGICS = (b"RIFF", b"ID3", b"fLaC", b"OggS")


class OpenAISpeech:
    """Asks for PCM and passes it on as it comes; a server that answers a file all the same is understood too."""

    name = "openai"

    def __init__(self, *, model: str, voice: str, timeout_s: float) -> None:
        """`timeout_s` limits the wait for the connection and for each part of the audio."""
        self._model = model
        self._voice = voice
        self._timeout_s = timeout_s
        self._client: Client | None = None
        self._says_rate = True

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        return cls(
            model=own_choice(settings.tts_model, cls.name) or DEFAULT_MODEL,
            voice=own_choice(settings.tts_voice, cls.name) or DEFAULT_VOICE,
            timeout_s=settings.tts_timeout_s,
        )

    @property
    def description(self) -> str:
        return f"openai {self._model}, voice {self._voice} {server_name(self._client)}".rstrip()

    async def start(self) -> None:
        self._client = await open_client(timeout_s=self._timeout_s)

    async def prepare(self) -> None:
        if self._client is not None:
            await self._client.connect_ahead()

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()

    def voice(self, language: str, wanted: str | None = None) -> str:
        return f"{self._model}/{wanted or self._voice}"

    async def speak(self, text: str, language: str, voice: str | None = None) -> AsyncGenerator[Pcm]:
        """Speak `text`, as the audio comes. Closing the iterator closes the connection.

        Raises:
            EngineFailed: the server cannot be reached, refuses, breaks off, or answers no usable audio.
        """
        client = self._client
        assert client is not None, "speak() before start()"
        ask = partial(
            client.audio.speech.with_streaming_response.create,
            model=self._model,
            voice=voice or self._voice,
            input=text,
            response_format="pcm",
        )
        with errors_mapped(client, chosen=voice is not None):
            async with AsyncExitStack() as stack:
                try:
                    # OpenAI's own PCM has one rate. Other servers answer at the rate of the voice (Piper: 22.05 kHz)
                    # unless asked for another, and PCM does not say which it is.
                    says_rate = self._says_rate and server_name(client) != OPENAI_HOST
                    response = await stack.enter_async_context(ask(extra_body=_RATE if says_rate else None))
                except (openai.BadRequestError, openai.UnprocessableEntityError) as error:
                    if not says_rate or "sample_rate" not in str(error):
                        raise
                    self._says_rate = False
                    response = await stack.enter_async_context(ask())
                content_type = response.headers.get("content-type", "").lower()
                async for audio in _audio(response.iter_bytes(), content_type):
                    yield audio


async def _audio(body: AsyncIterator[bytes], content_type: str) -> AsyncGenerator[Pcm]:
    """The audio of a response `body`: piece by piece if it is PCM, in one if it is a file."""
    head = b""
    while len(head) < max(map(len, _FILE_MAGICS)) and (piece := await anext(body, b"")):
        head += piece
    if _is_file(head, content_type):
        whole = bytearray(head)
        async for piece in body:
            _check_size(len(whole) + len(piece))
            whole += piece
        yield decode_file(bytes(whole), OpenAISpeech.name)
        return
    size = len(head)
    rest = head
    while True:
        # A sample may straddle two pieces.
        whole_bytes = len(rest) - len(rest) % 2
        if whole_bytes:
            yield Pcm(np.frombuffer(rest[:whole_bytes], "<i2").astype(np.int16), PCM_RATE)
        piece = await anext(body, b"")
        if not piece:
            break
        size += len(piece)
        _check_size(size)
        rest = rest[whole_bytes:] + piece
    if size < 2:
        raise EngineFailed("openai answered no audio")


def _is_file(head: bytes, content_type: str) -> bool:
    """Whether a body that begins with `head` is an audio file: by its type, or because it says so itself.

    An MP3 without tags begins like loud PCM may begin; only its content type tells them apart.
    """
    return (content_type.startswith("audio/") and any(kind in content_type for kind in _FILE_TYPES)) or head.startswith(
        _FILE_MAGICS
    )


def _check_size(size: int) -> None:
    if size > MAX_AUDIO_BYTES:
        raise EngineFailed(f"openai answered more than {MAX_AUDIO_BYTES} bytes of audio")
