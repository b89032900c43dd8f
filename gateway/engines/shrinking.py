"""Making a finished reply smaller, so that it fits in the one message in which it is to be sent."""

import io

import soundfile

from gateway.audio import Pcm
from gateway.engines.encoder import BITRATES_KBPS, Mp3Encoder


def shrink(mp3: bytes, rate: int, at_most: int) -> bytes | None:
    """Return the audio of `mp3`, which plays at `rate` Hz, at the best bit rate that makes it at most `at_most` bytes;
    None if no bit rate does, or if it is no MP3. It is work for a thread, some 10 ms a second of audio."""
    try:
        samples, _ = soundfile.read(io.BytesIO(mp3), dtype="int16")
    except soundfile.LibsndfileError:
        return None
    for bitrate_kbps in reversed(BITRATES_KBPS[rate]):
        # The audio alone would be larger, without what the encoder adds around it.
        if bitrate_kbps * 125 * len(samples) / rate > at_most:
            continue
        encoder = Mp3Encoder(rate, bitrate_kbps)
        smaller = encoder.feed(Pcm(samples, rate)) + encoder.finish()
        if len(smaller) <= at_most:
            return smaller
    return None
