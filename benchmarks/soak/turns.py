"""One question after the other, and what became of each."""

import asyncio
import random
import re
import time
from dataclasses import dataclass, field
from pathlib import Path

import soundfile

from benchmarks.soak.board import Sound, WatchedBoard, Wedged
from benchmarks.soak.drops import BACK_S, Drop
from benchmarks.soak.sounds import ANSWERS, END, ERROR, MESSAGE, SECONDS_A_CHARACTER, UNKNOWN, Stretch, tone
from gateway.audio import SPEECH_RATE
from tests.e2e.questions import QUESTIONS, heard_question, recording
from tests.fakes.http_server import Request
from tests.fakes.openai_server import Audio, OpenAIServer

LONGEST_ANSWER = 6
"""Sentences, of 1 s each: more than the board's memory holds."""
LONGEST_PAUSE_S = 0.6
IDLE_S = 20.0
"""In which a board that has its link, and neither plays nor hears anything, is idle again."""
LONGEST_SOUND_S = 30.0
SETTLED_S = 0.8
"""An idle board that has been silent for so long has said all that it had to say."""
TOLERANCE_S = 0.3

WHOLE = "whole"
FAILURES = ("utterances_lost", "replies_missing", "replies_stalled")
"""Counters of the firmware, each of which comes with the error tone."""


@dataclass(slots=True)
class Turn:
    """A question; times in seconds of the monotonic clock. `outcome` is `WHOLE`, or why it was given up.

    `heard_whole`: what the gateway heard of the question, None when it did not get that far. `defects` are what must
    not be, whatever became of the link.
    """

    number: int
    sentences: list[str]
    began: float
    heard_whole: bool | None = None
    asked: float = 0.0
    idle: float = 0.0
    sounds: list[Sound] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    outcome: str = ""
    disturbed: bool = False
    underruns: int = 0
    defects: list[str] = field(default_factory=list)

    @property
    def idle_after_s(self) -> float:
        """Between the end of the answer, or of the question if there was none, and being idle."""
        answers = [sound for sound in self.sounds if {each.what for each in sound.heard} - {ERROR}]
        return self.idle - max([self.asked, *(min(sound.ended, self.idle) for sound in answers)])


class Conversation:
    """Asks `board`; is also what the gateway's engines answer, through `serve`."""

    def __init__(self, board: WatchedBoard, folder: Path, drops: list[Drop], seed: int) -> None:
        self._board = board
        self._folder = folder
        self._drops = drops
        self._random = random.Random(seed)
        self.turns: list[Turn] = []
        for number in range(len(QUESTIONS)):
            soundfile.write(self._file(number), recording(number), SPEECH_RATE)

    def serve(self, provider: OpenAIServer) -> None:
        provider.transcriptions.answer = self._transcribe
        provider.chat.answer = self._reply
        provider.speech.answer = self._speak

    async def ask(self) -> Turn:
        """Ask the next question, once the board can be asked, and listen until it is idle and silent again.

        Raises:
            Wedged: that never came.
        """
        board = self._board
        await self._ready()
        await asyncio.sleep(self._random.uniform(0, LONGEST_PAUSE_S))
        number = len(self.turns) + 1
        parts = self._random.randint(1, LONGEST_ANSWER)
        # Without a comma, at which the gateway may cut: each piece that is spoken has to tell its number.
        sentences = [f"Answer {number} part {part}." for part in range(1, parts)] + [f"Answer {number} at its end."]
        turn = Turn(number, sentences, time.monotonic())
        stale = len(board.sounds) - sum(len(each.sounds) for each in self.turns)
        if stale or board.playing:
            turn.defects.append("something was played between two questions")
            turn.sounds += board.sounds[len(board.sounds) - stale :]
        self.turns.append(turn)
        first_sound, counters, said = len(board.sounds), dict(board.counters), len(board.said)
        board.type(f"!ask {self._file(number % len(QUESTIONS))}")
        await board.until(lambda: len(board.said) > said, IDLE_S, "the question was not heard to its end")
        turn.asked = time.monotonic()
        await board.changed()
        turn.idle = await self._idle(turn.asked)
        turn.sounds += board.sounds[first_sound:]
        turn.failures = [name for name in FAILURES if board.counters.get(name, 0) > counters.get(name, 0)]
        turn.underruns = board.counters.get("underruns", 0) - counters.get("underruns", 0)
        if board.said[said] < 100:
            turn.failures.append(f"only {board.said[said]} % recorded")
        turn.disturbed = any(
            drop.began <= time.monotonic() and (drop.ended is None or drop.ended >= turn.began) for drop in self._drops
        )
        judge(turn)
        return turn

    async def _ready(self) -> None:
        await self._board.until(
            lambda: self._board.state == "idle" and self._board.connected,
            BACK_S,
            f"not ready for a question; it is {self._board.state}",
        )

    async def _idle(self, asked: float) -> float:
        """Wait until the board is idle and silent, and return since when it has been idle."""
        board = self._board
        idle: float | None = None
        while True:
            now = time.monotonic()
            back = [drop.ended or now for drop in self._drops[-1:]]
            quiet_since = max([asked, *(sound.ended for sound in board.sounds[-1:])])
            if board.state not in ("idle", "offline"):
                idle = None
                if not board.playing and now - max([quiet_since, *back]) > IDLE_S:
                    raise Wedged(f"{board.state} for {IDLE_S:g} s with a link and in silence")
            elif idle is None:
                idle = now
            if board.playing_for > LONGEST_SOUND_S:
                raise Wedged(f"a sound of more than {LONGEST_SOUND_S:g} s")
            if idle is not None and not board.playing and now - max(idle, quiet_since) >= SETTLED_S:
                return idle
            await board.changed()

    def _file(self, number: int) -> Path:
        return self._folder / f"question-{number}.wav"

    def _transcribe(self, request: Request) -> str:
        question, whole = heard_question(request)
        turn = self.turns[-1]
        if whole:
            turn = next((each for each in reversed(self.turns) if each.number % len(QUESTIONS) == question), turn)
        turn.heard_whole = whole
        return f"question {turn.number}" if whole else f"a part of question {turn.number}"

    def _reply(self, request: Request) -> str:
        found = re.search(r"\d+", request.json["messages"][-1]["content"])
        assert found
        return " ".join(self.turns[int(found[0]) - 1].sentences)

    def _speak(self, request: Request) -> Audio:
        text: str = request.json["input"]
        found = re.search(r"Answer (\d+)", text)
        seconds = SECONDS_A_CHARACTER * len(text)
        return tone(int(found[1]) if found else None, seconds, last="at its end" in text)


def judge(turn: Turn) -> None:
    """Say what became of a turn that is over, and what of it must not be."""
    heard = [stretch for sound in turn.sounds for stretch in sound.heard]
    kinds = [stretch.what for stretch in heard]
    own = turn.number % ANSWERS
    for stretch in heard:
        if isinstance(stretch.what, int) and stretch.what != own:
            back = (own - stretch.what) % ANSWERS
            turn.defects.append(f"{stretch.seconds:.1f} s of the answer to the question {back} before")
        elif stretch.what == UNKNOWN:
            turn.defects.append(f"{stretch.seconds:.1f} s of garbled sound")
    if ERROR in kinds and (own in kinds[kinds.index(ERROR) :] or END in kinds[kinds.index(ERROR) :]):
        turn.defects.append("the answer went on after the error tone")
    if any(sound.began > turn.idle and {each.what for each in sound.heard} - {ERROR} for sound in turn.sounds):
        turn.defects.append("something was played after the turn")
    turn.outcome = _outcome(turn, heard, kinds, own)
    if turn.outcome != WHOLE and not turn.disturbed:
        turn.defects.append(f"without a drop: {turn.outcome}")


def _outcome(turn: Turn, heard: list[Stretch], kinds: list[int | str], own: int) -> str:
    if ERROR in kinds:
        where = "in the answer" if own in kinds else "before the answer"
        return f"error tone {where} ({', '.join(turn.failures) or 'no link at the press'})"
    if MESSAGE in kinds:
        return "the gateway said that something failed"
    if not kinds:
        turn.defects.append("silence")
        return "silence"
    # The gateway speaks one sentence after the other, with or without the space between two.
    seconds = sum(stretch.seconds for stretch in heard)
    shortest = SECONDS_A_CHARACTER * sum(map(len, turn.sentences))
    longest = SECONDS_A_CHARACTER * len(" ".join(turn.sentences))
    if END not in kinds:
        turn.defects.append(f"cut off without a tone after {seconds:.1f} s of {shortest:.1f} s")
        return "cut off without a tone"
    if seconds > longest + TOLERANCE_S:
        turn.defects.append(f"{seconds:.1f} s of an answer of {longest:.1f} s")
    if seconds < shortest - TOLERANCE_S:
        return "the answer with a hole"
    if not turn.heard_whole:
        return "an answer to a part of the question"
    return WHOLE
