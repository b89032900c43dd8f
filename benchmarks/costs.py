"""What the parts cost that every second of audio goes through: the detector of speech, decoders, the MP3 encoder."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial

from benchmarks.figures import spread
from benchmarks.measurement import Bar, Chart, Goal, Place, Result
from benchmarks.tables import between, table
from benchmarks.vad import STREAMS, WINDOWS_A_CHUNK, measure_detection
from gateway.audio import SPEECH_RATE, Pcm, resample, to_float32, to_int16
from gateway.device.uplink import CHUNK_MS, FrameWriter
from gateway.engines.clips import clip
from gateway.engines.encoder import Mp3Encoder
from gateway.errors import ErrorCode
from gateway.pipeline.hear import decode
from gateway.pipeline.speak import BLOCK_MS
from gateway.values import Codec, EndedBy, ReplyForm, Utterance
from gateway.wire.frame import FIRST_DEVICE_TURN
from gateway.wire.frame import decode as decode_frame

REPLY_RATE, REPLY_KBPS = 24_000, 48
ESPEAK_RATE = 22_050
LONGEST_S = 30.0
CODECS = (Codec.PCM, Codec.ADPCM, Codec.OPUS)
DETECTION = {
    "one_window": "alone, 1 window at a time",
    "four_windows": f"alone, {WINDOWS_A_CHUNK} windows at a time",
    "many_streams_one_window": f"{STREAMS} at once, 1 window",
    "many_streams": f"{STREAMS} at once, {WINDOWS_A_CHUNK} windows",
}


@dataclass(frozen=True, slots=True)
class CostsSizes:
    """`windows` is how many times each way to detect speech is tried, `rounds` how often each of the others."""

    windows: int
    rounds: int


FULL = CostsSizes(windows=30, rounds=15)
QUICK = CostsSizes(windows=3, rounds=3)


@dataclass(frozen=True)
class Costs:
    full: CostsSizes = FULL
    quick: CostsSizes = QUICK
    name: str = "costs"
    title: str = "What a second of audio costs"

    async def measure(self, place: Place) -> Result:
        sizes = self.quick if place.quick else self.full
        place.tell("detection of speech")
        detection = asdict(await measure_detection(sizes.windows))
        place.tell("MP3, and the codecs of devices")
        return {"detection_us": detection, "audio_ms": await asyncio.to_thread(_audio_costs, sizes.rounds)}

    def section(self, result: Result) -> str:
        detection = result["detection_us"]
        return "\n\n".join(
            [
                "### Finding the end of speech",
                "Silero, µs of wall-clock time a window of 32 ms, the way to the detector's thread and back included.",
                table(("streams", "µs a window"), [(said, f"{detection[way]:.0f}") for way, said in DETECTION.items()]),
                "### Coding",
                f"CPU ms a second of speech: MP3 at {REPLY_RATE // 1000} kHz and {REPLY_KBPS} kbit/s from blocks of"
                f" {BLOCK_MS} ms, as the gateway encodes a reply; from frames of {CHUNK_MS} ms to what a recogniser"
                " takes.",
                table(("", "CPU ms a second"), [(what, between(ms, 2)) for what, ms in result["audio_ms"].items()]),
            ]
        )

    def charts(self, result: Result) -> list[Chart]:
        ms = result["audio_ms"].items()
        return [
            Chart(
                "Detecting speech, a window of 32 ms",
                "µs",
                tuple(Bar(said, result["detection_us"][way]) for way, said in DETECTION.items()),
            ),
            Chart(
                "CPU for a second of audio",
                "ms",
                tuple(Bar(what, each["median"], each["min"], each["max"]) for what, each in ms),
            ),
        ]

    def goals(self, result: Result) -> list[Goal]:
        return []


BENCHMARK = Costs()


def _audio_costs(rounds: int) -> dict[str, dict[str, float]]:
    """CPU milliseconds for a second of audio of each kind of work, which take turns."""
    speech = clip(ErrorCode.RATE_LIMITED, "en")
    heard = _at(speech, SPEECH_RATE)
    work: dict[str, tuple[float, Callable[[], object]]] = {
        f"MP3 of {rate} Hz": (pcm.seconds, partial(_encode, pcm))
        for rate in (REPLY_RATE, ESPEAK_RATE)
        for pcm in [_at(speech, rate)]
    }
    for codec in CODECS:
        utterance = _utterance(heard, codec)
        work[f"decode {codec}"] = heard.seconds, partial(decode, utterance, LONGEST_S)
    taken: dict[str, list[float]] = {what: [] for what in work}
    for number in range(rounds + 1):
        for what, (seconds, do) in work.items():
            began = time.thread_time()
            do()
            if number:  # the first time loads what is loaded when first used
                taken[what].append((time.thread_time() - began) * 1000 / seconds)
    return {what: spread(ms) for what, ms in taken.items()}


def _at(pcm: Pcm, rate: int) -> Pcm:
    return Pcm(to_int16(resample(to_float32(pcm.samples), pcm.rate, rate)), rate)


def _encode(pcm: Pcm) -> int:
    encoder, block = Mp3Encoder(REPLY_RATE, REPLY_KBPS), pcm.rate * BLOCK_MS // 1000
    size = 0
    for start in range(0, len(pcm.samples), block):
        size += len(encoder.feed(Pcm(pcm.samples[start : start + block], pcm.rate)))
    return size + len(encoder.finish())


def _utterance(speech: Pcm, codec: Codec) -> Utterance:
    """`speech` as a device sends it."""
    frames = FrameWriter(FIRST_DEVICE_TURN, codec, speech.rate, CHUNK_MS).frames(speech.samples, last=True)
    return Utterance(
        FIRST_DEVICE_TURN,
        ReplyForm.FRAMES,
        codec,
        speech.rate,
        tuple(decode_frame(frame).audio for frame in frames),
        EndedBy.MARKER,
        max(map(len, frames)),
    )
