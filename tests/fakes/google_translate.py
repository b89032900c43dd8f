"""A local stand-in for the speech service that gTTS asks: an MP3 tone for each piece of text."""

import base64
import io
import json
import re
import urllib.parse
from collections.abc import Callable

import numpy as np
import soundfile

from tests.fakes.http_server import HttpServer, Request, Response, Route
from tests.fakes.openai_server import tone

RATE = 24_000
PATH = "/_/TranslateWebserverUi/data/batchexecute"


class Spoken(Route):
    """`answer` makes the response from the text and the language."""

    def __init__(self) -> None:
        super().__init__()
        self.answer: Callable[[str, str], Response] = speech

    @property
    def texts(self) -> list[str]:
        return [asked(request)[0] for request in self.requests]

    def respond(self, request: Request) -> Response:
        return self.answer(*asked(request))


class GoogleTranslate(HttpServer):
    def __init__(self) -> None:
        self.spoken = Spoken()
        self.tlds: list[str] = []
        """The domain of each address that was made."""
        super().__init__({PATH: self.spoken})

    def url(self, tld: str = "com", path: str = "") -> str:
        """Takes the place of the function of gTTS that makes the service's address."""
        self.tlds.append(tld)
        return f"{'http' if self.tls is None else 'https'}://127.0.0.1:{self.port}/{path}"


def asked(request: Request) -> tuple[str, str]:
    """The text and the language that gTTS packed into `request`."""
    packed = urllib.parse.parse_qs(request.body.decode())["f.req"][0]
    text, language, *_ = json.loads(json.loads(packed)[0][0][1])
    return text, language


def speech(text: str, _language: str) -> Response:
    """60 ms of tone for each character, as MP3 in the service's wrapping."""
    return wrapped(mp3(0.06 * len(text)))


def wrapped(audio: bytes) -> Response:
    encoded = base64.b64encode(audio).decode()
    line = f'[["wrb.fr","jQ1olc","[\\"{encoded}\\"]",null,null,null,"generic"]]'
    assert re.search(r'jQ1olc","\[\\"(.*)\\"]', line)
    return Response(headers={"Content-Type": "application/json"}, pieces=(b")]}'\n\n", line.encode(), b"\n"))


def mp3(seconds: float) -> bytes:
    body = io.BytesIO()
    soundfile.write(body, np.frombuffer(tone(seconds, RATE), "<i2"), RATE, format="MP3")
    return body.getvalue()
