"""Speech to text by Whisper on this machine: loaded by faster-whisper, recognised by our own steps."""

import asyncio
import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from gateway.config import Settings
from gateway.engines.batching import Batcher
from gateway.engines.choice import own_choice
from gateway.engines.stt.hearing import Hearing, Listener
from gateway.engines.stt.whisper import Whisper
from gateway.engines.stt.windows import WindowMode
from gateway.errors import ConfigurationError, EngineFailed
from gateway.values import Transcript

DEFAULT_MODEL = "base"
"""Multilingual, 145 MB; a 3 s utterance takes about 0.4 s on one core."""

DECODED_TOGETHER: Final = 16
"""Utterances: from here on a token costs as much for twice as many."""
ENCODED_TOGETHER: Final = {"cpu": 1, "cuda": 8}
"""Utterances, by device: on a processor there is nothing to gain, and the first would wait for the last."""

_log = logging.getLogger(__name__)


class FasterWhisper:
    """Recognises in `workers` threads that share one model; `queue` more utterances may wait."""

    name = "faster-whisper"
    local = True

    def __init__(
        self,
        *,
        model: str,
        device: str,
        compute_type: str,
        beam_size: int,
        window: WindowMode,
        workers: int,
        queue: int,
    ) -> None:
        """`model` is a folder, a name that faster-whisper knows (`base`), or `owner/name` on the Hugging Face Hub."""
        self._model_name = model
        self._device = device
        self._compute_type = compute_type
        self._beam_size = beam_size
        self._window = window
        self._threads = workers
        self._queue = queue
        self._started: _Started | None = None

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        return cls(
            model=own_choice(settings.stt_model, cls.name) or DEFAULT_MODEL,
            device=settings.stt_device,
            compute_type=settings.stt_compute_type,
            beam_size=settings.stt_beam_size,
            window=WindowMode(settings.stt_window),
            workers=settings.stt_workers,
            queue=settings.stt_queue,
        )

    @property
    def description(self) -> str:
        name = Path(self._model_name).name if _is_path(self._model_name) else self._model_name
        return f"faster-whisper {name} ({self._compute_type}, {self._device}, {self._window} window)"

    @property
    def counters(self) -> dict[str, int]:
        """What was done since the start, for the statistics."""
        if self._started is None:
            return {}
        counted = self._started.batcher.counters
        return {
            "utterances": counted.done,
            "failed": counted.failed,
            "cancelled": counted.cancelled,
            "busy": counted.busy,
            "batches": counted.batches,
            "largest_batch": counted.largest_batch,
            "retried_at_full_window": self._started.listener.retried,
        }

    async def start(self) -> None:
        """Load the model, off the event loop; one that is not in the cache is fetched first.

        Raises:
            ConfigurationError: there is no such model, it cannot be fetched, or it does not load.
        """
        self._started = await asyncio.to_thread(self._start)

    async def close(self) -> None:
        if self._started is not None:
            await self._started.batcher.close()

    async def transcribe(self, speech: NDArray[np.float32], language: str | None) -> Transcript:
        """Recognise `speech`: mono, shape (n,), -1..1, 16 kHz. `language` None means: detect it.

        A cancelled call frees its caller at once; what it was in goes on to the end of its step, a window of at most
        30 s, for the others that are in it.

        Raises:
            EngineFailed: the language is not one of Whisper's, or the model failed.
            EngineBusy: too many utterances wait.
        """
        assert self._started is not None, "start() comes first"
        if language is not None and language not in self._started.languages:
            raise EngineFailed(
                f"{self._model_name} does not know the language {language!r}", retryable=False, rest_s=0.0
            )
        hearing = Hearing(speech, language)
        try:
            await self._started.batcher.run(hearing)
        except (RuntimeError, ValueError) as error:
            raise EngineFailed(f"faster-whisper failed: {error}") from error
        return hearing.transcript

    def _start(self) -> "_Started":
        whisper = Whisper(self._load(), beam_size=self._beam_size)
        listener = Listener(whisper, self._window)
        batcher = Batcher(
            self.name,
            listener.encode,
            listener.decode,
            threads=self._threads,
            queue=self._queue,
            first_together=ENCODED_TOGETHER.get(whisper.device, 1),
            second_together=DECODED_TOGETHER,
            shares=whisper.device == "cpu",
        )
        batcher.start()
        return _Started(listener, batcher, whisper.languages)

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


@dataclass(frozen=True, slots=True)
class _Started:
    """What there is once the model is loaded."""

    listener: Listener
    batcher: Batcher[Hearing]
    languages: frozenset[str]


def _is_path(model: str) -> bool:
    """Whether `model` is meant as a folder, not as a name; `owner/name` is a name unless it exists as a folder."""
    return model.startswith(("/", ".", "~", os.sep)) or Path(model).is_dir()
