"""A device in software, on the wire code and the MQTT connection of the product itself."""

import asyncio
import json
import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from gateway.audio import SPEECH_RATE, Pcm
from gateway.broker.mqtt import MqttBroker
from gateway.broker.protocol import Incoming, Subscription, Will
from gateway.broker.url import BrokerUrl, parse_broker_url
from gateway.device.downlink import Downlink
from gateway.device.exchange import Event, Exchange, Signal, first_event
from gateway.device.playback import Playback
from gateway.device.played import PlayedReporter
from gateway.device.uplink import CHUNK_MS, Delay, FrameWriter, Link, no_delay, pieces, raw_messages
from gateway.values import Codec, ReplyForm
from gateway.wire.frame import FIRST_DEVICE_TURN, turn_after
from gateway.wire.topics import OFFLINE, ONLINE, Leaf, Topics

DEFAULT_BUFFER_MS = 3000
"""What the wire contract takes a device to hold that has not said it."""
CONNECT_TIMEOUT_S = 10.0
EVENTS_MAX = 1000
"""Events kept of all turns together, the newest."""
WAV_CHUNK_BYTES = 4096


class SoftwareDevice:
    """`async with SoftwareDevice(url, spelling) as device:` is a device that is there.

    Each question returns its `Exchange` as soon as it has been sent, with which the reply and the events are waited
    for. Asking again while a reply plays is barge-in. Methods that send raise `BrokerUnavailable` when the connection
    is away.
    """

    def __init__(
        self,
        url: BrokerUrl | str,
        spelling: str,
        *,
        root_topic: str = "voice",
        hello: Mapping[str, Any] | None = None,
        hello_retained: bool = True,
        first_turn: int = FIRST_DEVICE_TURN,
        report_played: bool = False,
        pre_buffer_ms: float = 0,
        ca_file: Path | None = None,
    ) -> None:
        """`url` is the broker's, `spelling` the device's id as it stands in its topics.

        `hello` is said at each connect. `report_played` sends `played` for each chunk of a framed reply when it
        would have been heard. A reply is played from when `pre_buffer_ms` of it is there.
        """
        self._topics = Topics(root_topic)
        self._spelling = spelling
        self._hello = hello
        self._hello_retained = hello_retained
        self._buffer_ms = float((hello or {}).get("buffer_ms", DEFAULT_BUFFER_MS))
        self._pre_buffer_ms = pre_buffer_ms
        self._turn = first_turn
        self._reporter = PlayedReporter(self.played) if report_played else None
        self._signal = Signal()
        self.downlink = Downlink(self._new_exchange)
        self.events: deque[Event] = deque(maxlen=EVENTS_MAX)
        """Every event that has come, of whichever turn or none."""
        self.malformed_events = 0
        self.state: Event | None = None
        """What the `state` topic says."""
        self._broker = MqttBroker(
            parse_broker_url(url) if isinstance(url, str) else url,
            receive=self._receive,
            subscriptions=[
                Subscription(self._topic(Leaf.OUT)),
                Subscription(self._topic(Leaf.EVENT)),
                Subscription(self._topic(Leaf.STATE), 1),
            ],
            will=Will(self._topic(Leaf.ONLINE), OFFLINE),
            on_connected=self._greet,
            client_id=f"software-device-{spelling}",
            ca_file=ca_file,
            reconnect_min_s=0.1,
            reconnect_max_s=5.0,
        )

    @property
    def spelling(self) -> str:
        return self._spelling

    async def start(self) -> None:
        """Connect, and return when the subscriptions stand and the device has said that it is there.

        Raises:
            BrokerUnavailable: that did not work out; the message says what is wrong.
        """
        await self._broker.start()
        try:
            await self._broker.connected_once(CONNECT_TIMEOUT_S)
        except BaseException:
            await self._broker.stop()
            raise

    async def stop(self) -> None:
        """Say goodbye and disconnect."""
        if self._reporter is not None:
            await self._reporter.stop()
        if self._broker.connected:
            await self._broker.publish(self._topic(Leaf.ONLINE), OFFLINE, qos=1, retain=True)
        await self._broker.stop()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()

    # Speaking

    def begin(self, *, rate: int = SPEECH_RATE, codec: Codec = Codec.PCM, chunk_ms: int = CHUNK_MS) -> "Utterance":
        """Begin an utterance in frames, to be sent bit by bit; its first frame leaves with the first audio.

        Raises:
            ValueError: `codec` cannot be framed, or not in pieces of `chunk_ms`.
        """
        writer = FrameWriter(self._turn, codec, rate, chunk_ms)
        self._turn = turn_after(self._turn)
        exchange = self._begin_exchange(writer.turn, ReplyForm.FRAMES)
        return Utterance(self, writer, exchange)

    async def speak(
        self,
        speech: Pcm,
        *,
        codec: Codec = Codec.PCM,
        chunk_ms: int = CHUNK_MS,
        paced: bool = True,
        link: Link | None = None,
        delay: Delay = no_delay,
    ) -> Exchange:
        """Say `speech` in frames: as fast as it would be spoken if `paced`, else at once. `link` spoils the frames
        on their way; each paced one is held up by `delay()` seconds, and none overtakes another."""
        utterance = self.begin(rate=speech.rate, codec=codec, chunk_ms=chunk_ms)
        frames = utterance.writer.frames(speech.samples, last=True)
        await self._send_audio(frames if link is None else link(frames), chunk_ms if paced else 0, delay)
        utterance.exchange.asked(time.monotonic())
        return utterance.exchange

    async def speak_raw(
        self,
        speech: Pcm,
        *,
        chunk_ms: int = CHUNK_MS,
        paced: bool = True,
        end: bool = True,
        delay: Delay = no_delay,
    ) -> Exchange:
        """Say `speech` as bare samples; without `end` the empty message is left out, as the simplest sketches do.
        `delay` as in `speak`."""
        exchange = self._begin_exchange(None, ReplyForm.STREAM)
        messages = raw_messages(speech, chunk_ms)
        await self._send_audio([*messages, b""] if end else messages, chunk_ms if paced else 0, delay)
        exchange.asked(time.monotonic())
        return exchange

    async def speak_wav(self, wav: bytes, *, chunk_bytes: int = WAV_CHUNK_BYTES) -> Exchange:
        """Send a WAV over several messages."""
        exchange = self._begin_exchange(None, ReplyForm.STREAM)
        await self._send_audio(pieces(wav, chunk_bytes), 0)
        exchange.asked(time.monotonic())
        return exchange

    async def speak_file(self, data: bytes) -> Exchange:
        """Send a whole sound file in one message."""
        exchange = self._begin_exchange(None, ReplyForm.MESSAGE)
        await self.publish(Leaf.IN, data)
        exchange.asked(time.monotonic())
        return exchange

    # Text and control

    async def ask(self, text: str, language: str | None = None) -> Exchange:
        """Have `text` answered as if it had been spoken."""
        return await self._send_text(Leaf.ASK, text, language)

    async def say(self, text: str, language: str | None = None) -> Exchange:
        """Have `text` spoken on this device."""
        return await self._send_text(Leaf.SAY, text, language)

    async def abort(self) -> None:
        """End whatever the gateway does for this device."""
        await self._control({"type": "abort"})

    async def forget(self) -> None:
        """Have this device's conversation erased."""
        await self._control({"type": "forget"})

    async def played(self, turn: int, seq: int, end: bool = False) -> None:
        """Tell what has been heard of a reply: up to its chunk `seq`, or all of it."""
        await self._control({"type": "played", "turn": turn, "seq": seq, **({"end": True} if end else {})})

    async def publish(self, leaf: Leaf, payload: bytes, *, retain: bool = False) -> None:
        """Publish anything on one of this device's topics."""
        await self._broker.publish(self._topic(leaf), payload, retain=retain)

    # Waiting for what belongs to no exchange

    async def event(self, kind: str, timeout_s: float, **fields: object) -> Event:
        """Wait for the first event that this device ever got of this `kind` with these `fields`, and return it.

        Raises:
            NothingCame: there is none within `timeout_s` seconds.
        """
        return await self._signal.until(
            lambda: first_event(self.events, kind, fields), timeout_s, lambda: f"no event {kind} {fields}"
        )

    async def announcement(self, timeout_s: float) -> Exchange:
        """Wait for a turn that somebody else began for this device, by `say` or `ask`; each is returned once.

        Raises:
            NothingCame: there is none within `timeout_s` seconds.
        """
        announced = self.downlink.announced
        return await self._signal.until(
            lambda: announced.popleft() if announced else None, timeout_s, lambda: "no announcement"
        )

    async def wait_state(self, state: str, timeout_s: float) -> Event:
        """Wait until the `state` topic says `state` (idle, listening, thinking, speaking), and return it whole.

        Raises:
            NothingCame: it does not within `timeout_s` seconds.
        """
        return await self._signal.until(
            lambda: self.state if self.state is not None and self.state.get("state") == state else None,
            timeout_s,
            lambda: f"no state {state} (last: {self.state})",
        )

    # Sending

    async def _send_text(self, leaf: Leaf, text: str, language: str | None) -> Exchange:
        exchange = self._begin_exchange(None, None)
        body = {"text": text} if language is None else {"text": text, "language": language}
        await self.publish(leaf, json.dumps(body, ensure_ascii=False).encode())
        return exchange

    async def _control(self, body: Mapping[str, object]) -> None:
        await self.publish(Leaf.CONTROL, json.dumps(body).encode())

    async def _send_audio(self, messages: Sequence[bytes], every_ms: int, delay: Delay = no_delay) -> None:
        """Send `messages`, each `delay()` seconds after its audio would have been recorded."""
        began = time.monotonic()
        for index, message in enumerate(messages):
            if every_ms and message:
                await asyncio.sleep(began + (index + 1) * every_ms / 1000 + delay() - time.monotonic())
            await self.publish(Leaf.IN, message)
            if not every_ms:
                # So that a long utterance does not keep this process from receiving.
                await asyncio.sleep(0)

    def _begin_exchange(self, turn: int | None, form: ReplyForm | None) -> Exchange:
        exchange = self._new_exchange(turn, form)
        self.downlink.add(exchange)
        return exchange

    def _new_exchange(self, turn: int | None, form: ReplyForm | None) -> Exchange:
        playback = Playback(self._buffer_ms, self._pre_buffer_ms)
        return Exchange(self._signal, turn, form, playback, time.monotonic())

    async def _greet(self) -> None:
        """Say that the device is there. Said at each connect, not left to the broker's memory: the will may have been
        published since."""
        await self._broker.publish(self._topic(Leaf.ONLINE), ONLINE, qos=1, retain=True)
        if self._hello is not None:
            payload = json.dumps(self._hello, ensure_ascii=False).encode()
            await self._broker.publish(self._topic(Leaf.HELLO), payload, qos=1, retain=self._hello_retained)

    # Receiving

    def _receive(self, incoming: Incoming) -> None:
        now = time.monotonic()
        if incoming.topic == self._topic(Leaf.OUT):
            exchange = self.downlink.receive(incoming.payload, now)
            if exchange is not None and self._reporter is not None:
                self._reporter.chunk_arrived(exchange)
        elif incoming.payload:  # an empty state is one that has been erased
            self._receive_json(incoming, now)
        self._signal.notify()

    def _receive_json(self, incoming: Incoming, now: float) -> None:
        try:
            body = json.loads(incoming.payload)
        except ValueError:
            body = None
        if not isinstance(body, dict):
            self.malformed_events += 1
        elif incoming.topic == self._topic(Leaf.STATE):
            self.state = body
        else:
            self.events.append(body)
            self.downlink.receive_event(body, now)

    def _topic(self, leaf: Leaf) -> str:
        return self._topics.device(self._spelling, leaf)


class Utterance:
    """An utterance that is being spoken, in frames. `exchange` has what comes back."""

    def __init__(self, device: SoftwareDevice, writer: FrameWriter, exchange: Exchange) -> None:
        self._device = device
        self.writer = writer
        self.exchange = exchange

    async def send(self, samples: NDArray[np.int16]) -> None:
        """Send the next `samples`, shape (n,), at once."""
        for frame in self.writer.frames(samples):
            await self._send(frame)

    async def end(self) -> Exchange:
        """Say that the utterance is over."""
        await self._send(self.writer.end())
        return self.exchange

    async def cancel(self) -> None:
        """Take the utterance back, or stop the reply to it."""
        await self._send(self.writer.cancel())

    async def _send(self, frame: bytes) -> None:
        await self._device.publish(Leaf.IN, frame)
        self.exchange.asked(time.monotonic())
