import pytest

from gateway.engines.choice import own_choice


@pytest.mark.parametrize(
    ("setting", "engine", "choice"),
    [
        ("", "openai", ""),
        ("nova", "openai", "nova"),
        ("nova", "espeak", "nova"),
        ("openai:nova,espeak:es+f3", "openai", "nova"),
        ("openai:nova, espeak: es+f3", "espeak", "es+f3"),
        ("openai:nova", "espeak", ""),
        ("llama3.2:3b", "openai", "llama3.2:3b"),
        ("openai:llama3.2:3b", "openai", "llama3.2:3b"),
        (r"C:\models\whisper", "faster-whisper", r"C:\models\whisper"),
    ],
)
def test_own_choice(setting: str, engine: str, choice: str) -> None:
    assert own_choice(setting, engine) == choice
