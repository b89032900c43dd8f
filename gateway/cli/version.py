"""`voice-gateway version`."""

import typer

from gateway import __version__
from gateway.cli.options import examples


def register(app: typer.Typer) -> None:
    app.command(epilog=examples("voice-gateway version"))(version)


def version() -> None:
    """Print the version."""
    typer.echo(__version__)
