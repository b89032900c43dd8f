"""The reference page of the settings, made from their declaration."""

from gateway.config import Settings
from gateway.settings_sources import allowed, option_name, variable_name

INTRODUCTION = """\
# Settings

Made by `voice-gateway config --reference` from the declaration in `gateway/config.py`; a test compares the two.

A setting is looked for, in this order, on the command line (`--llm-model`), in the environment
(`GATEWAY_LLM_MODEL`), in a TOML file (`llm_model = "…"`) and in the defaults below. The file is the one
given with `--config`, else the one that `GATEWAY_CONFIG` names, else the first that exists of `gateway.toml` in the
current folder and `mqtt-voice-gateway/gateway.toml` in the user's configuration folder (`~/.config`, or
`XDG_CONFIG_HOME`). Relative paths start from the current folder; `~` is the home folder. An environment variable
that is empty counts as not set. A list is written as JSON in the environment and given by repeating the option on
the command line; a table is written as JSON in both.

A name that does not exist or a value that is not allowed ends the start with a message that names it.
`voice-gateway config` shows the values in effect and where each came from.

`OPENAI_API_KEY` and `OPENAI_BASE_URL` are the openai library's own variables and are read from the environment only.
"""


def reference() -> str:
    """Return the page, as Markdown."""
    return INTRODUCTION + "".join(_entry(name) for name in Settings.model_fields)


def _entry(name: str) -> str:
    field = Settings.model_fields[name]
    if isinstance(field.default, tuple):
        default = ", ".join(f"`{part}`" for part in field.default)
    elif isinstance(field.default, bool):
        default = f"`{str(field.default).lower()}`"
    else:
        default = "none" if field.default in ("", None, {}) else f"`{field.default}`"
    return (
        f"\n## `{name}`\n\n{field.description}.\n\n"
        f"`{option_name(name)}` · `{variable_name(name)}` · {allowed(name)} · default: {default}\n"
    )
