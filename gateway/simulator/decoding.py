"""Whether an answer can be played: one MP3 stream of one rate, all of which a decoder takes."""

import numpy as np

from gateway.device import read_sound
from gateway.device.mpeg import read_header
from gateway.errors import ConfigurationError

QUIET_PEAK = 500
"""An answer whose samples (of 32767) never reach this is silence."""
TOLERANCE_S = 0.2
"""How much less than its bytes say an answer may sound: decoders drop what the encoder put before the sound."""


def fault_of(mp3: bytes, rate: int | None) -> str | None:
    """Say what is wrong with `mp3`, which has `rate` Hz if that was asked for; None when all is well."""
    seconds = 0.0
    at = 0
    while at < len(mp3):
        header = read_header(mp3, at)
        if header is None:
            return f"what stands at byte {at} of {len(mp3)} is no MP3"
        if rate is not None and header.rate != rate:
            return f"it has {header.rate} Hz at byte {at} of {len(mp3)}, not {rate}"
        if not header.mono:
            return "it is not mono"
        rate = header.rate
        seconds += header.size * 8 / header.kbps / 1000
        at += header.size
    if rate is None or not mp3:
        return "there is no sound"
    if at > len(mp3):
        return "its end is cut off"
    try:
        sound = read_sound(mp3, rate)
    except ConfigurationError as error:
        return f"it cannot be decoded: {error}"
    if sound.seconds < seconds - TOLERANCE_S:
        return f"only {sound.seconds:.1f} s of {seconds:.1f} s can be decoded: it is not one stream"
    if int(np.abs(sound.samples.astype(np.int32)).max(initial=0)) < QUIET_PEAK:
        return "it is silence"
    return None
