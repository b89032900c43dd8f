"""The way that a simple voice assistant goes: each step begins when the one before is through."""

from datetime import UTC, datetime

import aiomqtt
import numpy as np
from numpy.typing import NDArray

from gateway.audio import to_float32
from gateway.config import Settings
from gateway.engines.encoder import Mp3Encoder
from gateway.engines.protocols import ChatRequest
from gateway.engines.registry import Engines
from gateway.values import Message
from gateway.wire.frame import Flag, Frame, FrameCodec, decode, encode

SETTINGS = Settings()


async def answer_questions(client: aiomqtt.Client, engines: Engines) -> None:
    """Answer each question that comes on `…/<device>/in`, in frames of PCM, with one frame on `…/<device>/out`; one
    question at a time."""
    heard: dict[str, list[bytes]] = {}
    async for message in client.messages:
        topic, frame = str(message.topic), decode(bytes(message.payload))  # type: ignore[arg-type]
        heard.setdefault(topic, []).append(frame.audio)
        if frame.flags & Flag.END:
            mp3 = await _answer(np.frombuffer(b"".join(heard.pop(topic)), np.int16), engines)
            reply = Frame(frame.turn, 0, Flag.START | Flag.END, FrameCodec.MP3, SETTINGS.reply_rate, mp3)
            await client.publish(topic.removesuffix("in") + "out", encode(reply))


async def _answer(samples: NDArray[np.int16], engines: Engines) -> bytes:
    """The whole answer as MP3."""
    transcript = await engines.stt.transcribe(to_float32(samples), "en", _ignore)
    request = ChatRequest((Message("user", transcript.text),), "en", datetime.now(UTC))
    text = "".join([token async for token in engines.llm.reply(request, _ignore)])
    encoder = Mp3Encoder(SETTINGS.reply_rate, SETTINGS.reply_bitrate_kbps)
    mp3 = [encoder.feed(pcm) async for pcm in engines.tts.speak(text, "en", _ignore)]
    return b"".join([*mp3, encoder.finish()])


def _ignore(*_: object) -> None:
    """No engine is passed over: there is one of each."""
