"""espeak-ng inside this process, through ctypes, from the `espeakng-loader` package.

The library keeps one set of global variables per process: every `EspeakLibrary` object shares it, and one
module lock lets a single voice speak at a time.
"""

import ctypes
import importlib
import os
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE = 22050
"""Samples per second that espeak-ng produces with its built-in formant voices."""

BUFFER_MS = 60
"""Length of the audio blocks, in milliseconds."""

WORDS_PER_MINUTE_RANGE = (80, 450)
PITCH_RANGE = (0, 99)

# espeak-ng keeps its data folder in a C array of 160 bytes and silently cuts what is longer.
_LONGEST_DATA_PATH = 140

# From speak_lib.h.
_AUDIO_OUTPUT_SYNCHRONOUS = 2
_INITIALIZE_DONT_EXIT = 0x8000
_CHARS_UTF8 = 1
_PARAMETER_RATE = 1
_PARAMETER_PITCH = 3
_EE_OK = 0

_SynthCallback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


class _Voice(ctypes.Structure):
    """`espeak_VOICE` of speak_lib.h."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        # One or more of: a priority byte and a zero-terminated language code; a zero byte ends the list.
        ("languages", ctypes.c_void_p),
        ("identifier", ctypes.c_char_p),
        ("gender", ctypes.c_ubyte),
        ("age", ctypes.c_ubyte),
        ("variant", ctypes.c_ubyte),
        ("reserved", ctypes.c_ubyte),
        ("score", ctypes.c_int),
        ("spare", ctypes.c_void_p),
    )


OnAudio = Callable[[NDArray[np.int16]], bool]


class _Speech:
    """What one call of `speak` collects while the C library calls back."""

    def __init__(self, on_audio: OnAudio) -> None:
        self.on_audio = on_audio
        self.stopped = False
        self.error: BaseException | None = None


_lock = threading.Lock()
_library: Any = None
_link_folder: tempfile.TemporaryDirectory[str] | None = None
_speech: _Speech | None = None


def _on_samples(samples: Any, count: int, _events: Any) -> int:
    """Pass one block on; a non-zero result tells espeak-ng to stop."""
    speech = _speech
    if speech is None or speech.stopped:
        return 1
    if not samples or count <= 0:
        return 0
    # The buffer is reused by the library after this call, hence the copy.
    block = np.ctypeslib.as_array(samples, shape=(count,)).astype(np.int16, copy=True)
    try:
        keep_going = speech.on_audio(block)
    except BaseException as error:
        # An exception cannot travel through C code: it is raised again by `speak`.
        speech.error = error
        keep_going = False
    if not keep_going:
        speech.stopped = True
        return 1
    return 0


# Kept here for the life of the process: the library holds only a bare pointer to it.
_synth_callback = _SynthCallback(_on_samples)


def _short_data_path(data_path: str) -> str:
    """Return a path to the same folder that fits in espeak-ng's fixed-size array."""
    global _link_folder
    if len(os.fsencode(data_path)) <= _LONGEST_DATA_PATH:
        return data_path
    # Data files are opened whenever a voice is first used, so the link lives as long as the process.
    _link_folder = tempfile.TemporaryDirectory(prefix="espeak-")
    link = Path(_link_folder.name) / "data"
    link.symlink_to(data_path, target_is_directory=True)
    return str(link)


def _load() -> Any:
    """Open and initialise the library. The caller holds the lock."""
    try:
        loader = importlib.import_module("espeakng_loader")
    except ImportError as error:
        raise RuntimeError(
            "The espeak-ng library is not installed; install it with: pip install espeakng-loader"
        ) from error
    try:
        data_path = _short_data_path(str(loader.get_data_path()))
        library = ctypes.CDLL(str(loader.get_library_path()))
    except (OSError, RuntimeError) as error:
        raise RuntimeError(f"The espeak-ng library cannot be loaded: {error}") from error

    library.espeak_Initialize.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_char_p, ctypes.c_int]
    library.espeak_Initialize.restype = ctypes.c_int
    library.espeak_SetSynthCallback.argtypes = [_SynthCallback]
    library.espeak_SetSynthCallback.restype = None
    library.espeak_SetVoiceByName.argtypes = [ctypes.c_char_p]
    library.espeak_SetVoiceByName.restype = ctypes.c_int
    library.espeak_ListVoices.argtypes = [ctypes.c_void_p]
    library.espeak_ListVoices.restype = ctypes.POINTER(ctypes.POINTER(_Voice))
    library.espeak_SetParameter.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int]
    library.espeak_SetParameter.restype = ctypes.c_int
    library.espeak_Synth.argtypes = [
        ctypes.c_char_p,
        ctypes.c_size_t,
        ctypes.c_uint,
        ctypes.c_int,
        ctypes.c_uint,
        ctypes.c_uint,
        ctypes.c_void_p,
        ctypes.c_void_p,
    ]
    library.espeak_Synth.restype = ctypes.c_int

    rate = library.espeak_Initialize(
        _AUDIO_OUTPUT_SYNCHRONOUS, BUFFER_MS, os.fsencode(data_path), _INITIALIZE_DONT_EXIT
    )
    if rate <= 0:
        raise RuntimeError(f"espeak-ng does not start with the data in {data_path} (code {rate})")
    if rate != SAMPLE_RATE:
        raise RuntimeError(f"espeak-ng produces {rate} samples per second, {SAMPLE_RATE} were expected")
    library.espeak_SetSynthCallback(_synth_callback)
    return library


def _language_identifier(library: Any, language: bytes) -> bytes | None:
    """Return the identifier of the voice that speaks a language code best, or None."""
    best: tuple[int, bytes] | None = None
    for voice in library.espeak_ListVoices(None):
        if not voice:
            break
        address = voice.contents.languages
        while address and (priority := ctypes.string_at(address, 1)[0]) != 0:
            code = ctypes.string_at(address + 1)
            if code == language and (best is None or priority < best[0]):
                best = (priority, voice.contents.identifier)
            address += len(code) + 2
    return None if best is None else best[1]


def _select_voice(library: Any, voice: bytes) -> bool:
    """Make `voice` the current one; False when there is none of that name."""
    if library.espeak_SetVoiceByName(voice) == _EE_OK:
        return True
    # Names are file names and titles; a code that stands only inside a voice file (en-gb) is not among them.
    language, plus, variant = voice.partition(b"+")
    identifier = _language_identifier(library, language.lower())
    return identifier is not None and library.espeak_SetVoiceByName(identifier + plus + variant) == _EE_OK


class EspeakLibrary:
    """Speech synthesis by espeak-ng, without a process per sentence.

    Objects are cheap and share one library per process. Calls may come from any thread; they run one after
    the other.
    """

    sample_rate: int = SAMPLE_RATE
    """Samples per second of the audio that `speak` delivers."""

    def start(self) -> None:
        """Load and initialise the library; a second call does nothing.

        Raises RuntimeError when `espeakng-loader` is not installed or its library or data do not work.
        """
        global _library
        with _lock:
            if _library is None:
                _library = _load()

    def speak(
        self,
        text: str,
        voice: str = "es",
        *,
        words_per_minute: int = 165,
        pitch: int = 50,
        on_audio: OnAudio,
    ) -> None:
        """Speak `text`, handing over each block of audio as soon as it exists; return at the end.

        `voice` is an espeak-ng voice name or language code with an optional variant, such as "es", "en-gb"
        or "es+m3"; a variant that does not exist is ignored. `words_per_minute` lies in 80..450 and `pitch`
        in 0..99 (50 is the voice's own pitch).

        `on_audio` runs in the calling thread with a one-dimensional int16 array of mono samples at
        `sample_rate` (at most about 60 ms, its own copy) and returns whether to go on; after False nothing
        more is synthesised. It must not call `speak` itself: the lock is held while it runs.

        Blocks the calling thread. Raises RuntimeError before `start` or when the synthesis fails,
        ValueError for an unknown voice or a number outside its range, and whatever `on_audio` raises.
        """
        global _speech
        for name, value, (low, high) in (
            ("words_per_minute", words_per_minute, WORDS_PER_MINUTE_RANGE),
            ("pitch", pitch, PITCH_RANGE),
        ):
            if not low <= value <= high:
                raise ValueError(f"{name} is {value}, outside {low}..{high}")
        # The text goes to C as a string that ends at the first NUL.
        encoded = text.replace("\0", " ").encode("utf-8", errors="replace")
        encoded_voice = voice.encode("utf-8", errors="replace")
        if not voice or b"\0" in encoded_voice:
            raise ValueError(f"espeak-ng has no voice {voice!r}")

        with _lock:
            library = _library
            if library is None:
                raise RuntimeError("EspeakLibrary.start() has not been called")
            if not _select_voice(library, encoded_voice):
                raise ValueError(f"espeak-ng has no voice {voice!r}")
            # Selecting a voice resets the parameters, so they come after it.
            library.espeak_SetParameter(_PARAMETER_RATE, words_per_minute, 0)
            library.espeak_SetParameter(_PARAMETER_PITCH, pitch, 0)
            speech = _Speech(on_audio)
            _speech = speech
            try:
                result = library.espeak_Synth(encoded, len(encoded) + 1, 0, 0, 0, _CHARS_UTF8, None, None)
            finally:
                _speech = None
        if speech.error is not None:
            raise speech.error
        if result != _EE_OK and not speech.stopped:
            raise RuntimeError(f"espeak-ng could not speak the text (code {result})")
