"""From pieces of text to one MP3 stream, and the knowledge of what was said up to where in it."""

from collections.abc import Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass, replace

from gateway.audio import Pcm
from gateway.engines.chain import TtsChain
from gateway.engines.circuit import OnPassedOver
from gateway.engines.encoder import Mp3Encoder
from gateway.pipeline.ahead import Synthesis
from gateway.pipeline.silence import SilenceTrimmer
from gateway.pipeline.transmit import AudioPipe

BLOCK_MS = 250
"""Audio is encoded in blocks of at most this: less than half a millisecond on the event loop each."""

FIRST_BLOCK_MS = 20
"""The encoder gives its first bytes after 30 to 75 ms of audio; until then it is not kept busy with more."""

KEPT_MAX_BYTES = 2 * 1024 * 1024
"""A longer reply is not kept for the answer cache."""


CHARACTER_MS = 65.0
"""How long a character of text is spoken, until the voice has shown how quickly it speaks."""


@dataclass(frozen=True, slots=True)
class _Span:
    """A piece of text and where in the reply it sounds, in milliseconds; `whole` once all of its audio is there."""

    text: str
    start_ms: float
    end_ms: float
    whole: bool = False


class ReplyAudio:
    """The audio of one reply: pieces, clips and cached MP3 joined, on their way into `pipe`."""

    def __init__(
        self,
        tts: TtsChain,
        encoder: Mp3Encoder,
        pipe: AudioPipe,
        on_first: Callable[[], None],
        voice: str | None = None,
    ) -> None:
        """`voice` is the one that speaks; None: the engine's own."""
        self._tts = tts
        self._voice = voice
        self._encoder = encoder
        self._pipe = pipe
        self._on_first = on_first
        self._trimmer = SilenceTrimmer()
        self._ms = 0.0
        self._spans: list[_Span] = []
        self._kept: bytearray | None = bytearray()
        self._answering = False
        self._flowing = False
        self.lead_bytes = 0
        """MP3 that was put before the answer's own: the sound that says that it is late."""

    def synthesise(self, text: str, language: str, on_passed_over: OnPassedOver) -> Synthesis:
        """Begin to synthesise `text`, for `speak` when its turn comes."""
        return Synthesis(text, self._tts.speak(text, language, on_passed_over, self._voice), "voice")

    async def speak(self, synthesis: Synthesis) -> None:
        """Append the audio of `synthesis` as it comes, without the silence around it.

        Raises:
            StageFailed: every engine failed at it.
        """
        # The span grows with the audio: an interruption may come in the middle of a piece.
        self._spans.append(_Span(synthesis.text, self._ms, self._ms))
        self._trimmer.begin(synthesis.text)
        async with aclosing(synthesis.blocks()) as blocks:
            async for block in blocks:
                await self._append_spoken(self._trimmer.feed(block))
        await self._append_spoken(self._trimmer.end())
        self._spans[-1] = replace(self._spans[-1], whole=True)

    async def play(self, pcm: Pcm) -> None:
        """Append ready-made audio that is no part of the answer."""
        self._kept = None
        await self._append(pcm)

    async def sound(self, pcm: Pcm) -> bool:
        """Append ready-made audio before the answer, and return True; once the answer has begun, return False."""
        if self._answering:
            return False
        self._kept = None
        self._ms += pcm.seconds * 1000
        # In one piece: the answer may begin at any wait.
        mp3 = self._encoder.feed(pcm)
        self.lead_bytes += len(mp3)
        await self._put(mp3)
        return True

    async def play_mp3(self, mp3: bytes, text: str) -> None:
        """Let `mp3`, made earlier by an encoder like this one's, be the whole reply."""
        self._begin()
        self._ms = self._encoder.seconds_of(len(mp3)) * 1000
        self._spans.append(_Span(text, 0.0, self._ms, whole=True))
        self._kept = None
        await self._pipe.put(mp3)

    async def finish(self) -> None:
        """Say that nothing more comes."""
        await self._put(self._encoder.finish())
        self._pipe.close()

    def close(self) -> None:
        """Let go of the encoder, however the turn ended."""
        self._encoder.close()

    def release(self) -> None:
        """Let go of the audio; the text and its times stay."""
        self._kept = None

    @property
    def mp3(self) -> bytes | None:
        """The whole reply, to be kept for a repeated question; None if it holds more than the answer."""
        return None if self._kept is None else bytes(self._kept)

    @property
    def text(self) -> str:
        """The text of everything appended."""
        return " ".join(span.text for span in self._spans)

    def text_until(self, ms: float) -> str:
        """Return the text that sounds within the first `ms` milliseconds, cut at a word.

        How much of a piece that is still being spoken is in the audio that there is of it, its length tells.
        """
        said = []
        for span in self._spans:
            if ms <= span.start_ms or span.end_ms == span.start_ms:
                break
            words = span.text.split()
            until_ms = min(ms, span.end_ms)
            share = min(1.0, (until_ms - span.start_ms) / self._length_ms(span))
            said.append(" ".join(words[: int(share * len(words))]))
        return " ".join(text for text in said if text)

    def _length_ms(self, span: _Span) -> float:
        """How long `span` is, or will be, at the pace of those before it."""
        so_far_ms = span.end_ms - span.start_ms
        if span.whole:
            return so_far_ms
        earlier = [each for each in self._spans if each.whole]
        characters = sum(len(each.text) for each in earlier)
        pace_ms = sum(each.end_ms - each.start_ms for each in earlier) / characters if characters else CHARACTER_MS
        return max(so_far_ms, len(span.text) * pace_ms)

    def _begin(self) -> None:
        """Here is audio of the answer, or of the message that there is none."""
        self._answering = True
        self._on_first()

    async def _append_spoken(self, audio: Iterator[Pcm]) -> None:
        for pcm in audio:
            await self._append(pcm, spoken=True)

    async def _append(self, pcm: Pcm, *, spoken: bool = False) -> None:
        """Append `pcm`; what is `spoken` is part of the piece of text whose span is the last."""
        self._begin()
        at = 0
        while at < len(pcm.samples):
            length = max(1, pcm.rate * (BLOCK_MS if self._flowing else FIRST_BLOCK_MS) // 1000)
            block = Pcm(pcm.samples[at : at + length], pcm.rate)
            at += length
            self._ms += block.seconds * 1000
            if spoken:
                self._spans[-1] = replace(self._spans[-1], end_ms=self._ms)
            await self._put(self._encoder.feed(block))

    async def _put(self, mp3: bytes) -> None:
        if not mp3:
            return
        self._flowing = True
        if self._kept is not None:
            self._kept += mp3
            if len(self._kept) > KEPT_MAX_BYTES:
                self._kept = None
        await self._pipe.put(mp3)
