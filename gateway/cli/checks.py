"""What `voice-gateway doctor` looks at. Each check tries the real thing, in little, and says what to do about it."""

import asyncio
import os
import shutil
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np

from gateway.audio import SPEECH_RATE, Pcm, resample, to_float32
from gateway.broker.embedded import EmbeddedBroker
from gateway.broker.mqtt import MqttBroker
from gateway.broker.protocol import Incoming, Subscription
from gateway.broker.url import BrokerKind, BrokerUrl, parse_broker_url
from gateway.cli.broker import CONNECT_S, client_url
from gateway.cli.storage import open_store
from gateway.config import Settings
from gateway.engines.choosing import EngineChoice, choose
from gateway.engines.protocols import ChatRequest, Checkable
from gateway.engines.tools.protocol import Toolbox
from gateway.errors import (
    BrokerRefused,
    BrokerUnavailable,
    ConfigurationError,
    EngineFailed,
    GatewayError,
    Stage,
    ToolFailed,
)
from gateway.reports.trying import QUESTIONS
from gateway.values import Message
from gateway.wire.topics import Topics

EARLIEST = datetime(2026, 1, 1, tzinfo=UTC)
"""A clock before this is not set: boards without a battery begin in 1970."""
CLOCK_AHEAD = timedelta(minutes=1)
DISK_WARN_BYTES, DISK_FAIL_BYTES = 1 << 30, 100 << 20
ENGINE_START_S = 120.0
"""Longest start of an engine; one that is not here yet is fetched then."""
ECHO_S = 5.0


class Status(StrEnum):
    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found; `advice` says what to do where something is to be done."""

    check: str
    status: Status
    detail: str
    advice: str = ""


async def examine(settings: Settings) -> AsyncIterator[Finding]:
    """Check everything that `settings` need, one after the other."""
    yield check_data_dir(settings.data_dir)
    yield check_disk(settings.data_dir)
    async for finding in check_database_and_clock(settings):
        yield finding
    yield await check_broker(settings)
    async for finding in check_engines(settings):
        yield finding


def check_data_dir(folder: Path) -> Finding:
    """Whether files can be made in the data folder."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        advice = "choose a folder that you may write to: GATEWAY_DATA_DIR"
        return Finding("data folder", Status.FAIL, f"{folder}: {error.strerror}", advice)
    return Finding("data folder", Status.OK, f"{folder.absolute()} can be written to")


def check_disk(folder: Path) -> Finding:
    """Whether there is room where the data folder is."""
    there = next((place for place in (folder, *folder.absolute().parents) if place.exists()), Path("/"))
    free = shutil.disk_usage(there).free
    detail = f"{free / (1 << 30):.1f} GiB free"
    if free >= DISK_WARN_BYTES:
        return Finding("disk", Status.OK, detail)
    status = Status.FAIL if free < DISK_FAIL_BYTES else Status.WARN
    return Finding("disk", status, detail, "make room, or `voice-gateway cleanup`")


async def check_database_and_clock(settings: Settings) -> AsyncIterator[Finding]:
    """Whether the database opens and answers; and whether the clock agrees with what it has seen."""
    now = datetime.now(UTC)
    latest = None
    try:
        async with open_store(settings, create=True) as store:
            began = time.monotonic()
            statistics = await store.statistics(now)
            spent = (time.monotonic() - began) * 1000
            latest = statistics.last_activity
            detail = f"{store.description}, {statistics.total_sessions} sessions, answered in {spent:.0f} ms"
            yield Finding("database", Status.OK, detail)
    except GatewayError as error:
        yield Finding("database", Status.FAIL, str(error), "see GATEWAY_DATABASE_URL")
    told = f"{now.astimezone():%Y-%m-%d %H:%M:%S %Z}"
    advice = "set the clock, for example by NTP (timedatectl set-ntp true)"
    if now < EARLIEST:
        yield Finding("clock", Status.FAIL, f"it says {told}", advice)
    elif latest is not None and latest > now + CLOCK_AHEAD:
        yield Finding("clock", Status.WARN, f"it says {told}, and the last turn was later, {latest:%Y-%m-%d}", advice)
    else:
        yield Finding("clock", Status.OK, told)


async def check_broker(settings: Settings) -> Finding:
    """Whether a message that is sent to the broker comes back."""
    try:
        async with AsyncExitStack() as stack:
            url = client_url(settings)
            asked = parse_broker_url(settings.mqtt_url)
            started = ""
            if asked.kind is BrokerKind.EMBEDDED and not await _listens(url):
                embedded = EmbeddedBroker(asked, settings.data_dir)
                await stack.enter_async_context(embedded)
                url, started = embedded.url, "embedded, starts here; "
            spent = await _echo(url, settings, stack)
    except BrokerRefused as error:
        return Finding("broker", Status.FAIL, str(error), "see GATEWAY_MQTT_URL and GATEWAY_MQTT_CA_FILE")
    except BrokerUnavailable as error:
        return Finding("broker", Status.FAIL, str(error), "start the broker, or see GATEWAY_MQTT_URL")
    except ConfigurationError as error:
        return Finding("broker", Status.FAIL, str(error), "see GATEWAY_MQTT_URL")
    return Finding("broker", Status.OK, f"{started}{url} sends a message back in {spent:.0f} ms")


async def check_engines(settings: Settings) -> AsyncIterator[Finding]:
    """Whether each engine that a run would use answers a request: the recogniser gets what the voice said."""
    try:
        choice = await choose(settings, os.environ)
    except ConfigurationError as error:
        yield Finding("engines", Status.FAIL, str(error), "see `voice-gateway engines`")
        return
    language = settings.language if settings.language in QUESTIONS else "en"
    question = QUESTIONS[language]
    speech: list[Pcm] = []
    for stage, chosen in ((Stage.TTS, choice.tts), (Stage.STT, choice.stt), (Stage.LLM, choice.llm)):
        findings = [await _check_engine(stage, one, settings, language, question, speech) for one in chosen]
        nothing_left = all(finding.status is not Status.OK for finding in findings)
        for finding in findings:
            yield replace(finding, status=Status.FAIL) if nothing_left else finding
    for one in choice.tools:
        yield await _check_tools(one, settings)


async def _check_engine(
    stage: Stage, chosen: EngineChoice, settings: Settings, language: str, question: str, speech: list[Pcm]
) -> Finding:
    name = f"{stage}: {chosen.spec.name}"
    fault = Status.FAIL if chosen.required else Status.WARN
    try:
        engine = chosen.spec.load().from_settings(settings.model_copy(update=dict(chosen.settings)))
        async with asyncio.timeout(ENGINE_START_S):
            await engine.start()
    except (ConfigurationError, TimeoutError) as error:
        return Finding(name, fault, str(error) or "did not start in time", "see `voice-gateway engines`")
    try:
        began = time.monotonic()
        limit = {
            Stage.TTS: settings.tts_timeout_s,
            Stage.STT: settings.stt_timeout_s,
            Stage.LLM: settings.llm_timeout_s,
        }[stage]
        async with asyncio.timeout(limit):
            result = await _ask(stage, engine, language, question, speech)
        spent = (time.monotonic() - began) * 1000
        return Finding(name, Status.OK, f"{engine.description}: {result} in {spent:.0f} ms")
    except (EngineFailed, ToolFailed) as error:
        return Finding(name, fault, str(error), "see its key, address, model or voice: `voice-gateway config`")
    except TimeoutError:
        return Finding(name, fault, f"no answer within {limit:g} s", "a smaller model, or a longer time limit")
    finally:
        await engine.close()


async def _check_tools(chosen: EngineChoice, settings: Settings) -> Finding:
    """Whether tools that a run would offer work now; nothing is changed by it."""
    name = f"{Stage.TOOLS}: {chosen.spec.name}"
    fault = Status.FAIL if chosen.required else Status.WARN
    advice = "see docs/tools.md, and `voice-gateway config`"
    toolbox: Toolbox = chosen.spec.load().from_settings(settings)
    try:
        async with asyncio.timeout(ENGINE_START_S):
            await toolbox.start()
    except (ConfigurationError, TimeoutError) as error:
        return Finding(name, fault, str(error) or "did not start in time", advice)
    try:
        async with asyncio.timeout(settings.tool_timeout_s):
            return Finding(name, Status.OK, await toolbox.check())
    except ToolFailed as error:
        return Finding(name, fault, str(error), advice)
    except TimeoutError:
        return Finding(name, fault, f"no answer within {settings.tool_timeout_s:g} s", advice)
    finally:
        await toolbox.close()


async def _ask(stage: Stage, engine: Any, language: str, question: str, speech: list[Pcm]) -> str:
    """Make one small request, and tell in a few words what came of it."""
    if isinstance(engine, Checkable):
        return await engine.check()
    if stage is Stage.TTS:
        pieces = [piece async for piece in engine.speak(question, language)]
        if not pieces:
            raise EngineFailed("it gave no audio")
        speech[:] = [Pcm(np.concatenate([piece.samples for piece in pieces]), pieces[0].rate)]
        return f"{speech[0].seconds:.1f} s of speech"
    if stage is Stage.STT:
        said = speech[0] if speech else Pcm(np.zeros(SPEECH_RATE, np.int16), SPEECH_RATE)
        transcript = await engine.transcribe(resample(to_float32(said.samples), said.rate, SPEECH_RATE), language)
        if speech and not transcript.text:
            raise EngineFailed(f"it understood nothing when {question!r} was spoken to it")
        return f"heard {transcript.text!r}"
    request = ChatRequest(
        (Message("system", "Answer in one word."), Message("user", question)), language, datetime.now().astimezone()
    )
    async for piece in engine.reply(request):
        if piece.strip():
            return "first words"
    raise EngineFailed("it gave no answer")


async def _listens(url: BrokerUrl) -> bool:
    try:
        async with asyncio.timeout(CONNECT_S):
            _, writer = await asyncio.open_connection(url.host, url.port)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True


async def _echo(url: BrokerUrl, settings: Settings, stack: AsyncExitStack) -> float:
    """Publish a message and wait for it; milliseconds.

    Raises:
        BrokerUnavailable: no connection, or the message did not come back.
    """
    topic = Topics(settings.root_topic).response("doctor")
    came = asyncio.Event()

    def receive(_: Incoming) -> None:
        came.set()

    broker = MqttBroker(url, receive=receive, subscriptions=[Subscription(topic)], ca_file=settings.mqtt_ca_file)
    await stack.enter_async_context(broker)
    await broker.connected_once(CONNECT_S)
    began = time.monotonic()
    await broker.publish(topic, b"{}")
    try:
        async with asyncio.timeout(ECHO_S):
            await came.wait()
    except TimeoutError:
        raise BrokerUnavailable(f"{url} takes messages on {topic} but does not deliver them: see its ACL") from None
    return (time.monotonic() - began) * 1000
