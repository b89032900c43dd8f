"""`voice-gateway run`: the gateway itself."""

import typer

from gateway.cli.options import examples, takes_settings
from gateway.cli.running import loop_factory, run_async
from gateway.settings_sources import Loaded


def register(app: typer.Typer) -> None:
    app.command(
        epilog=examples(
            "voice-gateway run",
            "GATEWAY_MQTT_URL=mqtt://user:password@broker.local:1883 voice-gateway run --language en",
            "voice-gateway run --config gateway.toml --log-format json",
            "OPENAI_BASE_URL=http://localhost:11434/v1 voice-gateway run --llm openai --llm-model llama3.2:3b",
        )
    )(run)


@takes_settings()
def run(loaded: Loaded) -> None:
    """Serve devices until Ctrl-C or SIGTERM. Each option is a setting; docs/configuration.md explains them."""
    from gateway.reports.logs import configure
    from gateway.serving import serve

    settings = loaded.settings
    configure(settings.log_format, settings.log_level)
    run_async(serve(settings), loop_factory())
