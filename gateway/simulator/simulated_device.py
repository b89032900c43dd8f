"""The life of one device: it asks, listens, checks, rests and asks again."""

import asyncio
import io
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Final

import soundfile

from gateway.audio import SPEECH_RATE, Pcm
from gateway.broker.url import BrokerUrl
from gateway.device import Ended, Exchange, SoftwareDevice
from gateway.device.exchange import Event, first_event
from gateway.errors import BrokerUnavailable, NothingCame
from gateway.simulator.checks import Answer
from gateway.simulator.decoding import fault_of
from gateway.simulator.plan import FILE, RAW, Plan, name_of
from gateway.simulator.slow_link import SlowLink
from gateway.simulator.spoiling import Spoiler
from gateway.simulator.strangers import Strangers
from gateway.simulator.tally import Tally
from gateway.values import Codec, Outcome
from gateway.wire.topics import Leaf, Topics, largest_payload

MAX_PACKET: Final = 4096
BUFFER_MS: Final = 2000
PRE_BUFFER_MS: Final = 300
REPLY_RATE: Final = 24_000
REPLY_KBPS: Final = 32
"""What a device says of itself and how it plays: the firmware's defaults. It has room for its pre-buffer besides."""

SLOW_PATIENCE: Final = 6
"""How many times as long as the others a slow consumer waits."""
REPLY_MAX_S: Final = 120.0
"""Longest answer that is listened to, from its first sound."""
RECONNECT_S: Final = 1.0
"""Shortest rest after a question that could not be sent."""
BARGE_IN_S: Final = (0.1, 0.8)
"""How much of an answer is heard before the device speaks into it."""

_TOLD, _SPOKEN, _RECALLED = "told", "spoken", "recalled"
_CYCLE = (_TOLD, _SPOKEN, _SPOKEN, _RECALLED, _SPOKEN, _SPOKEN)
"""What a device asks in turn: it tells its name, asks twice aloud, asks for its name, asks twice aloud. The name is
told again before it is too long ago to be remembered."""
_TEXTS = {
    "es": {_TOLD: "Me llamo {name}.", _RECALLED: "¿Cómo me llamo?"},
    "en": {_TOLD: "My name is {name}.", _RECALLED: "What is my name?"},
}


@dataclass(frozen=True, slots=True)
class World:
    """What all devices share. `literal` says that the gateway's chat model repeats a name that it was told."""

    plan: Plan
    url: BrokerUrl
    ca_file: Path | None
    topics: Topics
    questions: Sequence[Pcm]
    tally: Tally
    literal: bool
    ends_at: float
    """When no more questions are asked, by the monotonic clock."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """A question on its way. `largest_payload` is the most that an answer's message may have."""

    exchange: Exchange
    largest_payload: int | None
    frames_lost: int = 0
    spoken: bool = True
    recalls: bool = False


class SimulatedDevice:
    """`await SimulatedDevice(world, 7).run()` is the life of device 7, from its start to the end of the simulation."""

    def __init__(self, world: World, index: int) -> None:
        plan = world.plan
        self._world = world
        self._plan = plan
        self._index = index
        self.spelling = plan.spelling(index)
        self._form = plan.form_of(index)
        self._slow = plan.is_slow(index)
        self._name = name_of(index)
        self._random = Random(index)  # noqa: S311 - the same device does the same in each simulation
        self.spoiler = Spoiler(plan.loss, plan.duplicate, plan.reorder, plan.jitter_s, self._random)
        self._strangers = Strangers(plan, index)
        self._patience_s = plan.patience_s * (SLOW_PATIENCE if self._slow else 1)
        self._name_told = False
        self._stray_known = 0
        self._device: SoftwareDevice

    async def run(self) -> None:
        """Connect when it is this device's turn to, and ask until the end."""
        await asyncio.sleep(self._plan.ramp_s * self._index / self._plan.devices)
        async with AsyncExitStack() as stack:
            url = self._world.url
            if self._slow:
                url = (await stack.enter_async_context(SlowLink(url))).url
            self._device = SoftwareDevice(
                url,
                self.spelling,
                root_topic=self._world.topics.root,
                hello=self._hello,
                # It is gone for good afterwards.
                hello_retained=False,
                first_turn=self._plan.first_turn(self._index),
                report_played=True,
                pre_buffer_ms=PRE_BUFFER_MS,
                ca_file=self._world.ca_file,
            )
            try:
                await stack.enter_async_context(self._device)
            except BrokerUnavailable as error:
                self._world.tally.trouble(str(error))
                return
            self._world.tally.connected += 1
            try:
                await self._live()
            finally:
                self._world.tally.connected -= 1

    @property
    def _hello(self) -> Mapping[str, Any] | None:
        """Who sends whole files is no board, but somebody with `mosquitto_pub`, and says nothing of itself."""
        if self._form == FILE:
            return None
        return {
            "v": 1,
            "name": self.spelling,
            "firmware": "simulator",
            "board": "software",
            "max_packet": MAX_PACKET,
            "buffer_ms": BUFFER_MS,
            "codecs": ["pcm", "adpcm", "opus"],
            "rate": SPEECH_RATE,
            "reply": {"rate": REPLY_RATE, "bitrate_kbps": REPLY_KBPS},
            "language": self._plan.language,
        }

    async def _live(self) -> None:
        number = 0
        while time.monotonic() < self._world.ends_at:
            kind = _CYCLE[number % len(_CYCLE)]
            number += 1
            if kind != _SPOKEN and (self._form == FILE or self._plan.language not in _TEXTS):
                continue
            rest_s = self._plan.pause_s * self._random.uniform(0.5, 1.5)
            # All have been judged: an answer that never came must not be taken for the next one's.
            self._device.downlink.leave(time.monotonic())
            try:
                await (self._converse() if kind == _SPOKEN else self._ask_about_name(kind))
            except BrokerUnavailable as error:
                self._world.tally.not_asked += 1
                self._world.tally.trouble(str(error))
                rest_s = max(rest_s, RECONNECT_S)
            await asyncio.sleep(max(0.0, min(rest_s, self._world.ends_at - time.monotonic())))

    # Asking

    async def _converse(self) -> None:
        """Ask a question aloud and hear the answer; perhaps speak into it, and hear that answer instead."""
        asked = await self._speak()
        interrupts = not self._slow and self._random.random() < self._plan.barge_in
        if interrupts and await self._begins_to_sound(asked.exchange):
            await asyncio.sleep(self._random.uniform(*BARGE_IN_S))
            second = await self._speak()
            gave_up = await self._listen(second)
            await self._judge(asked, await self._listen(asked), interrupted=True)
            asked = second
        else:
            gave_up = await self._listen(asked)
        await self._judge(asked, gave_up)
        await self._play_out(asked.exchange)

    async def _speak(self) -> _Asked:
        """Say the next question, in this device's form, until something of it has gone out."""
        speech = self._random.choice(self._world.questions)
        if self._form == FILE:
            data = _wav(speech)
            return _Asked(await self._device.speak_file(data), len(data))
        if self._form == RAW:
            return _Asked(await self._device.speak_raw(speech, delay=self.spoiler.delay), self._largest_payload)
        while True:
            sent, lost = self.spoiler.sent, self.spoiler.lost
            exchange = await self._device.speak(
                speech, codec=Codec(self._form), link=self.spoiler, delay=self.spoiler.delay
            )
            if self.spoiler.sent > sent:
                return _Asked(exchange, self._largest_payload, self.spoiler.lost - lost)

    async def _ask_about_name(self, kind: str) -> None:
        text = _TEXTS[self._plan.language][kind].format(name=self._name)
        exchange = await self._device.ask(text, self._plan.language)
        recalls = kind == _RECALLED and self._name_told and self._world.literal
        asked = _Asked(exchange, self._largest_payload, spoken=False, recalls=recalls)
        await self._judge(asked, await self._listen(asked))
        if kind == _TOLD:
            self._name_told = first_event(exchange.events, "done", {"outcome": Outcome.COMPLETED}) is not None
        await self._play_out(exchange)

    @property
    def _largest_payload(self) -> int:
        return largest_payload(MAX_PACKET, self._world.topics.device(self.spelling, Leaf.OUT))

    # Hearing

    async def _begins_to_sound(self, exchange: Exchange) -> bool:
        try:
            async with aclosing(exchange.chunks(self._patience_s)) as chunks:
                async for _ in chunks:
                    return True
        except NothingCame:
            pass
        return False

    async def _listen(self, asked: _Asked) -> str | None:
        """Hear the answer to its end; return for what the device waited in vain, if it did.

        A device with a full buffer gets the next chunk only when it has played some: that is no lack of patience.
        """
        exchange, wait_s = asked.exchange, self._patience_s + BUFFER_MS / 1000
        try:
            async with asyncio.timeout(wait_s + REPLY_MAX_S), aclosing(exchange.chunks(wait_s)) as chunks:
                async for _ in chunks:
                    pass
                await exchange.done(wait_s)
        except NothingCame as error:
            return str(error)
        except TimeoutError:
            return f"the answer did not end within {wait_s + REPLY_MAX_S:g} s"
        return None

    async def _judge(self, asked: _Asked, gave_up: str | None, *, interrupted: bool = False) -> None:
        exchange = asked.exchange
        reply = exchange.received
        sound_fault = None
        if reply.chunks and reply.ended is Ended.END and not interrupted:
            rate = None if self._form == FILE else REPLY_RATE
            # Decoding takes milliseconds, in which no other device would be heard.
            sound_fault = await asyncio.to_thread(fault_of, reply.mp3, rate)
        errors = tuple(event for event in exchange.events if event.get("event") == "error")
        strangers = self._strangers_so_far()
        if asked.recalls:
            strangers += self._strangers.of_memory(exchange.events)
        self._world.tally.add(
            self.spelling,
            Answer(
                reply=reply,
                done=first_event(exchange.events, "done", {}),
                errors=errors,
                patience_s=self._patience_s,
                largest_payload=asked.largest_payload,
                spare_ms=PRE_BUFFER_MS,
                strangers=strangers,
                gave_up=gave_up,
                sound_fault=sound_fault,
                late_chunks=exchange.stale + exchange.oversized,
                frames_lost=asked.frames_lost,
                interrupted=interrupted,
                slow=self._slow,
                spoken=asked.spoken,
            ),
        )

    def _strangers_so_far(self) -> tuple[str, ...]:
        """Count what has come since this was last asked, and return what of it was not for this device."""
        events: list[Event] = []
        while self._device.events:
            events.append(self._device.events.popleft())
        for event in events:
            self._world.tally.events[str(event.get("event"))] += 1
            if event.get("event") == "error":
                self._world.tally.errors[str(event.get("code"))] += 1
        downlink = self._device.downlink
        turns = list(downlink.unknown_turns)
        downlink.unknown_turns.clear()
        stray = downlink.stray + downlink.malformed + self._device.malformed_events - self._stray_known
        self._stray_known += stray
        return self._strangers.among(events, turns, stray)

    async def _play_out(self, exchange: Exchange) -> None:
        if exchange.playback.ends_at is not None:
            await asyncio.sleep(max(0.0, exchange.playback.ends_at - time.monotonic()))


def _wav(speech: Pcm) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, speech.samples, speech.rate, format="WAV", subtype="PCM_16")
    return file.getvalue()
