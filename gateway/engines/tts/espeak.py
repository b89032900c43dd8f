"""Text to speech without any network: espeak-ng in this process."""

import asyncio
import threading
from collections.abc import AsyncGenerator
from typing import Self

import numpy as np
from numpy.typing import NDArray

from gateway.audio import Pcm
from gateway.config import Settings
from gateway.engines.choice import own_choice
from gateway.engines.tts.espeak_library import EspeakLibrary
from gateway.engines.workers import Workers
from gateway.errors import ConfigurationError, EngineFailed

DEFAULT_VOICES = {"en": "en-us", "zh": "cmn", "no": "nb"}
"""The voice of a language where espeak-ng's name for it is not the language's code."""

LONGEST_SPEECH_S = 300
"""A text that takes longer to speak is refused midway; it bounds what one synthesis may hold in memory (13 MB)."""

_QUEUE = 256


class EspeakSpeech:
    """Speaks in one thread: the library has one voice at a time.

    The synthesis is hundreds of times quicker than real time and never waits for its listener, so that a device
    that takes its audio slowly does not keep the voice from the others.
    """

    name = "espeak"

    def __init__(self, *, voice: str, default_language: str) -> None:
        """`voice` is an espeak-ng voice such as `es-419` or `en+f3`; empty: one that suits the language.
        `default_language` is the one that `start()` tries."""
        self._voice = voice
        self._default_language = default_language
        self._library = EspeakLibrary()
        self._workers = Workers("espeak", threads=1, queue=_QUEUE)

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        language = "es" if settings.language == "auto" else settings.language
        return cls(voice=own_choice(settings.tts_voice, cls.name), default_language=language)

    @property
    def description(self) -> str:
        return f"espeak {self.voice(self._default_language)} (in process)"

    async def start(self) -> None:
        """Load the library and try the voice.

        Raises:
            ConfigurationError: espeak-ng is not installed, or has no such voice.
        """
        voice = self.voice(self._default_language)
        try:
            await asyncio.to_thread(self._library.start)
            await asyncio.to_thread(self._library.speak, "a", voice, on_audio=lambda _: False)
        except ValueError as error:
            raise ConfigurationError(
                f"espeak has no voice {voice!r}: GATEWAY_TTS_VOICE may be a language (es, es-419, en-gb) with a variant"
                " (es+f3); if it is meant for another engine, write for example openai:nova"
            ) from error
        except RuntimeError as error:
            raise ConfigurationError(f"{error} (or with: pip install 'mqtt-voice-gateway[espeak]')") from error

    async def close(self) -> None:
        await self._workers.close()

    def voice(self, language: str, wanted: str | None = None) -> str:
        return wanted or self._voice or DEFAULT_VOICES.get(language, language)

    async def speak(self, text: str, language: str, voice: str | None = None) -> AsyncGenerator[Pcm]:
        """Speak `text`, in blocks of some 60 ms. Closing the iterator stops the synthesis within one block.

        Raises:
            EngineFailed: there is no such voice, none for the language, nothing to say in the text, or too much.
            EngineBusy: too many texts wait.
        """
        if not any(map(str.isalnum, text)):
            raise EngineFailed("there is nothing to say in the text", retryable=False, rest_s=0.0)
        blocks: asyncio.Queue[NDArray[np.int16] | None] = asyncio.Queue()
        loop = asyncio.get_running_loop()

        def synthesise(abandoned: threading.Event) -> None:
            samples = 0

            def pass_on(block: NDArray[np.int16]) -> bool:
                nonlocal samples
                if abandoned.is_set():
                    return False
                samples += len(block)
                loop.call_soon_threadsafe(blocks.put_nowait, block)
                return samples <= LONGEST_SPEECH_S * self._library.sample_rate

            self._library.speak(text, self.voice(language, voice), on_audio=pass_on)
            if samples == 0:
                raise EngineFailed("espeak made no audio")
            if samples > LONGEST_SPEECH_S * self._library.sample_rate:
                raise EngineFailed(
                    f"the text takes longer than {LONGEST_SPEECH_S} s to speak", retryable=False, rest_s=0.0
                )

        work = asyncio.create_task(self._workers.run(synthesise), name="espeak")
        work.add_done_callback(lambda _: blocks.put_nowait(None))
        try:
            while (block := await blocks.get()) is not None:
                yield Pcm(block, self._library.sample_rate)
            await work
        except ValueError as error:
            raise EngineFailed(
                f"espeak has no voice {self.voice(language, voice)!r}", retryable=False, rest_s=0.0
            ) from error
        except RuntimeError as error:
            raise EngineFailed(f"espeak failed: {error}") from error
        finally:
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
