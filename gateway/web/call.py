"""One browser that talks: what it sends becomes what a board would send, and what comes back becomes sound for it."""

import asyncio
import contextlib
import json
from typing import Any

import numpy as np
from pydantic_core import from_json
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from gateway.broker.url import BrokerUrl
from gateway.config import Settings
from gateway.device import Ended, Exchange, SoftwareDevice
from gateway.device.software_device import Utterance
from gateway.errors import BrokerUnavailable, DeviceFault, NothingCame
from gateway.web.mp3 import Mp3Decoder
from gateway.web.outgoing import Outgoing
from gateway.wire.messages import parse_hello
from gateway.wire.topics import Leaf

RATE_IN, RATE_OUT = 16_000, 24_000
"""Hz, of PCM in both directions: signed 16-bit little-endian, mono."""
MESSAGE_MAX_BYTES = 16 * 1024
TURNS_TOLD = 16
"""Turns of one browser whose events are told; of an older one, which has told nothing for so long, no more is."""
SENT_WITHIN_S = 10.0
"""Longest wait for a browser to take a message; then it is hung up."""
NEXT_WITHIN_S = 120.0
"""Longest wait for what comes next of a turn; by its own limits every turn ends sooner."""
RECALLED_WITHIN_S = 60.0
"""How long after its end a reply may be called back: the browser may still be playing it."""
BUFFER_MS = 3000
MAX_PACKET = 8192

GOING, REPLACED, BUSY, BAD_QUERY, TOO_SLOW, BROKER_AWAY = 1001, 4001, 4008, 4009, 4010, 1011
"""Codes with which a socket is closed."""


def close_reason(reason: str) -> str:
    """What of `reason` a close may say: 123 bytes."""
    return reason.encode()[:123].decode(errors="ignore")


def hello_of(name: str, language: str) -> dict[str, Any]:
    """What the device in a browser says of itself.

    Raises:
        DeviceFault: name or language cannot be so.
    """
    hello: dict[str, Any] = {
        "v": 1,
        "name": name or "Web",
        "board": "browser",
        "max_packet": MAX_PACKET,
        "buffer_ms": BUFFER_MS,
        "codecs": ["pcm"],
        "rate": RATE_IN,
        "reply": {"rate": RATE_OUT},
        **({"language": language} if language else {}),
    }
    if ignored := parse_hello(json.dumps(hello).encode()).ignored:
        raise ValueError("; ".join(ignored))
    return hello


class Call:
    """`run` serves the browser behind `socket`, which has been accepted, until either side hangs up."""

    def __init__(
        self, socket: WebSocket, device: str, hello: dict[str, Any], settings: Settings, broker: BrokerUrl
    ) -> None:
        self._socket = socket
        self._hello = hello
        self._longest_s = settings.utterance_max_s
        self._device = SoftwareDevice(
            broker,
            device,
            root_topic=settings.root_topic,
            hello=hello,
            hello_retained=False,
            report_played=True,
            ca_file=settings.mqtt_ca_file,
        )
        self._outgoing = Outgoing()
        self._utterance: Utterance | None = None
        self._spoken = 0
        self._playing: asyncio.Task[None] | None = None
        self._sounding: int | None = None
        """The turn whose sound is being sent."""
        self._telling: dict[asyncio.Task[None], None] = {}
        """The oldest first."""
        self._hung_up: asyncio.Future[tuple[int, str]] = asyncio.get_running_loop().create_future()
        self._ended = asyncio.Event()

    async def run(self) -> None:
        """Serve it."""
        code, reason = 1000, ""
        try:
            async with self._device:
                code, reason = await self._talk()
        except BrokerUnavailable as exc:
            code, reason = BROKER_AWAY, f"the broker: {exc}"
        finally:
            self._ended.set()
        if self._socket.client_state is WebSocketState.CONNECTED:
            # It may have gone at this moment.
            with contextlib.suppress(WebSocketDisconnect):
                await self._socket.close(code, close_reason(reason))

    async def hang_up(self, code: int, reason: str) -> None:
        """End it from here, and wait until its device has left the broker."""
        if not self._hung_up.done():
            self._hung_up.set_result((code, reason))
        await self._ended.wait()

    async def _talk(self) -> tuple[int, str]:
        """Serve it while the device is connected; return with which code and reason it is closed."""
        name = f"the browser {self._device.spelling}"
        jobs: list[asyncio.Task[Any]] = [
            asyncio.create_task(self._listen(), name=f"listen to {name}"),
            asyncio.create_task(self._send(), name=f"send to {name}"),
            asyncio.create_task(self._follow_announcements(), name=f"announcements for {name}"),
        ]
        await self._outgoing.tell(
            {
                "type": "ready",
                "device": self._device.spelling,
                "rate_in": RATE_IN,
                "rate_out": RATE_OUT,
                "utterance_max_s": self._longest_s,
            }
        )
        try:
            await asyncio.wait({*jobs, self._hung_up}, return_when=asyncio.FIRST_COMPLETED)
            for job in jobs:
                if job.done():
                    job.result()
            return self._hung_up.result()
        except WebSocketDisconnect:
            return 1000, ""
        except TimeoutError:
            return TOO_SLOW, "the browser takes nothing"
        finally:
            self._stop_playing()
            others = [*jobs, *self._telling, *([self._playing] if self._playing else [])]
            for task in others:
                task.cancel()
            await asyncio.wait(others)
            if self._utterance is not None:
                await self._utterance.cancel()

    # From the browser

    async def _listen(self) -> None:
        while True:
            message = await self._socket.receive()
            if message["type"] == "websocket.disconnect":
                raise WebSocketDisconnect(message.get("code", 1000))
            try:
                if (pcm := message.get("bytes")) is not None:
                    await self._hear(pcm)
                else:
                    await self._obey(_object(message.get("text") or ""))
            except ValueError as exc:
                await self._refuse("bad_request", str(exc))
            except DeviceFault as fault:
                await self._refuse("bad_request", fault.message)
            except BrokerUnavailable as exc:
                self._utterance = None
                await self._refuse("broker_away", str(exc))

    async def _hear(self, pcm: bytes) -> None:
        if self._utterance is None:
            # What was on its way when the utterance ended.
            return
        if len(pcm) > MESSAGE_MAX_BYTES or len(pcm) % 2:
            raise ValueError(f"sound is 16-bit samples, at most {MESSAGE_MAX_BYTES} bytes of them a message")
        await self._utterance.send(np.frombuffer(pcm, "<i2").astype(np.int16))
        self._spoken += len(pcm) // 2
        if self._spoken > self._longest_s * RATE_IN:
            await self._end_utterance()
            await self._refuse("too_long", f"only the first {self._longest_s:g} s are answered")

    async def _obey(self, wish: dict[str, Any]) -> None:
        match wish:
            case {"type": "start"}:
                self._utterance, self._spoken = self._device.begin(rate=RATE_IN), 0
                self._follow(self._utterance.exchange)
            case {"type": "end"}:
                await self._end_utterance()
            case {"type": "cancel"}:
                utterance, self._utterance = self._utterance, None
                if utterance is not None:
                    await utterance.cancel()
            case {"type": "abort"}:
                self._utterance = None
                await self._device.abort()
            case {"type": "ask", "text": str(text)} if text.strip():
                self._follow(await self._device.ask(text))
            case {"type": "hello", **said}:
                name = str(said.get("name") or self._hello["name"])
                language = str(said.get("language") or self._hello.get("language", ""))
                self._hello |= hello_of(name, language)
                await self._device.publish(Leaf.HELLO, json.dumps(self._hello).encode())
            case _:
                raise ValueError("type is start, end, cancel, abort, ask with a text, or hello")

    async def _end_utterance(self) -> None:
        utterance, self._utterance = self._utterance, None
        if utterance is not None:
            await utterance.end()

    # To the browser

    async def _send(self) -> None:
        while True:
            message = await self._outgoing.next()
            async with asyncio.timeout(SENT_WITHIN_S):
                if isinstance(message, bytes):
                    await self._socket.send_bytes(message)
                else:
                    await self._socket.send_text(message)

    async def _refuse(self, code: str, message: str) -> None:
        await self._outgoing.tell({"type": "error", "code": code, "message": message})

    async def _follow_announcements(self) -> None:
        while True:
            try:
                self._follow(await self._device.announcement(NEXT_WITHIN_S))
            except NothingCame:
                continue

    def _follow(self, exchange: Exchange) -> None:
        """From now on this exchange is what is heard; whatever sounded before falls silent."""
        self._stop_playing()
        name = f"for the browser {self._device.spelling}"
        self._playing = asyncio.create_task(self._play(exchange), name=f"sound {name}")
        if len(self._telling) >= TURNS_TOLD:
            oldest = next(iter(self._telling))
            oldest.cancel()
            del self._telling[oldest]
        telling = asyncio.create_task(self._tell_events(exchange), name=f"events {name}")
        self._telling[telling] = None
        telling.add_done_callback(lambda _: self._telling.pop(telling, None))

    def _stop_playing(self) -> None:
        if self._playing is not None:
            self._playing.cancel()
        if self._sounding is not None:
            self._outgoing.cut_off({"type": "audio_end", "turn": self._sounding, "how": Ended.CANCELLED.value})
            self._sounding = None

    async def _tell_events(self, exchange: Exchange) -> None:
        try:
            async for event in exchange.each_event(NEXT_WITHIN_S):
                await self._outgoing.tell({"type": "event", "event": dict(event)})
        except NothingCame:
            return

    async def _play(self, exchange: Exchange) -> None:
        decoder = Mp3Decoder()
        try:
            async for chunk in exchange.chunks(NEXT_WITHIN_S):
                if self._sounding is None:
                    self._sounding = exchange.turn
                    await self._outgoing.tell({"type": "audio", "turn": exchange.turn})
                await self._sound(decoder.feed(chunk.audio))
            how = exchange.ended or Ended.LEFT
        except NothingCame:
            how = Ended.LEFT
        if self._sounding is None:
            return
        if how is Ended.END:
            await self._sound(decoder.finish())
        self._sounding = None
        await self._outgoing.tell({"type": "audio_end", "turn": exchange.turn, "how": how.value})
        if how is Ended.END:
            await self._tell_recall(exchange)

    async def _tell_recall(self, exchange: Exchange) -> None:
        try:
            await exchange.recall(RECALLED_WITHIN_S)
        except NothingCame:
            return
        await self._outgoing.tell({"type": "audio_end", "turn": exchange.turn, "how": Ended.CANCELLED.value})

    async def _sound(self, pcm: bytes) -> None:
        if pcm:
            await self._outgoing.play(pcm)


def _object(text: str) -> dict[str, Any]:
    wish = from_json(text)
    if not isinstance(wish, dict):
        raise ValueError("a message is a JSON object")
    return wish
