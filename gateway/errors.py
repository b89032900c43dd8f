"""Every error of the gateway, in one tree. An error says its wire code, the stage and whether a retry may help.

Whose fault it is shows in the type: `DeviceFault` is counted and reported, never fatal; `StageFailed` ends one
turn; `ConfigurationError` ends the start.
"""

from enum import StrEnum


class ErrorCode(StrEnum):
    """The codes of the wire contract."""

    BAD_TOPIC = "bad_topic"
    BAD_JSON = "bad_json"
    BAD_FRAME = "bad_frame"
    AUDIO_UNDECODABLE = "audio_undecodable"
    AUDIO_TOO_SHORT = "audio_too_short"
    AUDIO_TOO_LONG = "audio_too_long"
    NO_SPEECH = "no_speech"
    RATE_LIMITED = "rate_limited"
    BUSY = "busy"
    STT_FAILED = "stt_failed"
    LLM_FAILED = "llm_failed"
    TTS_FAILED = "tts_failed"
    STORE_FAILED = "store_failed"
    TIMEOUT = "timeout"
    INTERNAL = "internal"


class Stage(StrEnum):
    """Where in a turn something happened."""

    RECEIVE = "receive"
    STT = "stt"
    LLM = "llm"
    TTS = "tts"
    SEND = "send"
    STORE = "store"
    TURN = "turn"
    TOOLS = "tools"


class GatewayError(Exception):
    """The root of the tree. `str()` of it is safe to show: it never holds a secret."""


class ConfigurationError(GatewayError):
    """A choice that cannot work; the message says what to do about it."""


class OperationRefused(GatewayError):
    """What an operator asks cannot be done as it was asked; the message says why, to whoever asked."""


class ReportableError(GatewayError):
    """An error that a device may be told of."""

    def __init__(self, code: ErrorCode, stage: Stage, message: str, *, retryable: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.stage = stage
        self.message = message
        self.retryable = retryable


class DeviceFault(ReportableError):
    """Something that a device (or a person) sent is not usable."""


class StageFailed(ReportableError):
    """A stage of a turn failed for good: every engine of it was tried, or a limit was reached."""


class EngineFailed(GatewayError):
    """One engine failed at one piece of work; another may still do it.

    `rest_s`, if given, is how long the engine asked to be left alone (a 429's Retry-After, say); 0 when the work was
    not for this engine (a language that it does not speak) and it is well for everyone else.
    `timed_out` tells slow from broken.
    """

    def __init__(
        self, message: str, *, retryable: bool = True, timed_out: bool = False, rest_s: float | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.retryable = retryable
        self.timed_out = timed_out
        self.rest_s = rest_s


class EngineBusy(EngineFailed):
    """The engine's own bounded queue is full; it is well, and is not rested for this."""


class ToolFailed(GatewayError):
    """A tool could not do what the chat model asked of it; the message is for the model, and for people."""


class StoreError(GatewayError):
    """The database refused or was out of reach."""


class SessionLimitReached(StoreError):
    """As many conversations are kept as may be; this one would be new."""


class PersonalityLimitReached(StoreError):
    """As many devices and groups have a personality as may; this one would be new."""


class BrokerUnavailable(GatewayError):
    """The broker cannot be reached, or did not take a message in time."""


class BrokerRefused(BrokerUnavailable):
    """The broker answers, and refuses the login or cannot be trusted: waiting changes nothing."""


class NothingCame(GatewayError):
    """A software device waited in vain; the message says for what, and what came instead."""
