"""What is common to the engines that ask the openai API, where no request shows it."""

import importlib
import sys
import threading
from pathlib import Path
from types import ModuleType

import pytest

from gateway.engines.openai_client import open_client
from tests.conformance.openai_failures import openai_environment

__all__ = ["openai_environment"]

SLOW_HTTPX = """
import threading
import gate

looked_at = threading.Event()

def __getattr__(name):
    looked_at.set()
    raise AttributeError(name)

gate.loading.set()
looked_at.wait(10)

class URL: ...
class Timeout: ...
class Limits: ...
class Client: ...
class AsyncClient: ...
class Response: ...
"""


async def test_it_starts_while_another_engine_loads_httpx(
    openai_environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The Hugging Face Hub, which faster-whisper asks, brings httpx; the engines start at the same time."""
    gate = ModuleType("gate")
    gate.loading = threading.Event()  # type: ignore[attr-defined]
    openai_environment.setitem(sys.modules, "gate", gate)
    openai_environment.delitem(sys.modules, "httpx", raising=False)
    (tmp_path / "httpx.py").write_text(SLOW_HTTPX)
    openai_environment.syspath_prepend(tmp_path)
    loading = threading.Thread(target=importlib.import_module, args=("httpx",))
    loading.start()
    try:
        assert gate.loading.wait(10)
        client = await open_client(timeout_s=1)
        await client.close()
    finally:
        loading.join()
        sys.modules.pop("httpx", None)
