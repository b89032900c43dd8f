"""`voice-gateway doctor`: whether everything that a run needs works here, and what to do where it does not."""

from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from gateway.cli.calling import as_called
from gateway.cli.options import AsJson, examples, takes_settings
from gateway.cli.output import print_json
from gateway.cli.running import run_async
from gateway.cli.tables import table
from gateway.settings_sources import Loaded

if TYPE_CHECKING:
    from gateway.cli.checks import Finding


def register(app: typer.Typer) -> None:
    app.command(
        epilog=examples(
            "voice-gateway doctor",
            "voice-gateway doctor --config gateway.toml",
            "voice-gateway doctor --json | jq '.[] | select(.status != \"ok\")'",
        )
    )(doctor)


@takes_settings()
def doctor(loaded: Loaded, as_json: AsJson = False) -> None:
    """Try the broker, the database, each engine, the clock and the disk; exits with 1 if something fails."""
    from gateway.cli.checks import Status, examine

    async def work() -> "list[Finding]":
        return [finding async for finding in examine(loaded.settings)]

    findings = run_async(work())
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        typer.echo(table(("", "check", "found"), [(one.status, one.check, one.detail) for one in findings]))
        for one in findings:
            if one.status is not Status.OK:
                typer.echo(as_called(f"\n{one.check}: {one.advice}"))
    if any(one.status is Status.FAIL for one in findings):
        raise typer.Exit(1)
