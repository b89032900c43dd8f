"""How far a turn has come: when what happened, and what is told of it while it runs."""

from collections.abc import Callable
from dataclasses import replace

from gateway.engines.protocols import ToolCall
from gateway.errors import ErrorCode, ReportableError, Stage, StoreError
from gateway.events import EnginePassedOver, Event, Failed, SentenceReady, Speaking, ToolCalled, Transcribed
from gateway.values import DeviceAddress, Timings


class Progress:
    """Of one turn, which begins when this is made. `emit` and `monotonic` (seconds) are those of its services."""

    def __init__(
        self,
        device: DeviceAddress,
        number: int,
        received_ms: int | None,
        emit: Callable[[Event], None],
        monotonic: Callable[[], float],
    ) -> None:
        self.timings = Timings(received=received_ms)
        self.used_tools = False
        """Whether the answer comes of something that was done or looked up: the same question wants it done again."""
        self._device = device
        self._number = number
        self._emit = emit
        self._monotonic = monotonic
        self._began = monotonic()

    @property
    def elapsed_ms(self) -> int:
        return round((self._monotonic() - self._began) * 1000)

    def recognised(self) -> None:
        """The speech of the question has become text."""
        self.timings = replace(self.timings, stt=self.elapsed_ms)

    def transcribed(self, text: str, language: str) -> None:
        """This is the question."""
        self._emit(Transcribed(self._device, self._number, text, language))

    def first_token(self) -> None:
        """The chat model has begun to answer."""
        self.timings = replace(self.timings, llm_first_token=self.elapsed_ms)

    def sentence(self, index: int, text: str) -> None:
        """Piece `index` of the reply is spoken next."""
        self._emit(SentenceReady(self._device, self._number, index, text))

    def first_audio(self) -> None:
        """There is audio of the answer; what is said of it more than once counts the first time."""
        if self.timings.tts_first_audio is None:
            self.timings = replace(self.timings, tts_first_audio=self.elapsed_ms)

    def speaking(self) -> None:
        """Audio of the answer has been sent; as with `first_audio`, the first time counts."""
        if self.timings.first_audio_out is None:
            self.timings = replace(self.timings, first_audio_out=self.elapsed_ms)
            self._emit(Speaking(self._device, self._number))

    def ended(self) -> None:
        """The turn is over, in whatever way."""
        self.timings = replace(self.timings, total=self.elapsed_ms)

    def passed_over(self, stage: Stage, engine: str, message: str, rest_s: float) -> None:
        """An engine of `stage` failed, and the next was asked."""
        self._emit(EnginePassedOver(self._device, self._number, stage, engine, message, rest_s))

    def called(self, call: ToolCall) -> None:
        """A tool did something for the answer, or failed at it."""
        self.used_tools = True
        self._emit(ToolCalled(self._device, self._number, call.name, call.ok, call.ms, call.arguments, call.result))

    def failed(self, error: ReportableError) -> None:
        """The turn fails by `error`."""
        self._emit(Failed(self._device, self._number, error.code, error.stage, error.message, error.retryable))

    def too_long(self, longest_s: float) -> None:
        """Only the beginning of the question, `longest_s` seconds, is answered."""
        message = f"only the first {longest_s:g} s are answered"
        self._emit(
            Failed(self._device, self._number, ErrorCode.AUDIO_TOO_LONG, Stage.RECEIVE, message, retryable=False)
        )

    def store_failed(self, error: StoreError) -> None:
        """The database did not do what it was asked."""
        # Outside the turn (no number): the turn goes on, and only what fails a turn is told under its number.
        self._emit(Failed(self._device, None, ErrorCode.STORE_FAILED, Stage.STORE, str(error), retryable=True))
