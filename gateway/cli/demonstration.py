"""The whole gateway shown at work: two devices at once, each with a conversation of its own, everything checked."""

import asyncio
import re
import unicodedata
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import soundfile

from gateway.app import Gateway
from gateway.audio import SPEECH_RATE
from gateway.broker.url import BrokerUrl
from gateway.cli.questions import Question, spoken_questions
from gateway.config import Settings, database_url
from gateway.device import Ended, Exchange, Reply, SoftwareDevice
from gateway.device.uplink import CHUNK_MS
from gateway.engines.registry import Engines, build, choose
from gateway.errors import ConfigurationError, NothingCame
from gateway.simulator.decoding import fault_of
from gateway.store import Store
from gateway.values import Outcome, parse_device_id
from gateway.web.address import AUTO, DEFAULT_HOST, DEFAULT_PORT, OFF
from gateway.wire.topics import Leaf, Topics, largest_payload

MAX_PACKET = 4096
BUFFER_MS = 2000
"""With `MAX_PACKET`, what the devices say that they can take: a usual ESP32 board."""
REPLY_RATE = 24_000

CONNECT_S = 10.0
ANSWER_S = 60.0
"""Longest wait for an answer; recognition, chat and speech have shorter limits of their own."""

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Caller:
    """A device of the demonstration. Its second question asks for the first."""

    spelling: str
    name: str
    language: str
    questions: tuple[str, str]


CALLERS = (
    Caller("A4:CF:12:8B:3F:9E", "Cocina", "es", ("¿Qué hora es?", "¿Qué te pregunté antes?")),
    Caller("b8d61a44027c", "Office", "en", ("Who are you?", "What did I ask before?")),
)
"""Their questions are phrases that the miniature speech model knows."""


@dataclass(frozen=True, slots=True)
class Answered:
    """One turn of the demonstration as the device saw it. `file` is its answer; `asked_ms` the question's length."""

    caller: Caller
    question: str
    heard: str
    said: str
    turn: int | None
    outcome: str
    errors: tuple[str, ...]
    asked_ms: int
    frames: int
    timings_ms: Mapping[str, int | None]
    reply: Reply
    file: Path


@dataclass(slots=True)
class Shown:
    """What a demonstration came to: it went well when there are no `failures`."""

    engines: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    database: Path = Path()
    turns: list[Answered] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


Afterwards = Callable[[Shown, str | None], Awaitable[None]]
"""Takes what was shown and where the page is, None if it is not served."""


class Demonstration:
    """Runs everything in this process, on a broker and a database of its own; `folder` keeps the sound."""

    def __init__(self, settings: Settings, environ: Mapping[str, str], folder: Path, tell: Tell) -> None:
        """Engines, models and keys are those of `settings` and `environ`; broker and database are not.

        `tell` is told what begins; `told_turn`, if set, each turn that has ended.
        """
        self._folder = folder
        self._database = folder / "demo.db"
        self._settings = settings.model_copy(
            update={
                "mqtt_url": "embedded://127.0.0.1:0",
                "database_url": f"sqlite:///{self._database.absolute()}",
                "data_dir": folder,
            }
        )
        self._environ = environ
        self._topics = Topics(settings.root_topic)
        self._tell = tell
        self._shown = Shown(database=self._database)
        self.told_turn: Callable[[Answered], None] = lambda _: None

    async def show(self, afterwards: Afterwards | None = None) -> Shown:
        """Run it; takes as long as the questions and answers, some ten seconds. `afterwards` is awaited while the
        gateway still serves, its page too, which is not served otherwise.

        Raises:
            ConfigurationError: something cannot work here; the message says what to do.
        """
        self._prepare_folder()
        self._tell("making the questions with espeak")
        questions = await spoken_questions(
            self._settings,
            self._environ,
            [(question, caller.language) for caller in CALLERS for question in caller.questions],
        )
        self._tell("starting the engines")
        engines = await build(await choose(self._settings, self._environ), self._settings)
        try:
            self._shown.engines, self._shown.notes = engines.lines, engines.notes
            for line in engines.lines:
                self._tell(f"  {line}")
            self._tell("starting the gateway with an embedded broker and a fresh database")
            settings = self._settings
            if afterwards is None:
                # The page would be gone before anybody has seen it.
                settings = settings.model_copy(update={"web": OFF})
            elif settings.web == AUTO:
                # Whoever stays wants it: not to have it is an error that says what to do.
                settings = settings.model_copy(update={"web": f"{DEFAULT_HOST}:{DEFAULT_PORT}"})
            async with Gateway(settings, environ=self._environ, engines=engines) as gateway:
                await gateway.wait_connected(CONNECT_S)
                self._tell(f"two devices ask at the same time, on {gateway.broker_url}")
                async with asyncio.TaskGroup() as tasks:
                    for caller in CALLERS:
                        work = self._call(gateway.broker_url, caller, questions)
                        tasks.create_task(work, name=f"device {caller.name}")
                await self._check_memory(engines)
                if afterwards is not None:
                    await afterwards(self._shown, gateway.page_url)
        finally:
            await engines.close()
        return self._shown

    def _prepare_folder(self) -> None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            for suffix in ("", "-wal", "-shm"):
                self._database.with_name(self._database.name + suffix).unlink(missing_ok=True)
        except OSError as error:
            raise ConfigurationError(f"the demonstration needs a folder of its own: {error}") from error

    # The devices

    async def _call(self, url: BrokerUrl, caller: Caller, questions: Mapping[str, Question]) -> None:
        """Be `caller`: ask its questions, one after the other."""
        hello = {
            "v": 1,
            "name": caller.name,
            "firmware": "demo",
            "board": "software",
            "max_packet": MAX_PACKET,
            "buffer_ms": BUFFER_MS,
            "codecs": ["pcm", "adpcm"],
            "rate": SPEECH_RATE,
            "reply": {"rate": REPLY_RATE},
            "language": caller.language,
        }
        async with SoftwareDevice(url, caller.spelling, root_topic=self._topics.root, hello=hello) as device:
            for number, question in enumerate(caller.questions, 1):
                speech = questions[question].speech
                file = self._folder / f"{caller.name.lower()}-{number}.mp3"
                asked_in = file.with_name(f"{file.stem}-question.wav")
                soundfile.write(asked_in, speech.samples, speech.rate, subtype="PCM_16")
                exchange = await device.speak(speech, chunk_ms=CHUNK_MS)
                try:
                    reply = await exchange.reply(ANSWER_S)
                    done = await exchange.done(ANSWER_S)
                except NothingCame as error:
                    self._shown.failures.append(f"{caller.name} got no answer to “{question}”: {error}")
                    return
                file.write_bytes(reply.mp3)
                answered = Answered(
                    caller=caller,
                    question=question,
                    heard=_heard(exchange),
                    said=str(done["reply"]),
                    turn=exchange.turn,
                    outcome=str(done["outcome"]),
                    errors=tuple(str(event["message"]) for event in exchange.events if event["event"] == "error"),
                    asked_ms=round(speech.seconds * 1000),
                    frames=-(-len(speech.samples) * 1000 // (SPEECH_RATE * CHUNK_MS)),
                    timings_ms=done["timings_ms"],
                    reply=reply,
                    file=file,
                )
                self._shown.turns.append(answered)
                largest = largest_payload(MAX_PACKET, self._topics.device(caller.spelling, Leaf.OUT))
                self._shown.failures += [f"{caller.name}, “{question}”: {fault}" for fault in faults(answered, largest)]
                self.told_turn(answered)

    # What each conversation remembers

    async def _check_memory(self, engines: Engines) -> None:
        """Compare each conversation in the database with what its device was heard to ask.

        A chat model may put its answers in any words, so they are compared only where the offline assistant, which
        repeats a question literally, has given them all.
        """
        literal = [health.engine for health in engines.llm.health()] == ["offline"]
        store = Store(database_url(self._settings))
        await store.start()
        try:
            for caller in CALLERS:
                heard = [turn.heard for turn in self._shown.turns if turn.caller is caller and turn.heard]
                history = await store.history(parse_device_id(caller.spelling), 100)
                kept = [message.text for message in history if message.role == "user"]
                if kept != heard:
                    self._shown.failures.append(f"{caller.name} asked {heard}, but its conversation holds {kept}")
        finally:
            await store.close()
        if literal:
            self._shown.failures += [fault for caller in CALLERS for fault in self._forgotten(caller)]

    def _forgotten(self, caller: Caller) -> list[str]:
        """What the answer to the last question of `caller` fails to say of the first, or says of another's."""
        own = [turn for turn in self._shown.turns if turn.caller is caller]
        others = [turn.heard for turn in self._shown.turns if turn.caller is not caller]
        if len(own) < len(caller.questions) or not all(turn.heard for turn in own):
            return []  # said already
        first, last = own[0], own[-1]
        faults = []
        if _plain(first.heard) not in _plain(last.said):
            faults.append(
                f"{caller.name} is not told its first question “{first.heard}”, but “{last.said}”;"
                f" “{last.question}” was heard as “{last.heard}”"
            )
        if any(_plain(text) in _plain(last.said) for text in others if text):
            faults.append(f"{caller.name} is told what another asked: “{last.said}”")
        return faults


def faults(answered: Answered, largest: int) -> list[str]:
    """What is wrong with an answer, none of whose messages may have more than `largest` bytes of payload."""
    reply = answered.reply
    wrong = []
    if answered.outcome != Outcome.COMPLETED:
        wrong.append(f"the turn is {answered.outcome} ({'; '.join(answered.errors) or 'nobody was heard to speak'})")
    if reply.ended is not Ended.END or reply.lost:
        wrong.append(f"the answer is not whole: {reply.lost} chunks lost, ended by {reply.ended}")
    if reply.largest_message > largest:
        wrong.append(f"a message of {reply.largest_message} bytes is larger than the {largest} that fit")
    if reply.playback.overflowed:
        wrong.append(f"{reply.playback.peak_ms:.0f} ms of sound came at once; the device holds {BUFFER_MS}")
    if (fault := fault_of(reply.mp3, REPLY_RATE)) is not None:
        wrong.append(f"the answer cannot be played: {fault}")
    return wrong


def _heard(exchange: Exchange) -> str:
    return next((str(event["text"]) for event in exchange.events if event["event"] == "transcript"), "")


def _plain(text: str) -> str:
    """`text` without case, accents and punctuation, which recognisers write as they like."""
    letters = unicodedata.normalize("NFKD", text.casefold())
    return " ".join(re.sub(r"[^\w\s]", "", letters).split())
