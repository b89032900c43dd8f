"""A gateway that answers as a test tells it to: rightly, or wrong in one way."""

import asyncio
import json
import re
from collections import defaultdict
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from gateway.broker.mqtt import MqttBroker
from gateway.broker.protocol import Incoming, Subscription
from gateway.broker.url import parse_broker_url
from gateway.device.uplink import pieces
from gateway.wire.frame import FIRST_GATEWAY_TURN, Flag, Frame, FrameCodec, decode, encode
from gateway.wire.topics import Leaf, Topics
from tests.device.peer import RATE, TIMEOUT_S, mp3_of

CHUNK_BYTES = 1200
SOUND = mp3_of(0.4)


@dataclass(slots=True)
class Asked:
    """A question that is to be answered; `text` is what was asked if it was not spoken."""

    device: str
    turn: int
    text: str = ""
    name: str = ""
    """What this device has told that it is called."""


Serve = Callable[["FakeGateway", Asked], Coroutine[Any, Any, None]]


async def well(gateway: "FakeGateway", asked: Asked) -> None:
    """Answer as the contract asks."""
    await gateway.frames(asked, pieces(SOUND, CHUNK_BYTES))
    await gateway.done(asked)


@dataclass
class FakeGateway:
    """`async with FakeGateway(url, serve):` answers each question in frames (and each text) by `serve`."""

    url: str
    serve: Serve = well
    chat: str = "offline"
    answered: int = 0
    _names: dict[str, str] = field(default_factory=dict)
    _turns: dict[str, int] = field(default_factory=lambda: defaultdict(lambda: FIRST_GATEWAY_TURN))
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _topics: Topics = field(default_factory=Topics)

    async def __aenter__(self) -> Self:
        self._something_answered = asyncio.Event()
        self._broker = MqttBroker(
            parse_broker_url(self.url),
            receive=self._receive,
            subscriptions=[Subscription(self._topics.every_device(leaf)) for leaf in (Leaf.IN, Leaf.ASK, Leaf.CONTROL)],
        )
        await self._broker.start()
        await self._broker.connected_once(TIMEOUT_S)
        await self.status("online")
        stats = {"engines": [{"stage": "stt", "engine": "x"}, {"stage": "llm", "engine": self.chat}]}
        await self._broker.publish(self._topics.stats, json.dumps(stats).encode(), qos=1, retain=True)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._broker.stop()

    async def until_answered(self) -> None:
        """Wait until a further question has been answered."""
        self._something_answered.clear()
        async with asyncio.timeout(20):
            await self._something_answered.wait()

    # What a gateway publishes

    async def status(self, status: str) -> None:
        await self._broker.publish(self._topics.status, status.encode(), qos=1, retain=True)

    async def frames(
        self,
        asked: Asked,
        chunks: Sequence[bytes],
        *,
        turn: int | None = None,
        seqs: Sequence[int] | None = None,
        gap_s: float = 0,
        end: bool = True,
    ) -> None:
        """Send `chunks`, `gap_s` seconds apart, the last with END if that is wanted."""
        for index, chunk in enumerate(chunks):
            seq = index if seqs is None else seqs[index]
            flags = (Flag.START if seq == 0 else Flag.NONE) | (
                Flag.END if end and index == len(chunks) - 1 else Flag.NONE
            )
            await self.out(asked, encode(Frame(turn or asked.turn, seq, flags, FrameCodec.MP3, RATE, chunk)))
            if index < len(chunks) - 1:
                await asyncio.sleep(gap_s)

    async def out(self, asked: Asked, payload: bytes) -> None:
        await self._broker.publish(self._topics.device(asked.device, Leaf.OUT), payload)

    async def event(self, asked: Asked, kind: str, **fields: Any) -> None:
        body = {"event": kind, "turn": asked.turn, "session_id": asked.device, **fields}
        await self._broker.publish(self._topics.device(asked.device, Leaf.EVENT), json.dumps(body).encode())

    async def done(self, asked: Asked, sound: bytes = SOUND, **fields: Any) -> None:
        """Say that `sound` was sent, in pieces of `CHUNK_BYTES`."""
        told: dict[str, Any] = {
            "outcome": "completed",
            "reply": f"Te llamas {asked.name}.",
            "chunks": len(pieces(sound, CHUNK_BYTES)),
            "bytes": len(sound),
            "audio": {"lost": 0, "duplicate": 0, "late": 0},
        }
        await self.event(asked, "done", **(told | fields))
        self.answered += 1
        self._something_answered.set()

    # What devices say

    def _receive(self, incoming: Incoming) -> None:
        device, leaf = self._topics.parse_device(incoming.topic) or ("", None)
        if leaf is Leaf.ASK:
            self._turns[device] += 1
            text = json.loads(incoming.payload)["text"]
            if told := re.search(r"Me llamo (\w+)\.", text):
                self._names[device] = told[1]
            self._start(self.serve(self, Asked(device, self._turns[device], text, self._names.get(device, ""))))
        elif leaf is Leaf.CONTROL:
            if json.loads(incoming.payload)["type"] == "forget":
                state = self._topics.device(device, Leaf.STATE)
                self._start(self._broker.publish(state, b"", qos=1, retain=True))
        else:
            frame = decode(incoming.payload)
            if frame.flags & Flag.END:
                self._start(self.serve(self, Asked(device, frame.turn, name=self._names.get(device, ""))))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name="serve")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
