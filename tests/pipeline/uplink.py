"""A device on the other side of an assembler, in virtual time."""

import itertools

import numpy as np

from gateway.errors import ErrorCode
from gateway.pipeline.assemble import Assembler, AssemblyLimits, Closed, NeedsSpeechProbability, Opened, Rejected, Step
from gateway.values import Gap, Utterance
from gateway.wire import frame
from gateway.wire.frame import Flag, Frame, FrameCodec

PCM_20_MS = 320


def framed(
    seq: int,
    audio: bytes | None = None,
    *,
    turn: int = 1,
    flags: Flag = Flag.NONE,
    codec: FrameCodec = FrameCodec.PCM,
    rate: int = 16000,
) -> bytes:
    """A frame as a device sends it; by default 20 ms of PCM whose every sample is `seq` + 1."""
    if audio is None:
        audio = tone(seq + 1, PCM_20_MS)
    return frame.encode(Frame(turn, seq, flags, codec, rate, audio))


def tone(value: int, samples: int) -> bytes:
    """`samples` samples of PCM, all `value`."""
    return np.full(samples, value, "<i2").tobytes()


def started(turn: int = 1) -> bytes:
    return framed(0, turn=turn, flags=Flag.START)


def ended(seq: int, turn: int = 1) -> bytes:
    return framed(seq, b"", turn=turn, flags=Flag.END)


def cancelled(turn: int) -> bytes:
    return framed(0, b"", turn=turn, flags=Flag.CANCEL)


class Device:
    """Sends at `now`, which tests move by hand. What is loud in its raw audio is a voice, window by window."""

    def __init__(self, limits: AssemblyLimits | None = None) -> None:
        self.assembler = Assembler(limits or AssemblyLimits())
        self.now = 100.0

    def send(self, *payloads: bytes) -> list[Step]:
        """Send messages at once; the steps that followed, those of voice detection included."""
        return [step for payload in payloads for step in self._heard(self.assembler.receive(payload, self.now))]

    def wait(self, seconds: float) -> list[Step]:
        self.now += seconds
        return self.assembler.tick(self.now)

    def _heard(self, steps: list[Step]) -> list[Step]:
        told: list[Step] = []
        for step in steps:
            if isinstance(step, NeedsSpeechProbability):
                told += self.assembler.hear(loudness(step), self.now)
            else:
                told.append(step)
        return told


def loudness(step: NeedsSpeechProbability) -> list[float]:
    """A speech probability for each window of `step`: 0.9 where it is loud, 0.1 where it is quiet."""
    bounds = [window * 512 * step.rate // 16000 for window in range(step.windows + 1)]
    samples = np.frombuffer(step.pcm, "<i2").astype(int)
    return [0.9 if np.abs(samples[a:b]).max() > 1000 else 0.1 for a, b in itertools.pairwise(bounds)]


def utterances(steps: list[Step]) -> list[Utterance]:
    return [step.utterance for step in steps if isinstance(step, Closed)]


def the_utterance(steps: list[Step]) -> Utterance:
    (utterance,) = utterances(steps)
    return utterance


def opened(steps: list[Step]) -> list[int]:
    return [step.turn for step in steps if isinstance(step, Opened)]


def heard(utterance: Utterance) -> bytes:
    """The PCM of an utterance, silence in its gaps."""
    return b"".join(bytes(2 * part.samples) if isinstance(part, Gap) else part for part in utterance.parts)


def fault_codes(steps: list[Step]) -> list[ErrorCode]:
    """Of what was refused, in the order of `steps`."""
    return [step.fault.code for step in steps if isinstance(step, Rejected)]


def in_order(frames: int) -> bytes:
    """The audio of that many frames of `framed`."""
    return b"".join(tone(seq + 1, PCM_20_MS) for seq in range(frames))
