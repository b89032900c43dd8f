"""What holds for every test."""

import os
import signal

import hypothesis
import pytest

# A busy machine must not fail a property that holds.
hypothesis.settings.register_profile("gateway", deadline=None)
hypothesis.settings.load_profile("gateway")

# A shell lets what it starts in the background ignore Ctrl-C, and so would every program that a test starts.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings and keys of the person who runs the tests are not the tests'."""
    for name in [name for name in os.environ if name.startswith(("GATEWAY_", "OPENAI_", "HOME_ASSISTANT_", "MCP_"))]:
        monkeypatch.delenv(name)
