"""The fake server, asked by the real library."""

import asyncio
from collections.abc import AsyncIterator

import openai
import pytest

from tests.fakes.http_server import Ending
from tests.fakes.openai_server import HANG, REFUSE, Broken, OpenAIServer, Status, tone


@pytest.fixture
async def server() -> AsyncIterator[OpenAIServer]:
    async with OpenAIServer() as server:
        yield server


@pytest.fixture
async def client(server: OpenAIServer) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(api_key="sk-test", base_url=server.base_url, max_retries=0, timeout=5) as client:
        yield client


async def chat(client: openai.AsyncOpenAI) -> list[str]:
    stream = await client.chat.completions.create(
        model="m", messages=[{"role": "user", "content": "hola"}], stream=True
    )
    return [chunk.choices[0].delta.content or "" async for chunk in stream]


async def test_streams_a_chat(server: OpenAIServer, client: openai.AsyncOpenAI) -> None:
    server.chat.answer = lambda request: ["eco: ", request.json["messages"][0]["content"]]
    assert "".join(await chat(client)) == "eco: hola"
    assert server.chat.requests[0].headers["authorization"] == "Bearer sk-test"


async def test_reads_the_upload_and_gives_the_language(server: OpenAIServer, client: openai.AsyncOpenAI) -> None:
    heard = await client.audio.transcriptions.create(
        model="whisper-1", file=("q.wav", b"RIFF\r\n--odd"), response_format="verbose_json"
    )
    assert (heard.text, heard.language) == ("hola", "spanish")
    assert server.transcriptions.requests[0].files == {"file": b"RIFF\r\n--odd"}
    assert server.transcriptions.requests[0].fields["model"] == "whisper-1"


async def test_speaks(client: openai.AsyncOpenAI) -> None:
    spoken = await client.audio.speech.create(model="tts-1", voice="alloy", input="hola", response_format="pcm")
    assert spoken.content == tone(0.24)


async def test_fails_as_told(server: OpenAIServer, client: openai.AsyncOpenAI) -> None:
    server.chat.answer = Status(429, retry_after="7", message="slow down")
    with pytest.raises(openai.RateLimitError, match="slow down") as error:
        await chat(client)
    assert error.value.response.headers["retry-after"] == "7"
    server.chat.answer = REFUSE
    with pytest.raises(openai.APIConnectionError):
        await chat(client)
    server.chat.answer = Broken(["uno"], Ending.CLOSE)
    with pytest.raises(openai.APIConnectionError):
        await chat(client)


async def test_sees_a_client_go_away(server: OpenAIServer, client: openai.AsyncOpenAI) -> None:
    server.chat.answer = HANG
    asking = asyncio.create_task(chat(client))
    await server.chat.arrived.get()
    asking.cancel()
    assert await server.chat.abandoned.get() == server.chat.requests[0]


async def test_refuses_when_stopped_and_comes_back(server: OpenAIServer, client: openai.AsyncOpenAI) -> None:
    await server.stop()
    with pytest.raises(openai.APIConnectionError):
        await chat(client)
    await server.start()
    assert await chat(client)
