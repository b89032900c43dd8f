"""A real local server with the three OpenAI endpoints that the gateway uses.

    async with OpenAIServer() as server:
        server.base_url                                    # for OPENAI_BASE_URL
        server.transcriptions.answer = "¿Qué hora es?"
        server.chat.answer = ["Son ", "las tres."]         # one server-sent event each
        server.speech.answer = Audio(tone(1.0), "audio/pcm")
        server.chat.answer = lambda request: request.json["messages"][-1]["content"].split()
        server.chat.answer = in_rounds(Calls(("get_time", {})), "It is three.")   # first a function, then the answer
        server.chat.answer = Status(429, retry_after="7")  # or REFUSE, HANG, Broken(["Son "], Ending.CLOSE)
        server.chat.delay_s = 0.2                          # before the answer; piece_delay_s: before each piece
    server.chat.wait_for = event                       # no answer before it is set
        server.chat.requests[-1].json                      # also .headers, .fields, .files
        await server.chat.abandoned.get()                  # a client that did not wait for the end

An answer is a value, or a function from the request to one. `await server.stop()` makes the address refuse
connections; `await server.start()` brings it back on the same port.
"""

import asyncio
import json
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tests.fakes.http_server import Ending, HttpServer, Request, Response, Route

SPEECH_RATE = 24_000
"""Hz of `response_format=pcm`."""
_AUDIO_PIECE_BYTES = 4801
"""Odd, so that a sample straddles two pieces."""


@dataclass(frozen=True, slots=True)
class Status:
    """An error as OpenAI words it; `retry_after` is the header's value."""

    status: int
    retry_after: str | None = None
    message: str = "told to fail"
    code: str | None = None
    param: str | None = None


@dataclass(frozen=True, slots=True)
class Audio:
    """A speech body, and its content type."""

    body: bytes
    content_type: str


@dataclass(frozen=True, slots=True)
class Broken:
    """The beginning of an answer, then what `ending` says instead of the rest."""

    beginning: "str | Sequence[str] | Audio"
    ending: Ending


@dataclass(frozen=True, slots=True)
class Calls:
    """A chat model that says `text`, if any, and then calls functions: pairs of a name and arguments. Arguments that
    are text are sent as they are."""

    calls: tuple[tuple[str, Mapping[str, Any] | str], ...]
    text: str = ""

    def __init__(self, *calls: tuple[str, Mapping[str, Any] | str], text: str = "") -> None:
        object.__setattr__(self, "calls", calls)
        object.__setattr__(self, "text", text)


@dataclass(frozen=True, slots=True)
class Silence:
    """Not even a status line."""

    ending: Ending


REFUSE = Silence(Ending.CLOSE)
HANG = Silence(Ending.HANG)

Content = str | Sequence[str] | Audio | Calls
Answer = Content | Status | Broken | Silence
AnswerFunction = Callable[[Request], Answer]


def in_rounds(*answers: Answer) -> AnswerFunction:
    """The first of `answers` to a question, the next when the functions that it calls have been called, and so on; the
    last one from then on."""

    def answer(request: Request) -> Answer:
        rounds = sum(bool(message.get("tool_calls")) for message in request.json["messages"])
        return answers[min(rounds, len(answers) - 1)]

    return answer


def told(request: Request) -> list[str]:
    """What the functions answered that were called for a request of the chat, in their order."""
    return [message["content"] for message in request.json["messages"] if message["role"] == "tool"]


def tone(seconds: float, rate: int = SPEECH_RATE) -> bytes:
    """A 440 Hz tone as signed 16-bit little-endian mono."""
    times = np.arange(round(seconds * rate)) / rate
    return (8000 * np.sin(2 * np.pi * 440 * times)).astype("<i2").tobytes()


class Endpoint(Route):
    """One path of the API. `answer` may be changed at any time."""

    def __init__(self, answer: Answer | AnswerFunction) -> None:
        super().__init__()
        self.answer = answer
        self.delay_s = 0.0
        self.piece_delay_s = 0.0
        self.wait_for: asyncio.Event | None = None

    def respond(self, request: Request) -> Response:
        answer = self.answer(request) if callable(self.answer) else self.answer
        return replace(
            self._response(answer), delay_s=self.delay_s, wait_for=self.wait_for, piece_delay_s=self.piece_delay_s
        )

    def _response(self, answer: Answer) -> Response:
        match answer:
            case Silence(ending):
                return Response(ending=ending, head=False)
            case Broken(beginning, ending):
                return replace(self.render(beginning, whole=False), ending=ending)
            case Status():
                return _error(answer)
            case _:
                return self.render(answer, whole=True)

    @abstractmethod
    def render(self, answer: Content, *, whole: bool) -> Response:
        """The response that says `answer`, which this path can say; only its beginning when it is not `whole`."""


class Transcriptions(Endpoint):
    """Answers a text, in `language` if it is asked for verbose JSON."""

    language = "spanish"

    def render(self, answer: Content, *, whole: bool) -> Response:
        assert isinstance(answer, str)
        wanted = self.requests[-1].fields.get("response_format", "json")
        body: dict[str, object] = {"text": answer}
        if wanted == "verbose_json":
            body |= {"task": "transcribe", "language": self.language, "duration": 1.0, "segments": []}
        text = json.dumps(body)
        return _json(200, text if whole else text[: len(text) // 2])


class Chat(Endpoint):
    """Answers pieces of text, as a stream of server-sent events."""

    def render(self, answer: Content, *, whole: bool) -> Response:
        assert not isinstance(answer, Audio)
        if isinstance(answer, Calls):
            return self._render_calls(answer)
        model = self.requests[-1].json["model"]
        deltas = [{"role": "assistant", "content": ""}]
        deltas += [{"content": piece} for piece in ([answer] if isinstance(answer, str) else answer)]
        pieces = [_chat_event(model, delta) for delta in deltas]
        if whole:
            pieces += [_chat_event(model, {}, "stop"), b"data: [DONE]\n\n"]
        return Response(headers={"Content-Type": "text/event-stream"}, pieces=tuple(pieces))

    def _render_calls(self, answer: Calls) -> Response:
        model = self.requests[-1].json["model"]
        deltas: list[dict[str, Any]] = [{"role": "assistant", "content": answer.text or None}]
        for index, (name, given) in enumerate(answer.calls):
            arguments = given if isinstance(given, str) else json.dumps(given)
            head = {"index": index, "id": f"id{index}", "type": "function", "function": {"name": name, "arguments": ""}}
            deltas.append({"tool_calls": [head]})
            # A few characters at a time, as models write.
            for at in range(0, len(arguments), 5):
                deltas.append({"tool_calls": [{"index": index, "function": {"arguments": arguments[at : at + 5]}}]})
        pieces = [_chat_event(model, delta) for delta in deltas]
        pieces += [_chat_event(model, {}, "tool_calls"), b"data: [DONE]\n\n"]
        return Response(headers={"Content-Type": "text/event-stream"}, pieces=tuple(pieces))


class Speech(Endpoint):
    """Answers the given audio, in odd pieces."""

    def render(self, answer: Content, *, whole: bool) -> Response:
        assert isinstance(answer, Audio)
        starts = range(0, len(answer.body), _AUDIO_PIECE_BYTES)
        pieces = tuple(answer.body[start : start + _AUDIO_PIECE_BYTES] for start in starts)
        return Response(headers={"Content-Type": answer.content_type}, pieces=pieces)


class OpenAIServer(HttpServer):
    """By default it hears `hola`, answers `Hola, ¿qué tal?`, and speaks 60 ms of tone for each character."""

    def __init__(self) -> None:
        self.transcriptions = Transcriptions("hola")
        self.chat = Chat(["Hola", ", ¿qué ", "tal?"])
        self.speech = Speech(lambda request: Audio(tone(0.06 * len(request.json["input"])), "audio/pcm"))
        super().__init__(
            {
                "/v1/audio/transcriptions": self.transcriptions,
                "/v1/chat/completions": self.chat,
                "/v1/audio/speech": self.speech,
            }
        )

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"


def _json(status: int, text: str, headers: Mapping[str, str] | None = None) -> Response:
    return Response(status, {"Content-Type": "application/json"} | dict(headers or {}), (text.encode(),))


def _error(answer: Status) -> Response:
    error = {"message": answer.message, "type": "told", "code": answer.code, "param": answer.param}
    headers = {} if answer.retry_after is None else {"Retry-After": answer.retry_after}
    return _json(answer.status, json.dumps({"error": error}), headers)


def _chat_event(model: str, delta: Mapping[str, Any], finish_reason: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    event = {"id": "c1", "object": "chat.completion.chunk", "created": 0, "model": model, "choices": [choice]}
    return f"data: {json.dumps(event)}\n\n".encode()
