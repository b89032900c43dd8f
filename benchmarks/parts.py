"""What runs in a process of its own, so that it is measured alone: `python -m benchmarks.parts gateway …`.

Each prints a line of JSON when it is ready, then answers each line that it is sent (`usage`, `memory`, `go`) with
one, and ends with its standard input. Each imports only what it needs: the gateway's second of imports is its own.
"""

import argparse
import asyncio
import cProfile
import gc
import json
import math
import os
import socket
import struct
import sys
import time
import tracemalloc
from array import array
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import aiomqtt

from gateway.broker.url import parse_broker_url
from gateway.cli.running import loop_factory, run_async
from gateway.wire.frame import HEADER_BYTES, Flag, Frame, FrameCodec, encode

Answers = Mapping[str, Callable[[], dict[str, Any]]]

FRAME_BYTES = 1024
"""One message of the flood, its header included."""
FLOOD_RATE = 16_000
REPLY_BUFFER_MS = 60_000
"""More than any reply is long."""
MARKER = "marker"
"""A request that the gateway does not know, and says so."""
NO_DELAY = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)]
STREAM_RATE = 16_000
"""Hz of what the speakers say, 2 bytes a sample."""
_STAMP = struct.Struct("<d")
"""The moment at which a message was sent, of the clock that all processes share, where its audio begins."""
_SEQ = struct.Struct("<H")
_SEQ_AT = 8
GREET_A_SECOND = 50
"""Devices that are new to the gateway in a second: each is looked up and made in its database."""
COME_A_SECOND = 100
"""Speakers that begin in a second. That all come at one moment is not what is measured."""
_TICK_S = 0.001
_FLAGS_AT = 3
_TURN_AT = slice(6, 8)


async def serve_gateway(args: argparse.Namespace) -> None:
    """The whole gateway, as it is by default but for its engines and limits that measuring would reach.

    `args.sentences` takes realistic engines, whose answers have so many, and lets replies go out as they are made;
    `args.offline` those that need no network, with the test model.
    """
    from benchmarks.instant import instant_engines
    from benchmarks.realistic import realistic_engines
    from gateway.app import Gateway
    from gateway.config import Settings
    from gateway.engines.choosing import MINIATURE_MODEL
    from gateway.engines.registry import Engines
    from gateway.serving import keep_what_was_started

    settings = Settings(
        mqtt_url=args.url,
        data_dir=args.folder,
        database_url=args.database,
        cleanup_interval_h=0,  # what a filled database holds is of another year
        language="en",
        turns_per_minute=100_000,
        stt_queue=1000,
        root_topic=args.root or "voice",
        web="off",
        speculation=args.speculation,
        reply_buffer_ms=REPLY_BUFFER_MS if args.sentences else Settings.model_fields["reply_buffer_ms"].default,
    )
    engines: Engines | None
    if args.offline:
        offline = {"stt": "faster-whisper", "stt_model": str(MINIATURE_MODEL), "llm": "offline", "tts": "espeak"}
        settings, engines = settings.model_copy(update=offline), None
    elif args.sentences:
        engines = realistic_engines(settings, args.sentences)
    else:
        engines = instant_engines(settings, deaf=args.deaf)
    if args.trace:
        tracemalloc.start()
    arrived, routing = note_routing() if args.stamped else (usage, usage)
    async with Gateway(settings, environ={}, engines=engines) as gateway:
        await gateway.wait_connected(10)
        keep_what_was_started()
        await answer_lines({"usage": usage, "memory": memory, "arrived": arrived, "routing": routing})


def note_routing() -> tuple[Callable[[], dict[str, Any]], Callable[[], dict[str, Any]]]:
    """Let every message that an assembler has taken be noted; return what tells how many those are, and how long they
    took."""
    from benchmarks.figures import percentile
    from gateway.pipeline.assemble import Assembler, Step

    waits = array("d")
    receive = Assembler.receive

    def timed(assembler: Assembler, payload: bytes, now: float) -> list[Step]:
        steps = receive(assembler, payload, now)
        if len(payload) >= HEADER_BYTES + _STAMP.size:
            (sent_at,) = _STAMP.unpack_from(payload, HEADER_BYTES)
            if sent_at:
                waits.append(time.monotonic() - sent_at)
        return steps

    Assembler.receive = timed  # type: ignore[assignment]

    def told() -> dict[str, Any]:
        return {**usage(), "count": len(waits)}

    def figures() -> dict[str, Any]:
        """Apart, as to sort so many takes a while, in which messages wait. None where nothing came."""
        if not waits:
            return dict.fromkeys(("p50_ms", "p99_ms", "max_ms"))
        shares = {f"p{share}_ms": percentile(waits, share / 100) * 1000 for share in (50, 99)}
        return {**shares, "max_ms": max(waits) * 1000}

    return told, figures


async def serve_echo(args: argparse.Namespace) -> None:
    """Answer each END frame on `echo/<device>/in` with one frame of `args.size` bytes on `echo/<device>/out`."""
    async with connected(args.url) as client:
        await client.subscribe("echo/+/in")
        answering = asyncio.create_task(echo(client, args.size))
        await answer_lines({"usage": usage})
        answering.cancel()
        await asyncio.wait({answering})


async def echo(client: aiomqtt.Client, size: int) -> None:
    audio = bytes(size - HEADER_BYTES)
    async for message in client.messages:
        payload = bytes(message.payload)  # type: ignore[arg-type]
        if payload[_FLAGS_AT] & Flag.END:
            turn = int.from_bytes(payload[_TURN_AT], "little")
            answer = encode(Frame(turn, 0, Flag.START | Flag.END, FrameCodec.MP3, 24_000, audio))
            await client.publish(str(message.topic).removesuffix("in") + "out", answer)


async def serve_sequential(args: argparse.Namespace) -> None:
    """Answer questions on `sequential/<device>/in` as the gateway does, with the same engines, but one step after the
    other: the whole recognition, the whole answer, the whole synthesis, the whole MP3, one message."""
    from benchmarks.realistic import realistic_engines
    from benchmarks.sequential import answer_questions
    from gateway.config import Settings

    async with connected(args.url) as client:
        await client.subscribe("sequential/+/in")
        answering = asyncio.create_task(answer_questions(client, realistic_engines(Settings(), args.sentences)))
        await answer_lines({"usage": usage})
        answering.cancel()
        await asyncio.wait({answering})


async def serve_sink(args: argparse.Namespace) -> None:
    """Take every message of `plain/<device>/in` as aiomqtt's users do, and count them."""
    received, last_at = 0, 0.0

    async def take(client: aiomqtt.Client) -> None:
        nonlocal received, last_at
        async for _ in client.messages:
            received += 1
            last_at = time.monotonic()

    async with connected(args.url) as client:
        await client.subscribe("plain/+/in")
        taking = asyncio.create_task(take(client))
        await answer_lines({"usage": lambda: {**usage(), "received": received, "last_at": last_at}})
        taking.cancel()
        await asyncio.wait({taking})


async def serve_flood(args: argparse.Namespace) -> None:
    """Publish one utterance of `args.frames` frames for each device of `args.devices`, as fast as the broker takes it.

    `go` sends all but the END frames, and after them, on the same connection and so in order, a request that the
    gateway answers when it has come to it. `end` sends the END frames.
    """
    from tests.fakes.raw_mqtt import DISCONNECT, connect_packet, publish_packet

    audio = bytes(FRAME_BYTES - HEADER_BYTES)
    devices = args.devices.split(",")

    def packets(seq: int, flags: Flag, audio: bytes) -> bytes:
        payload = encode(Frame(args.turn, seq, flags, FrameCodec.PCM, FLOOD_RATE, audio))
        return b"".join(publish_packet(f"{args.root}/{device}/in", payload) for device in devices)

    body = b"".join(packets(seq, Flag.NONE if seq else Flag.START, audio) for seq in range(args.frames))
    marker = publish_packet(f"{args.root}/gateway/request/{MARKER}", b"")

    def go() -> dict[str, Any]:
        """Say when the first byte left; returns when the broker has taken the last."""
        began = time.monotonic()
        connection.sendall(body + marker)
        return {"began": began}

    def end() -> dict[str, Any]:
        connection.sendall(packets(args.frames, Flag.END, b""))
        return {}

    url = parse_broker_url(args.url)
    with socket.create_connection((url.host, url.port)) as connection:
        connection.sendall(connect_packet(f"flood-{os.getpid()}", keepalive_s=0))
        connection.recv(4)
        await answer_lines({"go": go, "end": end})
        connection.sendall(DISCONNECT)


async def serve_speakers(args: argparse.Namespace) -> None:
    """Let `args.count` devices speak in real time, chunks of `args.size` bytes of PCM. `greet` says hello for each;
    `come` lets one after the other begin and returns when all speak; `speak` lets them go on for `args.seconds`, says
    how long that took and by how much the worst message was sent too late, and stamps what it sends; `end` sends the
    END frames: nobody falls silent while others are measured, for what costs then are turns.
    """
    from tests.fakes.raw_mqtt import DISCONNECT, connect_packet, publish_packet

    def packet(device: int, seq: int, flags: Flag, audio: bytes) -> bytearray:
        payload = encode(Frame(1, seq, flags, FrameCodec.PCM, STREAM_RATE, audio))
        return bytearray(publish_packet(f"voice/speaker-{device}/in", payload))

    # Made once and changed in place: what the speakers cost is missing to broker and gateway.
    packets = [packet(device, 0, Flag.NONE, bytes(args.size)) for device in range(args.count)]
    interval_s = args.size / (2 * STREAM_RATE)
    come_s = args.count / COME_A_SECOND
    frames = [math.ceil((come_s + args.seconds - device / COME_A_SECOND) / interval_s) for device in range(args.count)]
    moments = sorted(
        (device / COME_A_SECOND + seq * interval_s, device, seq)
        for device, said in enumerate(frames)
        for seq in range(said)
    )
    come = sum(at < come_s for at, _, _ in moments)
    began = 0.0

    def changed(device: int, seq: int, stamp: float) -> bytearray:
        packet = packets[device]
        audio_at = len(packet) - args.size
        packet[audio_at - HEADER_BYTES + _FLAGS_AT] = Flag.NONE if seq else Flag.START
        _SEQ.pack_into(packet, audio_at - HEADER_BYTES + _SEQ_AT, seq)
        _STAMP.pack_into(packet, audio_at, stamp)
        return packet

    def send(first: int, last: int, *, stamped: bool) -> dict[str, Any]:
        sent, late_s = first, 0.0
        while sent < last:
            now = time.monotonic()
            due = sent
            while due < last and began + moments[due][0] <= now:
                due += 1
            if due == sent:
                time.sleep(_TICK_S)
                continue
            late_s = max(late_s, now - began - moments[sent][0])
            some = (changed(device, seq, now if stamped else 0.0) for _, device, seq in moments[sent:due])
            connection.sendall(b"".join(map(bytes, some)))
            sent = due
        return {"late_ms": late_s * 1000}

    def greet() -> dict[str, Any]:
        for device in range(args.count):
            connection.sendall(publish_packet(f"voice/speaker-{device}/hello", b'{"v":1}'))
            time.sleep(1 / GREET_A_SECOND)
        return {}

    def let_come() -> dict[str, Any]:
        nonlocal began
        began = time.monotonic()
        return send(0, come, stamped=False)

    def speak() -> dict[str, Any]:
        before, cpu_s = time.monotonic(), time.process_time()
        told = send(come, len(moments), stamped=True)
        seconds = time.monotonic() - before
        cores = (time.process_time() - cpu_s) / seconds
        return {**told, "seconds": seconds, "cores": cores, "sent": len(moments) - come}

    def end() -> dict[str, Any]:
        for device in range(args.count):
            connection.sendall(packet(device, frames[device], Flag.END, b""))
        return {}

    url = parse_broker_url(args.url)
    with socket.create_connection((url.host, url.port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(connect_packet(f"speakers-{os.getpid()}", keepalive_s=0))
        connection.recv(4)
        await answer_lines({"greet": greet, "come": let_come, "speak": speak, "end": end})
        connection.sendall(DISCONNECT)


async def serve_broker(args: argparse.Namespace) -> None:
    """The embedded broker, where there is no Mosquitto."""
    from gateway.broker.embedded import EmbeddedBroker

    async with EmbeddedBroker(parse_broker_url("embedded://127.0.0.1:0"), args.folder) as broker:
        await answer_lines({}, url=f"mqtt://{broker.url.address}")


def connected(url: str) -> aiomqtt.Client:
    """An ordinary aiomqtt client, but without the wait of Nagle's algorithm that nobody wants."""
    parsed = parse_broker_url(url)
    return aiomqtt.Client(parsed.host, parsed.port, socket_options=NO_DELAY)


def usage() -> dict[str, Any]:
    """CPU time of this process so far, in seconds, user and system."""
    return {"cpu_s": time.process_time()}


def memory() -> dict[str, Any]:
    """What this process holds, in bytes, after a collection; None for what cannot be told here."""
    gc.collect()
    return {
        "rss": resident_bytes(),
        "traced": tracemalloc.get_traced_memory()[0] if tracemalloc.is_tracing() else None,
    }


def resident_bytes() -> int | None:
    """Memory of this process in RAM; only Linux tells it in a file."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")


async def answer_lines(answers: Answers, **ready: object) -> None:
    """Say `ready`, then answer each line of standard input until it ends."""
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    print(json.dumps(ready), flush=True)
    async for line in lines:
        print(json.dumps(answers[line.decode().strip()]()), flush=True)


PARTS = {
    "gateway": serve_gateway,
    "echo": serve_echo,
    "sequential": serve_sequential,
    "sink": serve_sink,
    "flood": serve_flood,
    "speakers": serve_speakers,
    "broker": serve_broker,
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--url", default="")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--database", default="")
    parser.add_argument("--size", type=int)
    parser.add_argument("--root")
    parser.add_argument("--devices")
    parser.add_argument("--frames", type=int)
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--turn", type=int)
    parser.add_argument("--sentences", type=int, default=0)
    parser.add_argument("--count", type=int)
    parser.add_argument("--deaf", action="store_true")
    parser.add_argument("--speculation", default="recognise")
    parser.add_argument("--offline", action="store_true")
    parser.add_argument("--stamped", action="store_true")
    parser.add_argument("--trace", action="store_true")
    parser.add_argument("--profile", type=Path)
    args = parser.parse_args()
    if args.profile is None:
        run_async(PARTS[args.part](args), loop_factory())
        return
    profile = cProfile.Profile()
    try:
        profile.runcall(run_async, PARTS[args.part](args), loop_factory())
    finally:
        profile.dump_stats(args.profile)


if __name__ == "__main__":
    main()
