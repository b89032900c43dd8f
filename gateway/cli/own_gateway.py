"""A gateway for one command alone, in a process of its own, so that neither slows the other down."""

import asyncio
import contextlib
import logging
import multiprocessing
import os
import signal
import tempfile
import time
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Self

from gateway.broker.url import BrokerUrl
from gateway.config import Settings
from gateway.engines.choosing import MINIATURE_MODEL
from gateway.errors import ConfigurationError, GatewayError

START_S = 60.0
STOP_S = 15.0
"""Longest wait for its end; the gateway itself ends within 10 s."""


class OwnGateway:
    """`async with OwnGateway(settings) as gateway:` is one with an embedded broker, a fresh database and engines that
    need no network; devices connect to `gateway.url`. Nothing of it stays.

    Raises on entering:
        ConfigurationError: something that it needs is not installed; the message says what.
    """

    def __init__(self, settings: Settings) -> None:
        self._given = settings
        self._folder = tempfile.TemporaryDirectory(prefix="voice-gateway-")
        self._pipe: Connection
        self._process: multiprocessing.process.BaseProcess
        self.url: BrokerUrl
        self.settings: Settings
        """Those that it runs with."""
        self.cpu_s: float | None = None
        """Seconds of CPU between its being ready and its end; known after that."""

    async def __aenter__(self) -> Self:
        self.settings = self._given.model_copy(
            update={
                "mqtt_url": "embedded://127.0.0.1:0",
                "data_dir": Path(self._folder.name),
                "database_url": "",
                "stt": "faster-whisper",
                "stt_model": str(MINIATURE_MODEL),
                "stt_beam_size": 1,
                "stt_device": "cpu",
                "stt_compute_type": "int8",
                "llm": "offline",
                "tts": "espeak",
                "tts_voice": "",
                "web": "off",
            }
        )
        # Not a fork: this process has threads.
        context = multiprocessing.get_context("spawn")
        self._pipe, its_end = context.Pipe()
        self._process = context.Process(
            target=_be_gateway, args=(self.settings, its_end), name="own gateway", daemon=True
        )
        # Ctrl-C in a terminal reaches that process too; when to end is for the command to say. It inherits what is
        # blocked, and so is deaf from the beginning, while it imports. The start of the tracker would unblock it again.
        resource_tracker.ensure_running()
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            self._process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        its_end.close()
        try:
            told = await self._told(START_S)
            if isinstance(told, Exception):
                raise told
            if not isinstance(told, BrokerUrl):
                raise ConfigurationError(f"the simulator's own gateway ended, or did not start within {START_S:g} s")
            self.url = told
        except BaseException:
            # It may still be loading, and hears nothing of the pipe meanwhile.
            self._process.terminate()
            await self._end()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self._pipe.send(None)
            told = await self._told(STOP_S)
            self.cpu_s = told if isinstance(told, float) else None
        except OSError:
            pass  # it has ended already
        finally:
            await self._end()

    async def _told(self, timeout_s: float) -> object:
        """What it says next; None when it says nothing in time, or has ended."""

        def receive() -> object:
            try:
                return self._pipe.recv() if self._pipe.poll(timeout_s) else None
            except EOFError:
                return None

        return await asyncio.to_thread(receive)

    async def _end(self) -> None:
        self._pipe.close()
        await asyncio.to_thread(self._process.join, STOP_S)
        if self._process.is_alive():
            self._process.kill()
            await asyncio.to_thread(self._process.join, STOP_S)
        self._folder.cleanup()


def _be_gateway(settings: Settings, pipe: Connection) -> None:
    """The life of the process: serve until something, or the end of the command, comes through `pipe`."""
    logging.getLogger().addHandler(logging.NullHandler())
    asyncio.run(_serve(settings, pipe))


async def _serve(settings: Settings, pipe: Connection) -> None:
    from gateway.app import Gateway

    try:
        async with Gateway(settings, environ=os.environ) as gateway:
            await gateway.wait_connected(START_S)
            began = time.process_time()
            pipe.send(gateway.broker_url)
            await asyncio.to_thread(pipe.poll, None)
            cpu_s = time.process_time() - began
    except GatewayError as error:
        pipe.send(error)
        return
    with contextlib.suppress(OSError):  # the command has gone, and does not want to know
        pipe.send(cpu_s)
