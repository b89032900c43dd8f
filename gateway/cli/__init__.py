"""The command line: one command, one file.

Results go to standard output, everything else to standard error. Exit codes: 0 it worked, 1 it did not, 2 it was
asked in a way that cannot work, 130 Ctrl-C.
"""

import logging
import sys
from importlib import import_module
from typing import TYPE_CHECKING

from gateway.errors import ConfigurationError, GatewayError

if TYPE_CHECKING:
    # typer takes a fifth of a second to import, and a Ctrl-C before `main` would be answered with a traceback.
    import typer

INTERRUPTED = 130
COMMANDS = (
    "run",
    "demo",
    "talk",
    "say",
    "simulate",
    "broker_admin",
    "devices",
    "sessions",
    "cleanup",
    "stats",
    "health",
    "doctor",
    "engines",
    "config",
    "version",
)
"""The modules of this package, in the order of the help; `register(app)` of each adds its command."""


def build_app() -> "typer.Typer":
    """Return the whole command line. The modules import what is heavy only when their command runs."""
    import typer

    app = typer.Typer(
        help="Give every ESP32 its own voice assistant over an ordinary MQTT broker.",
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        add_completion=False,
    )
    for name in COMMANDS:
        import_module(f"{__name__}.{name}").register(app)
    return app


def main() -> None:
    """What `voice-gateway` runs."""
    try:
        code = _run()
        from gateway.cli.running import end_process
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    end_process(code)


def _run() -> int:
    """Run the command that the process was started with; return its exit code."""
    # Commands speak for themselves; `run` configures the log.
    logging.getLogger().addHandler(logging.NullHandler())
    try:
        build_app()(prog_name="voice-gateway")
    except ConfigurationError as error:
        _tell(error)
        return 2
    except GatewayError as error:
        _tell(error)
        return 1
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0
    return 0


def _tell(error: GatewayError) -> None:
    from gateway.cli.calling import as_called

    for line in as_called(str(error)).splitlines():
        print(f"voice-gateway: {line}", file=sys.stderr)  # noqa: T201 - the command's own words
