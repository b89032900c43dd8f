"""`voice-gateway config`: the settings in effect, and where each value came from."""

import json
from typing import Annotated

import typer

from gateway.cli.options import AsJson, examples, takes_settings
from gateway.cli.tables import table
from gateway.config import Settings, database_url
from gateway.errors import ConfigurationError, Stage
from gateway.settings_reference import reference
from gateway.settings_sources import Loaded, Source, shown


def register(app: typer.Typer) -> None:
    app.command(
        epilog=examples(
            "voice-gateway config",
            "voice-gateway config --config gateway.toml --json",
            "GATEWAY_LLM=offline voice-gateway config --language en",
            "voice-gateway config --reference > docs/configuration.md",
        )
    )(config)


@takes_settings()
def config(
    loaded: Loaded,
    as_json: AsJson = False,
    reference_page: Annotated[
        bool, typer.Option("--reference", help="Print the reference page of all settings instead.")
    ] = False,
) -> None:
    """Show the settings in effect and where each value came from; passwords are hidden.

    Exits with 2, after it has shown them, if one names an engine, a broker or a database that cannot be.
    """
    if reference_page:
        typer.echo(reference(), nl=False)
        return
    if as_json:
        typer.echo(json.dumps(_as_data(loaded), ensure_ascii=False, indent=2))
    else:
        typer.echo(f"file: {loaded.file or 'none'}\n")
        values = {
            name: shown(name, value) if (value := getattr(loaded.settings, name)) is not None else ""
            for name in loaded.origins
        }
        typer.echo(
            table(("setting", "value", "from"), [(name, values[name], str(loaded.origins[name])) for name in values])
        )
    _check(loaded.settings)


def _check(settings: Settings) -> None:
    """Refuse what `run` would, as far as the settings alone tell.

    Raises:
        ConfigurationError: everything that is wrong, a line each.
    """
    from gateway.broker.url import parse_broker_url
    from gateway.engines.choosing import named_engines
    from gateway.store import Store

    wrong = []
    for attempt in (
        lambda: named_engines(Stage.STT, settings.stt),
        lambda: named_engines(Stage.LLM, settings.llm),
        lambda: named_engines(Stage.TTS, settings.tts),
        lambda: settings.tools.strip() == "none" or named_engines(Stage.TOOLS, settings.tools),
        lambda: parse_broker_url(settings.mqtt_url),
        lambda: Store(database_url(settings)),
    ):
        try:
            attempt()
        except ConfigurationError as error:
            wrong.append(str(error))
    if wrong:
        raise ConfigurationError("\n".join(wrong))


def _for_json(name: str, value: object) -> object:
    if isinstance(value, list):
        return [shown(name, one) for one in value]
    return shown(name, value) if isinstance(value, str) else value


def _as_data(loaded: Loaded) -> dict[str, object]:
    values = loaded.settings.model_dump(mode="json")
    return {
        "file": str(loaded.file) if loaded.file else None,
        "settings": {
            name: {
                "value": _for_json(name, value),
                "source": str(origin.source),
                "spelling": origin.spelling if origin.source is not Source.DEFAULT else None,
            }
            for name, origin in loaded.origins.items()
            for value in (values[name],)
        },
    }
