"""What holds for every test."""

import os

import pytest


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings and keys of the person who runs the tests are not the tests'."""
    for name in [name for name in os.environ if name.startswith(("GATEWAY_", "OPENAI_"))]:
        monkeypatch.delenv(name)
