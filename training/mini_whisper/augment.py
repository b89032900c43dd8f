"""What happens to speech between a mouth and the recogniser: rooms, noise, levels, codecs, lost packets.

All functions take and return mono float32 samples in -1..1, at 16 kHz unless a rate is named.
"""

import io

import av
import numpy as np
import soxr
from numpy.random import Generator
from numpy.typing import NDArray

RATE = 16000

Samples = NDArray[np.float32]

TELEPHONE_RATES = (8000, 11025)
OTHER_RATES = (22050, 44100, 48000)


def resample(samples: Samples, rate_from: float, rate_to: float) -> Samples:
    """Change the sample rate."""
    if rate_from == rate_to:
        return samples
    return np.asarray(soxr.resample(samples, rate_from, rate_to), np.float32)


def through_rate(samples: Samples, rate: int) -> Samples:
    """Pass through another sample rate, as a device that records at it does."""
    return resample(resample(samples, RATE, rate), rate, RATE)


def to_int16(samples: Samples) -> NDArray[np.int16]:
    """Quantise with clipping."""
    return np.clip(np.rint(samples * 32767), -32768, 32767).astype(np.int16)


def _through_codec(
    samples: Samples, rate: int, container: str, codec: str, bit_rate: int | None, options: dict[str, str]
) -> Samples:
    """Encode in memory and decode again."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container) as output:
        stream = output.add_stream(codec, rate=rate, layout="mono", options=options)
        if bit_rate is not None:
            stream.bit_rate = bit_rate
        resampler = av.AudioResampler(format=stream.codec_context.format, layout="mono", rate=rate)
        frame = av.AudioFrame.from_ndarray(to_int16(samples)[np.newaxis], format="s16", layout="mono")
        frame.sample_rate = rate
        for converted in resampler.resample(frame):
            output.mux(stream.encode(converted))
        output.mux(stream.encode(None))
    buffer.seek(0)
    decoded: list[Samples] = []
    with av.open(buffer) as source:
        decoded_rate = source.streams.audio[0].rate
        to_float = av.AudioResampler(format="fltp", layout="mono", rate=decoded_rate)
        for frame in source.decode(audio=0):
            decoded += [np.array(part.to_ndarray()[0]) for part in to_float.resample(frame)]
    return resample(np.concatenate(decoded), decoded_rate, rate)


def through_opus(samples: Samples, bit_rate: int, frame_ms: int = 60) -> Samples:
    """Encode as Opus speech and decode."""
    options = {"application": "voip", "frame_duration": str(frame_ms)}
    return _through_codec(samples, RATE, "ogg", "libopus", bit_rate, options)


def through_ima_adpcm(samples: Samples, rate: int = RATE) -> Samples:
    """Encode as IMA ADPCM (four bits a sample) at `rate` and decode."""
    coded = _through_codec(resample(samples, RATE, rate), rate, "wav", "adpcm_ima_wav", None, {})
    return resample(coded, rate, RATE)


def equalise(samples: Samples, rng: Generator) -> Samples:
    """Apply a random smooth frequency response of a few decibels, as loudspeakers and microphones do."""
    spectrum = np.fft.rfft(samples)
    knots = rng.uniform(-6, 6, 6)
    decibels = np.interp(np.linspace(0, 5, len(spectrum)), np.arange(6), knots)
    return np.fft.irfft(spectrum * 10 ** (decibels / 20), len(samples)).astype(np.float32)


def reverberate(samples: Samples, rng: Generator) -> Samples:
    """Add the sound of a small room."""
    length = int(rng.uniform(0.05, 0.2) * RATE)
    response = rng.standard_normal(length) * np.exp(-6.9 * np.arange(length) / length)
    response *= rng.uniform(0.1, 0.35) / np.sqrt(np.sum(response**2))
    response[0] = 1
    size = len(samples) + length
    wet = np.fft.irfft(np.fft.rfft(samples, size) * np.fft.rfft(response, size), size)
    return wet[: len(samples)].astype(np.float32)


def make_noise(length: int, rng: Generator) -> Samples:
    """Return noise of RMS 1: white, pink, brown or the hum of the mains."""
    kind = rng.integers(4)
    if kind == 3:
        time = np.arange(length) / RATE
        base = rng.choice([50.0, 60.0])
        noise = sum(
            rng.uniform(0, 1) / order * np.sin(2 * np.pi * (base * order * time + rng.uniform()))
            for order in range(1, 8)
        )
        noise = noise + 0.05 * rng.standard_normal(length)
    else:
        spectrum = np.fft.rfft(rng.standard_normal(length))
        frequencies = np.maximum(np.arange(len(spectrum)) / len(spectrum), 0.01)
        noise = np.fft.irfft(spectrum / frequencies ** (kind / 2), length)
    return (noise / (np.sqrt(np.mean(np.square(noise))) + 1e-9)).astype(np.float32)


def add_noise(samples: Samples, snr_db: float, rng: Generator) -> Samples:
    """Add noise at a signal-to-noise ratio, measured against the whole clip."""
    level = np.sqrt(np.mean(np.square(samples))) * 10 ** (-snr_db / 20)
    return samples + level * make_noise(len(samples), rng)


def lose_chunks(samples: Samples, rng: Generator) -> Samples:
    """Silence a few stretches of 20 to 60 ms, as lost packets do."""
    samples = samples.copy()
    for _ in range(rng.integers(1, 4)):
        start = int(rng.integers(len(samples)))
        samples[start : start + int(rng.uniform(0.02, 0.06) * RATE)] = 0
    return samples


def set_peak(samples: Samples, gain_db: float) -> Samples:
    """Scale to a peak of `gain_db` decibels below full scale, in 16-bit steps."""
    scaled = samples * (10 ** (gain_db / 20) / (np.max(np.abs(samples)) + 1e-9))
    return to_int16(scaled).astype(np.float32) / 32768


def add_margins(samples: Samples, lead_s: float, trail_s: float) -> Samples:
    """Put silence before and after."""
    return np.pad(samples, (int(lead_s * RATE), int(trail_s * RATE)))


def transmit(samples: Samples, rng: Generator) -> Samples:
    """Pass through a random codec and device rate, or none."""
    draw = rng.uniform()
    if draw < 0.22:
        return through_opus(samples, int(rng.integers(16, 33)) * 1000, int(rng.choice([20, 60])))
    if draw < 0.42:
        return through_ima_adpcm(samples, int(rng.choice([8000, 11025, 16000, 16000, 22050])))
    if draw < 0.60:
        return through_rate(samples, int(rng.choice(TELEPHONE_RATES)))
    if draw < 0.72:
        return through_rate(samples, int(rng.choice(OTHER_RATES)))
    return samples


def distort(speech: Samples, rng: Generator) -> Samples:
    """Make one training clip of dry speech."""
    if rng.uniform() < 0.5:
        # Speaking a little faster and higher, or slower and lower.
        speech = resample(speech, RATE, RATE * rng.uniform(0.92, 1.08))
    samples = add_margins(speech, rng.uniform(0, 0.9), rng.uniform(0, 1.2))
    if rng.uniform() < 0.4:
        samples = equalise(samples, rng)
    if rng.uniform() < 0.25:
        samples = reverberate(samples, rng)
    if rng.uniform() < 0.65:
        samples = add_noise(samples, rng.uniform(10, 38), rng)
    samples = transmit(set_peak(samples, rng.uniform(-28, 0)), rng)
    if rng.uniform() < 0.15:
        samples = lose_chunks(samples, rng)
    return samples


def make_non_speech(rng: Generator) -> Samples:
    """Make one clip without speech: digital silence, noise, clicks or tones."""
    length = int(rng.uniform(0.3, 4.0) * RATE)
    draw = rng.uniform()
    if draw < 0.12:
        return np.zeros(length, np.float32)
    if draw < 0.6:
        samples = make_noise(length, rng)
    elif draw < 0.8:
        time = np.arange(length) / RATE
        tone = np.sin(2 * np.pi * rng.uniform(80, 4000) * time)
        gate = (time * rng.uniform(0.5, 6)) % 1 < rng.uniform(0.2, 1)
        samples = (tone * gate + 0.02 * make_noise(length, rng)).astype(np.float32)
    else:
        samples = (rng.uniform(size=length) < rng.uniform(1e-4, 3e-3)).astype(np.float32)
        samples = equalise(samples + 1e-3 * make_noise(length, rng), rng)
    return transmit(set_peak(samples, rng.uniform(-60, 0)), rng)
