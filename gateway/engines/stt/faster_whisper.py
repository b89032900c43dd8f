"""Speech to text by Whisper on this machine, through faster-whisper and its own loader."""

import asyncio
import logging
import os
import threading
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from gateway.audio import SPEECH_RATE
from gateway.config import Settings
from gateway.engines.choice import own_choice
from gateway.engines.workers import Workers
from gateway.errors import ConfigurationError, EngineFailed
from gateway.values import Transcript

DEFAULT_MODEL = "base"
"""Multilingual, 145 MB; a 3 s utterance takes about 1.5 s on one core."""

TEMPERATURES = (0.0, 0.4)
"""Greedy first; if the result repeats itself or is improbable, once more with some chance. faster-whisper's own list
goes on to four more attempts, each as dear as the first, while a person waits."""

NO_SPEECH_PROBABILITY = 0.6
LOG_PROBABILITY = -1.0
"""Whisper's own gate: a window that is probably no speech and whose words are improbable is silence."""

_TOKENS_BASE, _TOKENS_PER_SECOND = 8, 10
"""Nobody speaks faster; the limit ends a repetition that would otherwise run for 224 steps."""
_WINDOW_S = 30

_log = logging.getLogger(__name__)


class FasterWhisper:
    """Recognises in `workers` threads that share one model; `queue` more utterances may wait."""

    name = "faster-whisper"

    def __init__(self, *, model: str, device: str, compute_type: str, beam_size: int, workers: int, queue: int) -> None:
        """`model` is a folder, a name that faster-whisper knows (`base`), or `owner/name` on the Hugging Face Hub."""
        self._model_name = model
        self._device = device
        self._compute_type = compute_type
        self._beam_size = beam_size
        self._threads = workers
        self._workers = Workers("faster-whisper", threads=workers, queue=queue)
        self._model: Any = None

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        return cls(
            model=own_choice(settings.stt_model, cls.name) or DEFAULT_MODEL,
            device=settings.stt_device,
            compute_type=settings.stt_compute_type,
            beam_size=settings.stt_beam_size,
            workers=settings.stt_workers,
            queue=settings.stt_queue,
        )

    @property
    def description(self) -> str:
        name = Path(self._model_name).name if _is_path(self._model_name) else self._model_name
        return f"faster-whisper {name} ({self._compute_type}, {self._device})"

    async def start(self) -> None:
        """Load the model, off the event loop; one that is not in the cache is fetched first.

        Raises:
            ConfigurationError: there is no such model, it cannot be fetched, or it does not load.
        """
        self._model = await asyncio.to_thread(self._load)

    async def close(self) -> None:
        await self._workers.close()

    async def transcribe(self, speech: NDArray[np.float32], language: str | None) -> Transcript:
        """Recognise `speech`: mono, shape (n,), -1..1, 16 kHz. `language` None means: detect it.

        A cancelled call that waits is dropped; one that runs ends after the 30 s window that it is at.

        Raises:
            EngineFailed: the language is not one of Whisper's, or the model failed.
            EngineBusy: too many utterances wait.
        """
        if language is not None and language not in self._model.supported_languages:
            raise EngineFailed(
                f"{self._model_name} does not know the language {language!r}", retryable=False, rest_s=0.0
            )
        return await self._workers.run(lambda abandoned: self._transcribe(speech, language, abandoned))

    def _transcribe(self, speech: NDArray[np.float32], language: str | None, abandoned: threading.Event) -> Transcript:
        seconds = min(len(speech) / SPEECH_RATE, _WINDOW_S)
        try:
            segments, info = self._model.transcribe(
                speech,
                language=language,
                beam_size=self._beam_size,
                temperature=TEMPERATURES,
                condition_on_previous_text=False,
                vad_filter=True,
                no_speech_threshold=NO_SPEECH_PROBABILITY,
                log_prob_threshold=LOG_PROBABILITY,
                max_new_tokens=_TOKENS_BASE + round(_TOKENS_PER_SECOND * seconds),
            )
            # The segments come as they are decoded, which begins when the first is asked for.
            decoded = iter(segments)
            texts = []
            while not abandoned.is_set() and (segment := next(decoded, None)) is not None:
                texts.append(segment.text)
        except (RuntimeError, ValueError) as error:
            raise EngineFailed(f"faster-whisper failed: {error}") from error
        return Transcript("".join(texts).strip(), info.language)

    def _load(self) -> Any:
        from faster_whisper import WhisperModel

        try:
            return WhisperModel(
                str(self._folder()),
                device=self._device,
                compute_type=self._compute_type,
                cpu_threads=max(1, (os.cpu_count() or 1) // self._threads),
                num_workers=self._threads,
            )
        except (RuntimeError, ValueError, OSError) as error:
            raise ConfigurationError(
                f"the Whisper model {self._model_name!r} does not load on {self._device}"
                f" as {self._compute_type}: {error}"
            ) from error

    def _folder(self) -> Path:
        """The folder of the model: the one named, or the one in the cache, or the one that is fetched now."""
        if _is_path(self._model_name):
            folder = Path(self._model_name).expanduser()
            if not (folder / "model.bin").is_file():
                raise ConfigurationError(
                    f"there is no Whisper model (model.bin) in {folder}: GATEWAY_STT_MODEL must be a folder with a"
                    " model converted for CTranslate2, or a name such as base or small"
                )
            return folder

        from faster_whisper import available_models, download_model
        from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

        if "/" not in self._model_name and self._model_name not in available_models():
            raise ConfigurationError(
                f"faster-whisper knows no model {self._model_name!r}: GATEWAY_STT_MODEL may be a folder or one of "
                + ", ".join(available_models())
            )
        try:
            folder = Path(download_model(self._model_name, local_files_only=True))
            if (folder / "model.bin").is_file():
                return folder
        except LocalEntryNotFoundError:
            pass
        _log.info("fetching the Whisper model %s, once", self._model_name)
        try:
            return Path(download_model(self._model_name))
        except (HfHubHTTPError, OSError, ValueError, RuntimeError) as error:
            raise ConfigurationError(
                f"the Whisper model {self._model_name!r} is not in the cache and cannot be fetched: start once with"
                " access to the Hugging Face Hub, or set GATEWAY_STT_MODEL to a folder"
            ) from error


def _is_path(model: str) -> bool:
    """Whether `model` is meant as a folder, not as a name; `owner/name` is a name unless it exists as a folder."""
    return model.startswith(("/", ".", "~", os.sep)) or Path(model).is_dir()
