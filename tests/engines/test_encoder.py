"""One reply is one MP3 stream: gapless, of one rate, of a constant bit rate, however the audio came."""

import io

import av
import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from gateway.audio import Pcm
from gateway.engines.encoder import BITRATES_KBPS, Mp3Encoder

_SAMPLES_PER_FRAME = {16_000: 576, 22_050: 576, 24_000: 576, 32_000: 1152, 44_100: 1152, 48_000: 1152}
_AMPLITUDE = 9000.0


def tone(seconds: float, rate: int, start_s: float = 0.0) -> Pcm:
    """A 440 Hz tone whose phase goes on from one call to the next, if `start_s` does."""
    when = start_s + np.arange(round(seconds * rate)) / rate
    return Pcm((np.sin(2 * np.pi * 440 * when) * _AMPLITUDE).astype(np.int16), rate)


def pieces(pcm: Pcm, length: int) -> list[Pcm]:
    return [Pcm(pcm.samples[at : at + length], pcm.rate) for at in range(0, len(pcm.samples), length)]


def encode(encoder: Mp3Encoder, blocks: list[Pcm]) -> bytes:
    return b"".join([encoder.feed(block) for block in blocks]) + encoder.finish()


def decode(mp3: bytes) -> tuple[NDArray[np.int16], int]:
    return soundfile.read(io.BytesIO(mp3), dtype="int16")  # type: ignore[no-any-return]


def loudness(samples: NDArray[np.int16], rate: int) -> NDArray[np.float64]:
    """The root mean square of each 20 ms."""
    window = rate // 50
    whole = samples[: len(samples) // window * window].astype(np.float64).reshape(-1, window)
    return np.sqrt((whole**2).mean(axis=1))


@pytest.mark.parametrize("rates", [(24_000, 24_000), (22_050, 22_050), (22_050, 16_000), (24_000, 48_000, 24_000)])
def test_sentences_follow_each_other_without_a_gap(rates: tuple[int, ...]) -> None:
    blocks = [
        block for index, rate in enumerate(rates) for block in pieces(tone(1.0, rate, start_s=index), rate * 60 // 1000)
    ]
    samples, rate = decode(encode(Mp3Encoder(24_000, 48), blocks))

    assert rate == 24_000
    at_one_go, _ = decode(encode(Mp3Encoder(24_000, 48), [tone(len(rates), 24_000)]))
    assert len(samples) == len(at_one_go)
    # The tone sounds from its first window to its last: no dip where one sentence meets the next.
    heard = loudness(samples, rate)[4 : len(rates) * 50]
    assert heard.min() > 0.9 * _AMPLITUDE / np.sqrt(2)


@pytest.mark.parametrize("input_rate", [16_000, 22_050, 24_000])
@pytest.mark.parametrize("length", [1, 7, 1323, 10_000])
def test_the_stream_does_not_depend_on_how_the_audio_was_cut(input_rate: int, length: int) -> None:
    noise = np.random.default_rng(1).normal(scale=4000, size=input_rate // 2).astype(np.int16)
    pcm = Pcm(noise, input_rate)
    whole = encode(Mp3Encoder(24_000, 48), [pcm])

    assert encode(Mp3Encoder(24_000, 48), pieces(pcm, length)) == whole


@pytest.mark.parametrize("rate", BITRATES_KBPS)
@pytest.mark.parametrize("bitrate_kbps", [16, 48, 128])
def test_bytes_are_a_duration(rate: int, bitrate_kbps: int) -> None:
    encoder = Mp3Encoder(rate, bitrate_kbps)
    mp3 = encode(encoder, [tone(3.0, rate)])
    samples, decoded_rate = decode(mp3)

    assert decoded_rate == rate
    assert b"Info" not in mp3
    assert b"Xing" not in mp3
    # To the byte, but for the padding that a rate of 22.05 or 44.1 kHz needs.
    assert encoder.seconds_of(len(mp3)) == pytest.approx(len(samples) / rate, abs=2 * 8 / (bitrate_kbps * 1000))
    assert len(samples) % _SAMPLES_PER_FRAME[rate] == 0


@pytest.mark.parametrize(
    ("rate", "asked", "given"),
    [
        (24_000, 48, 48),
        (24_000, 8, 8),
        (24_000, 320, 160),
        (16_000, 1, 8),
        (16_000, 33, 32),
        (44_100, 16, 32),
        (48_000, 24, 32),
        (48_000, 144, 128),
        (48_000, 320, 320),
    ],
)
def test_an_impossible_bit_rate_becomes_the_nearest_possible(rate: int, asked: int, given: int) -> None:
    assert Mp3Encoder(rate, asked).bitrate_kbps == given


def test_an_impossible_sample_rate_is_refused() -> None:
    with pytest.raises(ValueError, match="not 11025"):
        Mp3Encoder(11_025, 48)


@pytest.mark.parametrize("blocks", [[], [Pcm(np.zeros(0, np.int16), 24_000)], [Pcm(np.zeros(0, np.int16), 16_000)]])
def test_a_reply_without_audio_is_empty(blocks: list[Pcm]) -> None:
    assert encode(Mp3Encoder(24_000, 48), blocks) == b""


def test_audio_too_short_for_the_resampler_is_not_lost() -> None:
    samples, _ = decode(encode(Mp3Encoder(24_000, 48), [Pcm(np.full(10, 9000, np.int16), 16_000)]))
    assert np.abs(samples.astype(int)).max() > 1000


def test_bytes_come_while_audio_goes_in() -> None:
    encoder = Mp3Encoder(24_000, 48)
    early = b"".join(encoder.feed(block) for block in pieces(tone(1.0, 22_050), 1323))
    assert encoder.seconds_of(len(early)) > 0.75


def test_ffmpeg_decodes_the_stream_as_libsndfile_does() -> None:
    mp3 = encode(Mp3Encoder(24_000, 48), [tone(1.0, 24_000), tone(1.0, 22_050)])
    with av.open(io.BytesIO(mp3), format="mp3", options={"err_detect": "explode"}) as container:
        frames = list(container.decode(audio=0))
    assert {(frame.sample_rate, frame.layout.name) for frame in frames} == {(24_000, "mono")}
    assert sum(frame.samples for frame in frames) == len(decode(mp3)[0])
