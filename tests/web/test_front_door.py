"""Questions over HTTP."""

from urllib.parse import unquote

import pytest

from gateway.device import read_sound
from tests.conformance.openai_failures import OpenAIServer
from tests.e2e.conftest import StartDevice
from tests.e2e.speech import sound_file, spoken
from tests.web.conftest import PATIENCE_S, Site

ROUTES = ("/process/kitchen", "/process")


@pytest.mark.parametrize("container", ["WAV", "FLAC", "OGG", "MP3"])
async def test_a_spoken_question_is_answered_with_mp3(site: Site, container: str) -> None:
    subtype = {"WAV": "PCM_16", "FLAC": "PCM_16", "OGG": "VORBIS", "MP3": "MPEG_LAYER_III"}[container]
    question = sound_file(spoken(0), container, subtype)
    answer = await site.http.post("/process/A4:CF:12:8B:3F:9E", content=question)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "audio/mpeg"
    assert answer.headers["x-session-id"] == "a4cf128b3f9e"
    assert int(answer.headers["x-turn"]) >= 0x8000
    assert unquote(answer.headers["x-transcript"]).startswith("question")
    assert read_sound(answer.content).seconds > 0.3


async def test_the_conversation_goes_on_over_http_and_over_mqtt(
    site: Site, start_device: StartDevice, provider: OpenAIServer
) -> None:
    device = await start_device(site.gateway, "kitchen")
    exchange = await device.speak(spoken(1), paced=False)
    await exchange.done(PATIENCE_S)
    answer = await site.http.post("/process/kitchen?whole=true", content=sound_file(spoken(2)))
    assert answer.headers["x-transcript"] == "question%202"
    assert unquote(answer.headers["x-reply"]) == "Answer to question 2."
    assert answer.headers["x-outcome"] == "completed"
    assert int(answer.headers["content-length"]) == len(answer.content)
    said = [message["content"] for message in provider.chat.requests[-1].json["messages"][1:]]
    assert said == ["question 1", "Answer to question 1.", "question 2"]
