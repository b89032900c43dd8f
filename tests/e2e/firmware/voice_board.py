"""A virtual board with the firmware, and the sounds in which its answers are told apart."""

import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import soundfile

from gateway.audio import SPEECH_RATE
from tests.e2e.board import Board
from tests.e2e.questions import heard_question, recording
from tests.fakes.http_server import Request
from tests.fakes.openai_server import SPEECH_RATE as REPLY_RATE
from tests.fakes.openai_server import Audio

DEVICE = "a4cf128b3f9e"
SECONDS_A_CHARACTER = 0.05
LONG = " ".join(f"This is sentence {word} of it." for word in ("one", "two", "three", "four", "five"))
MINUTE_PATIENCE_S = 60.0
"""For what waits for a time limit of the firmware, or for its next attempt to connect."""


def recognise(request: Request) -> str:
    """Answer of the transcription server: the question that was heard, if it was heard whole and clear."""
    number, whole = heard_question(request)
    return f"question {number}" if whole else f"something like question {number}"


def pitch(text: str) -> int:
    """Hz in which an answer is spoken: it says which question it answers."""
    number = re.search(r"\d", text)
    return 400 + 150 * int(number[0]) if number else 300


def speak(request: Request) -> Audio:
    """Answer of the speech server: a tone as long as the text, in the pitch of its question."""
    text = request.json["input"]
    times = np.arange(round(SECONDS_A_CHARACTER * len(text) * REPLY_RATE)) / REPLY_RATE
    return Audio((8000 * np.sin(2 * np.pi * pitch(text) * times)).astype("<i2").tobytes(), "audio/pcm")


class Sound(NamedTuple):
    """Something that the speaker played, from one silence to the next."""

    seconds: float
    hertz: float
    underruns: int
    loudest: int


class VoiceBoard:
    """A board with the firmware, set up and online; what it plays goes to a file."""

    def __init__(self, board: Board, folder: Path, sounds: Path) -> None:
        self.board = board
        self._folder = folder
        self._sounds = sounds
        self._heard = 0

    async def online(self) -> None:
        await self.board.line("^mqtt: connected", MINUTE_PATIENCE_S)

    def recording(self, number: int) -> Path:
        path = self._folder / f"question-{number}.wav"
        if not path.exists():
            soundfile.write(path, recording(number), SPEECH_RATE)
        return path

    async def say(self, number: int) -> None:
        self.board.type(f"!say {self.recording(number)}")
        await self.board.line(r"^!said .* heard=100%")

    async def ask(self, number: int) -> None:
        """Hold the button and ask."""
        self.board.type(f"!ask {self.recording(number)}")
        await self.board.line(r"^!said .* heard=100%")

    async def sounds(self) -> None:
        """Wait until something is played."""
        await self.board.line("^!speaker start", MINUTE_PATIENCE_S)

    async def heard(self) -> Sound:
        """Wait for the end of what is played, or of the next sound, and return it."""
        pattern = r"^!speaker stop samples=(\d+) underruns=(\d+) underrun_samples=(\d+)"
        samples, underruns, missing = map(int, (await self.board.line(pattern, MINUTE_PATIENCE_S)).groups())
        everything, rate = soundfile.read(self._sounds, dtype="int16")
        sound = everything[self._heard : self._heard + samples + missing]
        assert len(sound) == samples + missing
        self._heard += len(sound)
        spectrum = np.abs(np.fft.rfft(sound.astype(np.float64)))
        hertz = float(np.argmax(spectrum) * rate / len(sound))
        return Sound(len(sound) / rate, hertz, underruns, int(np.abs(sound.astype(int)).max()))

    async def hears(self, number: int, answer: str = "") -> None:
        """The answer to question `number` is played whole and without a gap."""
        expected = answer or f"Answer to question {number}."
        sound = await self.heard()
        assert sound.hertz == pytest.approx(pitch(expected), abs=5)
        assert sound.seconds == pytest.approx(SECONDS_A_CHARACTER * len(expected), abs=0.25)
        assert sound.underruns == 0

    async def is_answered(self, number: int) -> None:
        await self.ask(number)
        await self.hears(number)

    async def hears_the_error_tone(self) -> None:
        sound = await self.heard()
        assert sound.seconds < 0.6

    async def status(self) -> dict[str, str]:
        """The firmware's state and counters."""
        self.board.type("status")
        state = await self.board.line(r"^state (\S+),")
        await self.board.counters()
        lines = self.board.lines
        counters = [line.rsplit(" ", 1) for line in lines[lines.index(state.string) :] if not line.startswith("!")]
        return {name.strip(): value for name, value in counters} | {"state": state[1]}


StartBoard = Callable[..., Awaitable[VoiceBoard]]
