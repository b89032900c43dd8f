"""One question and its answer, told while it happens: what `voice-gateway talk` does."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from gateway.audio import SPEECH_RATE
from gateway.broker.mqtt import MqttBroker
from gateway.broker.protocol import Incoming, Subscription
from gateway.broker.url import BrokerUrl
from gateway.cli.broker import with_advice
from gateway.cli.questions import Question
from gateway.cli.sound_card import Loudspeaker, microphone, open_sounddevice
from gateway.device import Exchange, SoftwareDevice
from gateway.device.uplink import CHUNK_MS
from gateway.errors import BrokerUnavailable, ConfigurationError, NothingCame
from gateway.values import Codec
from gateway.wire.topics import Topics

MAX_PACKET = 8192
BUFFER_MS = 3000
"""With `MAX_PACKET`, what `talk` says of itself: a roomy board."""
MIC_MAX_S = 30.0
"""Longest question by microphone; the gateway takes no more unless set otherwise."""

NOTES_S = 2.0
"""Longest wait for what the gateway says of its engines."""

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Talk:
    """What to ask (`question`, or the microphone for None) and how. `language` None leaves it to the gateway."""

    url: BrokerUrl
    root_topic: str
    ca_file: Path | None
    device: str
    language: str | None
    question: Question | None
    raw: bool
    codec: Codec
    paced: bool
    output: Path
    play: bool
    timeout_s: float


async def hold(talk: Talk, tell: Tell) -> dict[str, Any]:
    """Ask, tell each thing as it happens, save the answer; return what came of it, as data for scripts.

    Raises:
        ConfigurationError: a sound card that is needed is not there.
        BrokerUnavailable: there is no way to the broker.
        NothingCame: the gateway did not answer.
    """
    if talk.play:
        open_sounddevice()  # says what is missing before anything is asked
    hello: dict[str, Any] = {"v": 1, "name": talk.device, "max_packet": MAX_PACKET, "buffer_ms": BUFFER_MS}
    if talk.language is not None:
        hello["language"] = talk.language
    device = SoftwareDevice(
        talk.url,
        talk.device,
        root_topic=talk.root_topic,
        # Said anew each time: it also tells the gateway that turns are counted from 1 again.
        hello=hello,
        hello_retained=False,
        ca_file=talk.ca_file,
    )
    async with _connected(device):
        tell(f"asking as {talk.device} on {talk.url}")
        _remove_earlier_answer(talk.output)
        exchange = await _ask(talk, device, tell)
        try:
            async with asyncio.TaskGroup() as tasks:
                noted = tasks.create_task(_tell_notes(talk, tell), name="notes")
                told = tasks.create_task(_tell_events(talk, exchange, tell), name="tell")
                tasks.create_task(_save(talk, exchange, tell), name="save")
                if talk.play:
                    tasks.create_task(_play(talk, exchange), name="play")
        except* NothingCame as group:
            raise _explained(group.exceptions[0], exchange, talk.timeout_s) from None
        except* ConfigurationError as group:
            raise group.exceptions[0] from None
        return _result(talk, exchange, told.result()) | {"notes": noted.result()}


@asynccontextmanager
async def _connected(device: SoftwareDevice) -> AsyncIterator[None]:
    try:
        await device.start()
    except BrokerUnavailable as error:
        raise with_advice(error) from error
    try:
        yield
    finally:
        await device.stop()


async def _ask(talk: Talk, device: SoftwareDevice, tell: Tell) -> Exchange:
    if talk.question is None:
        return await _ask_by_microphone(talk, device, tell)
    speech = talk.question.speech
    how = "bare samples" if talk.raw else f"{talk.codec} frames"
    tell(f"  asked    {talk.question.name}: {speech.seconds:.1f} s in {how} of {CHUNK_MS} ms")
    if talk.raw:
        return await device.speak_raw(speech, paced=talk.paced)
    return await device.speak(speech, codec=talk.codec, paced=talk.paced)


async def _ask_by_microphone(talk: Talk, device: SoftwareDevice, tell: Tell) -> Exchange:
    utterance = device.begin(codec=talk.codec)
    seconds = 0.0
    async with aclosing(microphone(SPEECH_RATE, utterance.writer.chunk_samples)) as blocks:
        async for block in blocks:
            if seconds == 0:
                tell("  speak now; push Enter when you are done")
            await utterance.send(block)
            seconds += len(block) / SPEECH_RATE
            if seconds >= MIC_MAX_S:
                break
    tell(f"  asked    {seconds:.1f} s by microphone in {talk.codec} frames of {CHUNK_MS} ms")
    return await utterance.end()


async def _tell_events(talk: Talk, exchange: Exchange, tell: Tell) -> dict[str, Any]:
    """Tell the events of the turn; return what they said."""
    known: dict[str, Any] = {"heard": "", "language": "", "errors": []}
    async for event in exchange.each_event(talk.timeout_s):
        match event["event"]:
            case "transcript":
                known |= {"heard": event["text"], "language": event["language"]}
                tell(f"  heard    {event['text']} ({event['language']})")
            case "sentence":
                tell(f"  says     {event['text']}")
            case "engine_passed_over":
                tell(f"  note     {event['engine']} was passed over: {event['message']}")
            case "tool":
                tell(f"  tool     {event['name']} {'worked' if event['ok'] else 'failed'} in {event['ms']} ms")
            case "error":
                known["errors"].append({name: event[name] for name in ("code", "stage", "message", "retryable")})
                tell(f"  error    {event['code']}: {event['message']}")
            case "done":
                known["done"] = event
                tell(f"  done     {event['outcome']}, {_milliseconds(event['timings_ms'])}")
    return known


async def _tell_notes(talk: Talk, tell: Tell) -> list[str]:
    """Tell what the gateway says that a person should know of its engines: that it has no real speech model, say."""
    topic = Topics(talk.root_topic).stats
    came: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def receive(incoming: Incoming) -> None:
        if not came.done():
            came.set_result(incoming.payload)

    notes: list[str] = []
    # A device's login may not read this; then nothing comes.
    with contextlib.suppress(TimeoutError, BrokerUnavailable, ValueError):
        async with asyncio.timeout(NOTES_S):
            async with MqttBroker(talk.url, receive=receive, subscriptions=[Subscription(topic)], ca_file=talk.ca_file):
                statistics = json.loads(await came)
        if isinstance(statistics, dict):
            notes = [str(note) for note in statistics.get("notes", [])]
    for note in notes:
        tell(f"  note     {note}")
    return notes


def _remove_earlier_answer(path: Path) -> None:
    """What is there after a question is the answer to that one, or nothing."""
    try:
        if path.is_file():
            path.unlink()
    except OSError as error:
        raise ConfigurationError(f"the answer cannot be saved: {error}") from error


async def _save(talk: Talk, exchange: Exchange, tell: Tell) -> None:
    """Write each chunk as it arrives; without any there is no file."""
    file = None
    try:
        async for chunk in exchange.chunks(talk.timeout_s):
            if file is None:
                tell(f"  sound    begins after {_first_sound_ms(exchange)} ms")
                file = _created(talk.output)
            file.write(chunk.audio)
            file.flush()
    finally:
        if file is not None:
            file.close()
    reply = exchange.received
    if reply.chunks:
        seconds = reply.playback.audio_ms / 1000
        tell(f"  answer   {talk.output}: {seconds:.1f} s, {len(reply.mp3)} bytes in {len(reply.chunks)} chunks")


def _created(path: Path) -> BinaryIO:
    try:
        return path.open("wb")
    except OSError as error:
        raise ConfigurationError(f"the answer cannot be saved: {error}") from error


async def _play(talk: Talk, exchange: Exchange) -> None:
    async with Loudspeaker() as loudspeaker:
        async for chunk in exchange.chunks(talk.timeout_s):
            await loudspeaker.play(chunk.audio)


def _result(talk: Talk, exchange: Exchange, known: dict[str, Any]) -> dict[str, Any]:
    done, reply = known["done"], exchange.received
    return {
        "device": talk.device,
        "turn": exchange.turn,
        "outcome": done["outcome"],
        "heard": known["heard"],
        "language": known["language"],
        "said": done["reply"],
        "errors": known["errors"],
        "first_sound_ms": _first_sound_ms(exchange),
        "timings_ms": done["timings_ms"],
        "chunks": len(reply.chunks),
        "bytes": len(reply.mp3),
        "audio_ms": round(reply.playback.audio_ms),
        "answer": str(talk.output) if reply.chunks else None,
    }


def _explained(error: BaseException, exchange: Exchange, timeout_s: float) -> NothingCame:
    if exchange.events or exchange.received.chunks:
        return NothingCame(f"the answer broke off: {error}")
    return NothingCame(
        f"no answer within {timeout_s:g} s: is the gateway running, on this broker? See: voice-gateway doctor"
    )


def _first_sound_ms(exchange: Exchange) -> int | None:
    after = exchange.received.started_after_s
    return None if after is None else round(after * 1000)


def _milliseconds(timings: dict[str, int | None]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value} ms" for name, value in timings.items() if value is not None)
