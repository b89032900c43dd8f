"""The gateway as it is operated: ended, killed, without its broker, erased from beside, on another database."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from gateway.app import Gateway
from gateway.config import Settings
from gateway.device import Ended, Exchange, SoftwareDevice
from gateway.engines.workers import CLOSE_S
from gateway.errors import BrokerUnavailable, NothingCame
from gateway.store import Store
from gateway.values import DeviceId, Outcome
from tests.cli.conftest import CommandLine, cli, log_as_before
from tests.cli.retained import retained_topics
from tests.conformance.openai_failures import KEY
from tests.e2e.conftest import StartDevice, StartGateway
from tests.e2e.locking import locked
from tests.e2e.onlooker import Onlooker
from tests.e2e.process import ROOT, GatewayProcess
from tests.e2e.speech import spoken
from tests.fakes.mosquitto import Mosquitto
from tests.fakes.openai_server import OpenAIServer
from tests.fakes.postgres import PostgresServer
from tests.store.conftest import postgres

__all__ = ["cli", "log_as_before", "postgres"]

ENGINES = ("--stt", "openai", "--llm", "openai", "--tts", "openai", "--language", "en")
KITCHEN = DeviceId("kitchen")
LONG_ANSWER = [f"This is sentence number {word} of a long answer. " for word in ("one", "two", "three", "four", "five")]
SMALL = {"v": 1, "max_packet": 1500, "buffer_ms": 1000}
"""A device that holds little: a long answer is still being sent after a second."""


STUBBORN = """
import asyncio, sys, time
from gateway.engines.workers import Workers

def hold(*_):
    print("a thread is held", file=sys.stderr, flush=True)
    time.sleep(60)

class Trickling:
    name = description = "trickling"

    def __init__(self):
        self.workers = Workers("trickling", threads=1, queue=1)

    @classmethod
    def from_settings(cls, settings):
        return cls()

    async def start(self):
        pass

    async def close(self):
        await self.workers.close()

    def voice(self, language, wanted=None):
        return language

    async def speak(self, text, language, voice=None):
        yield await self.workers.run(hold)

class Loading(Trickling):
    async def start(self):
        await asyncio.to_thread(hold)
"""


@pytest.fixture
async def broker() -> AsyncIterator[Mosquitto]:
    """Keeps what is retained when it is restarted."""
    async with Mosquitto(password="hunter2", persistence=True) as mosquitto:
        yield mosquitto


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    """What a test starts in its own order, ended before the broker."""
    async with AsyncExitStack() as stack:
        yield stack


def conversation(provider: OpenAIServer) -> list[str]:
    return [message["content"] for message in provider.chat.requests[-1].json["messages"][1:]]


async def asks(device: SoftwareDevice, text: str) -> dict[str, object]:
    return dict(await (await device.ask(text)).done(20))


async def is_speaking(device: SoftwareDevice, provider: OpenAIServer) -> Exchange:
    """A long answer has begun, and has not been sent to its end."""
    usual, provider.chat.answer = provider.chat.answer, LONG_ANSWER
    exchange = await device.speak(spoken(3), paced=False)
    await exchange.event("speaking", 20)
    await device.wait_state("speaking", 20)
    provider.chat.answer = usual
    return exchange


async def stored_turns(folder: Path) -> list[tuple[Outcome, str]]:
    store = Store(f"sqlite:///{folder}/data/gateway.db")
    await store.start()
    try:
        return [(turn.outcome, turn.heard) for turn in await store.turns(KITCHEN, 100)]
    finally:
        await store.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "Ctrl-C"])
async def test_told_to_end_while_it_speaks_it_ends_the_reply_and_takes_leave(
    provider: OpenAIServer, broker: Mosquitto, stack: AsyncExitStack, tmp_path: Path, number: signal.Signals
) -> None:
    options = (*ENGINES, "--mqtt-url", broker.url, "--log-text", "--log-level", "DEBUG")
    gateway = await stack.enter_async_context(GatewayProcess(tmp_path, *options))
    await gateway.ready()
    onlooker = await stack.enter_async_context(Onlooker(broker.url))
    device = await stack.enter_async_context(SoftwareDevice(broker.url, KITCHEN, hello=SMALL))
    await asks(device, "hello")
    exchange = await is_speaking(device, provider)
    gateway.send(number)
    assert (await exchange.reply(10)).ended is Ended.END
    done = await exchange.done(10)
    assert done["outcome"] == "interrupted"
    assert str(done["reply"]).startswith("This")
    assert await gateway.ended() == 0
    assert "Traceback" not in gateway.log
    await onlooker.message("voice/gateway/status", b"offline")
    assert (await device.wait_state("idle", 5))["last"]["outcome"] == "interrupted"
    assert await stored_turns(tmp_path) == [(Outcome.COMPLETED, "hello"), (Outcome.INTERRUPTED, "question 3")]
    # Neither the provider's key nor the broker's password is told to anyone, however talkative the log is.
    told = gateway.log + gateway.output + "".join(f"{each.topic} {each.payload!r}" for each in onlooker.messages)
    assert KEY not in told
    assert "hunter2" not in told


@pytest.fixture
def stubborn(tmp_path: Path) -> dict[str, str]:
    """The environment of a gateway with two voices that hold a thread for a minute, whoever waits for it: `trickling`
    while it speaks, `loading` while it starts."""
    folder = tmp_path / "plugin"
    info = folder / "stubborn-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: stubborn\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[mqtt_voice_gateway.tts]\ntrickling = stubborn:Trickling\nloading = stubborn:Loading\n"
    )
    (folder / "stubborn.py").write_text(STUBBORN)
    return {"PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"}


async def test_an_engine_that_does_not_stop_does_not_hold_up_the_end(
    provider: OpenAIServer, broker: Mosquitto, stack: AsyncExitStack, tmp_path: Path, stubborn: dict[str, str]
) -> None:
    options = (*ENGINES, "--tts", "trickling", "--mqtt-url", broker.url)
    gateway = await stack.enter_async_context(GatewayProcess(tmp_path, *options, environ=stubborn))
    await gateway.ready()
    device = await stack.enter_async_context(SoftwareDevice(broker.url, KITCHEN, hello=SMALL))
    exchange = await device.ask("hello")
    await gateway.logged("a thread is held")
    gateway.send(signal.SIGTERM)
    assert (await exchange.done(10))["outcome"] == "interrupted"
    assert await gateway.ended() == 0
    assert "Traceback" not in gateway.log
    assert [outcome for outcome, _ in await stored_turns(tmp_path)] == [Outcome.INTERRUPTED]


async def test_told_to_end_while_it_starts_it_ends(
    provider: OpenAIServer, broker: Mosquitto, tmp_path: Path, stubborn: dict[str, str]
) -> None:
    options = (*ENGINES, "--tts", "loading", "--mqtt-url", broker.url)
    async with GatewayProcess(tmp_path, *options, environ=stubborn) as gateway:
        await gateway.logged("a thread is held")
        gateway.send(signal.SIGTERM)
        assert await gateway.ended() == 0
        assert "Traceback" not in gateway.log


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
async def test_told_twice_it_ends_at_once(
    provider: OpenAIServer,
    broker: Mosquitto,
    stack: AsyncExitStack,
    tmp_path: Path,
    stubborn: dict[str, str],
    number: signal.Signals,
    code: int,
) -> None:
    options = (*ENGINES, "--tts", "trickling", "--mqtt-url", broker.url)
    gateway = await stack.enter_async_context(GatewayProcess(tmp_path, *options, environ=stubborn))
    await gateway.ready()
    device = await stack.enter_async_context(SoftwareDevice(broker.url, KITCHEN, hello=SMALL))
    await device.ask("hello")
    await gateway.logged("a thread is held")
    gateway.send(number)
    await gateway.logged("stopping")
    gateway.send(number)
    assert await gateway.ended(CLOSE_S / 2) == code


async def test_a_locked_database_does_not_hold_up_the_end(
    provider: OpenAIServer, broker: Mosquitto, stack: AsyncExitStack, tmp_path: Path
) -> None:
    gateway = await stack.enter_async_context(GatewayProcess(tmp_path, *ENGINES, "--mqtt-url", broker.url))
    await gateway.ready()
    device = await stack.enter_async_context(SoftwareDevice(broker.url, KITCHEN, hello=SMALL))
    await asks(device, "hello")
    with locked(tmp_path / "data" / "gateway.db"):
        exchange = await is_speaking(device, provider)
        gateway.send(signal.SIGTERM)
        assert (await exchange.reply(10)).ended is Ended.END
        assert await gateway.ended() == 0


async def test_killed_it_loses_nothing_that_was_done_and_serves_on(
    provider: OpenAIServer, broker: Mosquitto, stack: AsyncExitStack, tmp_path: Path
) -> None:
    options = (*ENGINES, "--mqtt-url", broker.url)
    first = await stack.enter_async_context(GatewayProcess(tmp_path, *options))
    await first.ready()
    onlooker = await stack.enter_async_context(Onlooker(broker.url))
    device = await stack.enter_async_context(SoftwareDevice(broker.url, KITCHEN, hello=SMALL))
    for number in range(5):
        await asks(device, f"number {number}")
    await is_speaking(device, provider)
    first.send(signal.SIGKILL)
    await first.ended()
    await onlooker.message("voice/gateway/status", b"offline")
    assert await stored_turns(tmp_path) == [(Outcome.COMPLETED, f"number {number}") for number in range(5)]
    assert device.state is not None
    assert device.state["state"] == "speaking"

    second = await stack.enter_async_context(GatewayProcess(tmp_path, *options))
    state = await device.wait_state("idle", 40)
    assert (state["last"]["heard"], state["last"]["said"]) == ("number 4", "Answer to number 4.")
    await second.ready()
    assert (await onlooker.statistics())["turns"]["completed"] == 5
    assert (await asks(device, "one more"))["outcome"] == "completed"
    assert conversation(provider) == [
        *(text for number in range(5) for text in (f"number {number}", f"Answer to number {number}.")),
        "one more",
    ]


async def test_the_broker_may_be_late_and_may_go_at_any_time(
    provider: OpenAIServer, broker: Mosquitto, stack: AsyncExitStack, settings: Callable[..., Settings]
) -> None:
    await broker.stop()
    gateway = await stack.enter_async_context(Gateway(settings(mqtt_url=broker.url)))
    await broker.start()
    await gateway.wait_connected(20)
    device = await stack.enter_async_context(SoftwareDevice(broker.url, KITCHEN, hello=SMALL))
    await asks(device, "before")

    await broker.stop()
    await broker.start()
    async with Onlooker(broker.url) as onlooker:
        await onlooker.message("voice/gateway/status", b"online")
        assert (await onlooker.json("voice/kitchen/state", state="idle"))["last"]["heard"] == "before"
        await onlooker.message("voice/gateway/stats")
    await until_answered(device, "between")

    await is_speaking(device, provider)
    await broker.stop()
    await broker.start()
    async with Onlooker(broker.url) as onlooker:
        state = await onlooker.json("voice/kitchen/state", state="idle")
        assert state["last"]["outcome"] == "failed"
    await until_answered(device, "after")
    assert conversation(provider)[-1] == "after"


async def until_answered(device: SoftwareDevice, text: str) -> None:
    """Ask as soon as device and gateway are both connected again."""
    async with asyncio.timeout(30):
        while True:
            try:
                done = await (await device.ask(text)).done(2)
            except NothingCame:
                continue
            except BrokerUnavailable:
                await asyncio.sleep(0.05)
                continue
            assert done["outcome"] == "completed"
            return


async def test_what_is_erased_from_beside_does_not_come_back(
    provider: OpenAIServer, stack: AsyncExitStack, start_gateway: StartGateway, cli: CommandLine, tmp_path: Path
) -> None:
    broker = await stack.enter_async_context(Mosquitto())
    gateway = await start_gateway(mqtt_url=broker.url)
    devices = [await stack.enter_async_context(SoftwareDevice(broker.url, name)) for name in ("kitchen", "office")]
    for device in devices:
        await asks(device, f"my name is {device.spelling}")
    kitchen, office = devices
    async with Onlooker(broker.url) as onlooker:  # as does a sketch, which never says that it is online
        await onlooker.publish("voice/sketch/ask", b"my name is sketch")
        await onlooker.json("voice/sketch/state", state="idle")
    where = ("--data-dir", str(tmp_path), "--mqtt-url", broker.url)

    for device in ("kitchen", "sketch"):
        assert (await cli("sessions", "forget", device, "--yes", *where)).code == 0
        assert f"voice/{device}/state" not in await retained_topics(broker.url)
    exchange = await is_speaking(office, provider)
    assert (await cli("cleanup", "--days", "0", "--yes", *where)).code == 0
    await office.abort()
    assert (await exchange.done(10))["outcome"] == "interrupted"
    async with Onlooker(broker.url) as onlooker:
        assert (await onlooker.request("sessions"))["data"] == []
        stats = await onlooker.statistics()
        assert (stats["total_sessions"], stats["active_sessions"]) == (0, [])
    hall = await stack.enter_async_context(SoftwareDevice(broker.url, "hall"))
    await asks(hall, "hello")
    await hall.wait_state("idle", 10)
    # Not even when the broker comes back with nothing retained, and the gateway restores what it knows, hall's last.
    async with Onlooker(broker.url) as onlooker:
        await onlooker.message("voice/hall/state")
        await broker.stop()
        seen = len(onlooker.on("voice/hall/state"))
        await broker.start()
        await onlooker.nth("voice/hall/state", seen)
        await until_answered(kitchen, "what is it")
        assert conversation(provider) == ["what is it"]
        await onlooker.json("voice/kitchen/state", state="idle")
        states = [message.payload for message in onlooker.messages if message.topic.endswith("/state")]
    assert not any(b"my name" in state or b"question 3" in state for state in states)
    await gateway.__aexit__(None, None, None)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--utterance-max-s", "soon"), "--utterance-max-s is 'soon'"),
        (("--tts", "espaek"), "espeak"),
        (("--mqtt-url", "http://broker"), "mqtt"),
        (("--database-url", "mysql://x"), "postgresql://"),
    ],
)
async def test_settings_that_cannot_work_end_the_start_with_advice(
    tmp_path: Path, options: tuple[str, ...], words: str
) -> None:
    offline = ("--stt", "pocketsphinx", "--llm", "offline", "--tts", "espeak")
    async with GatewayProcess(tmp_path, *offline, *options) as gateway:
        assert await gateway.ended(40) == 2
    assert words in gateway.log
    assert "Traceback" not in gateway.log


async def test_a_conversation_on_postgresql(
    provider: OpenAIServer, postgres: PostgresServer, start_gateway: StartGateway, start_device: StartDevice
) -> None:
    database = postgres.new_database()
    for number in range(2):
        gateway = await start_gateway(mqtt_url="embedded://127.0.0.1:0", database_url=database)
        device = await start_device(gateway, hello=SMALL)
        assert (await asks(device, f"number {number}"))["outcome"] == "completed"
        repeated = await device.ask("tell me a story")
        assert (await repeated.done(10))["cached"] is (number == 1)
        async with Onlooker(gateway.broker_url) as onlooker:
            assert (await onlooker.statistics())["turns"]["completed"] == 2 * (number + 1)
            sessions = (await onlooker.request("sessions"))["data"]
            assert [(each["message_count"], each["device_info"]) for each in sessions] == [(4 * (number + 1), SMALL)]
        await device.stop()
        await gateway.__aexit__(None, None, None)
    assert conversation(provider)[0] == "number 0"
    assert json.dumps(conversation(provider)).count("number") == 3
