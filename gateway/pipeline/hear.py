"""From an utterance as it arrived to speech that a recogniser takes: decode, fill gaps, mix down, resample."""

import asyncio
import io
from dataclasses import dataclass

import numpy as np
import soundfile
from numpy.typing import NDArray

from gateway.audio import SPEECH_RATE, resample, to_float32
from gateway.errors import DeviceFault, ErrorCode, Stage
from gateway.pipeline.adpcm_file import decode_blocks
from gateway.values import Codec, Gap, Utterance

OPUS_RATE = 48_000
"""Hz. Opus decodes at this rate whatever it was made from (RFC 6716 section 2)."""

_BLOCK_FRAMES = 65_536

_QUICK_SAMPLES = 5 * SPEECH_RATE
"""Of PCM that is not resampled: decoded within 0.2 ms, about what it costs to hand the work to a thread."""


@dataclass(frozen=True, slots=True)
class Speech:
    """What was said: float32 samples of shape (n,) in -1..1 at 16 kHz; `truncated` if there was more of it."""

    samples: NDArray[np.float32]
    truncated: bool

    @property
    def seconds(self) -> float:
        return len(self.samples) / SPEECH_RATE


async def decoded(utterance: Utterance, longest_s: float) -> Speech:
    """`decode`, beside the event loop unless it takes so little time that the loop need not be spared it."""
    if _is_quick(utterance):
        return decode(utterance, longest_s)
    return await asyncio.to_thread(decode, utterance, longest_s)


def _is_quick(utterance: Utterance) -> bool:
    if utterance.codec is not Codec.PCM or utterance.rate != SPEECH_RATE:
        return False
    return sum(part.samples if isinstance(part, Gap) else len(part) // 2 for part in utterance.parts) <= _QUICK_SAMPLES


def decode(utterance: Utterance, longest_s: float) -> Speech:
    """Decode `utterance`, at most `longest_s` seconds of it. It is work for a thread, some ms a second of audio.

    Raises:
        DeviceFault: `audio_undecodable`, saying why.
    """
    if utterance.codec is Codec.FILE:
        return _decode_file(b"".join(part for part in utterance.parts if isinstance(part, bytes)), longest_s)
    if utterance.codec is Codec.OPUS:
        samples, rate = _decode_opus(utterance), OPUS_RATE
    else:
        samples, rate = _decode_samples(utterance), utterance.rate
    longest = int(longest_s * rate)
    speech = resample(to_float32(samples[:longest]), rate, SPEECH_RATE)
    return Speech(speech, truncated=len(samples) > longest)


def _decode_samples(utterance: Utterance) -> NDArray[np.int16]:
    blocks: list[NDArray[np.int16]] = []
    adpcm = utterance.codec is Codec.ADPCM
    decoded = iter(decode_blocks([part for part in utterance.parts if isinstance(part, bytes)]) if adpcm else ())
    for part in utterance.parts:
        if isinstance(part, Gap):
            blocks.append(np.zeros(part.samples, dtype=np.int16))
        elif adpcm:
            blocks.append(next(decoded))
        else:
            blocks.append(np.frombuffer(part, dtype="<i2", count=len(part) // 2).astype(np.int16, copy=False))
    return np.concatenate(blocks) if blocks else np.zeros(0, dtype=np.int16)


def _decode_opus(utterance: Utterance) -> NDArray[np.int16]:
    try:
        import av
        from av.audio.codeccontext import AudioCodecContext
    except ImportError as exc:
        raise _undecodable("this gateway has no Opus decoder: install the package 'av'") from exc
    decoder = av.CodecContext.create("libopus", "r")
    assert isinstance(decoder, AudioCodecContext)
    decoder.sample_rate = OPUS_RATE
    decoder.layout = "mono"
    decoder.format = "s16"
    blocks: list[NDArray[np.int16]] = []
    undecodable: Exception | None = None
    for part in utterance.parts:
        if isinstance(part, Gap):
            blocks.append(np.zeros(part.samples * OPUS_RATE // utterance.rate, dtype=np.int16))
            continue
        try:
            frames = decoder.decode(av.Packet(part))
        except (av.FFmpegError, ValueError) as exc:
            undecodable = exc
            continue
        blocks.extend(frame.to_ndarray().reshape(-1).astype(np.int16, copy=False) for frame in frames)
    if undecodable is not None and not blocks:
        raise _undecodable(f"no packet is Opus: {undecodable}") from undecodable
    return np.concatenate(blocks) if blocks else np.zeros(0, dtype=np.int16)


def _decode_file(data: bytes, longest_s: float) -> Speech:
    """Read whatever libsndfile reads, block by block: a few bytes can promise hours of many channels."""
    blocks: list[NDArray[np.float32]] = []
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            rate = file.samplerate
            longest = int(longest_s * rate)
            block_frames = max(1, _BLOCK_FRAMES // file.channels)
            frames = 0
            while frames <= longest:
                block = file.read(block_frames, dtype="float32", always_2d=True)
                if len(block) == 0:
                    break
                frames += len(block)
                blocks.append(block.mean(axis=1))
    except (soundfile.LibsndfileError, RuntimeError, ValueError) as exc:
        if not blocks:
            raise _undecodable(f"{len(data)} bytes are no audio file that libsndfile reads: {exc}") from exc
    samples = np.concatenate(blocks) if blocks else np.zeros(0, dtype=np.float32)
    # Files of floating-point numbers hold any. What is far too loud would overflow on its way through a recogniser.
    samples = np.clip(np.nan_to_num(samples, nan=0.0, posinf=0.0, neginf=0.0), -1.0, 1.0)
    return Speech(resample(samples[:longest], rate, SPEECH_RATE), truncated=len(samples) > longest)


def _undecodable(message: str) -> DeviceFault:
    return DeviceFault(ErrorCode.AUDIO_UNDECODABLE, Stage.RECEIVE, message)
