"""A device in software: behaves on the wire as a board does, and tells exactly what it got.

It is what `voice-gateway talk`, `demo` and `doctor` speak with, and what the end-to-end tests ask:

    async with SoftwareDevice("mqtt://127.0.0.1", "a4cf128b3f9e") as device:
        exchange = await device.speak(read_sound(Path("question.wav")))
        reply = await exchange.reply(timeout_s=30)
"""

from gateway.device.exchange import Chunk, Ended, Exchange, Reply
from gateway.device.playback import PlaybackReport
from gateway.device.software_device import SoftwareDevice, Utterance
from gateway.device.sound import read_sound
from gateway.device.uplink import Link

__all__ = [
    "Chunk",
    "Ended",
    "Exchange",
    "Link",
    "PlaybackReport",
    "Reply",
    "SoftwareDevice",
    "Utterance",
    "read_sound",
]
