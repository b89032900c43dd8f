"""Which part of a setting like `stt_model` or `tts_voice` is for which engine of a list."""

ENGINES_WITH_CHOICES = ("faster-whisper", "openai", "gtts", "espeak")


def own_choice(setting: str, engine: str) -> str:
    """Return what `setting` chooses for `engine`; empty: its own default.

    `nova` is for every engine of the list; `openai:nova,espeak:es+m3` names one each, and engines that are not
    named have their default. A colon after anything but an engine's name is part of the value (`llama3.2:3b`).
    """
    named = {}
    for part in setting.split(","):
        name, colon, value = part.strip().partition(":")
        if colon and name in ENGINES_WITH_CHOICES:
            named[name] = value.strip()
    return named.get(engine, "") if named else setting.strip()
