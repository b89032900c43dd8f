"""`voice-gateway cleanup`: removes the conversations of devices that have been silent for long."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.asking import Yes, confirmed
from gateway.cli.options import AsJson, examples
from gateway.cli.output import print_json
from gateway.cli.storage import open_store, takes_database_and_broker
from gateway.cli.tables import table
from gateway.errors import ConfigurationError
from gateway.settings_sources import Loaded

if TYPE_CHECKING:
    from gateway.store import ErasedSession


def register(app: typer.Typer) -> None:
    app.command(
        epilog=examples(
            "voice-gateway cleanup --days 30 --dry-run",
            "voice-gateway cleanup --days 90 --yes",
            "voice-gateway cleanup --days 30 --json --yes | jq .removed",
        )
    )(cleanup)


@takes_database_and_broker
def cleanup(
    loaded: Loaded,
    days: Annotated[
        float | None,
        typer.Option(metavar="NUMBER", help="Remove what was last active longer ago. [setting cleanup_days: 30]"),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Remove conversations that were long idle, with their cached answers and what the broker keeps of the device."""
    from gateway.cli.broker import clear_cleaned_up  # slow to import, and needed only when something was removed

    settings = loaded.settings
    age = settings.cleanup_days if days is None else days

    async def clean(*, dry: bool) -> "list[ErasedSession]":
        async with open_store(settings) as store:
            try:
                return await store.cleanup(age, dry, datetime.now(UTC))
            except ValueError as error:
                raise ConfigurationError(f"--days is {age:g}: {error}") from None

    if not dry_run and not yes:
        due = asyncio.run(clean(dry=True))
        if due and not confirmed(f"{_listing(due)}\nRemove these {len(due)} conversations for good?", yes=False):
            raise typer.Exit(1)
    removed = asyncio.run(clean(dry=dry_run))
    left = None
    if removed and not dry_run:
        left = asyncio.run(clear_cleaned_up(settings, [session.spelling for session in removed]))
    if as_json:
        print_json(
            {
                "days": age,
                "dry_run": dry_run,
                "removed": len(removed),
                "session_ids": [session.session_id for session in removed],
                "messages": sum(session.message_count for session in removed),
                "retained_left": left,
            }
        )
        return
    what = "Would remove" if dry_run else "Removed"
    typer.echo(f"{what} {len(removed)} conversations without activity in the last {age:g} days.")
    if removed:
        typer.echo(_listing(removed))
    if left:
        typer.echo(f"Their retained topics stay on the broker: {left}", err=True)


def _listing(sessions: "Sequence[ErasedSession]") -> str:
    rows = [
        (one.session_id, str(one.message_count), f"{one.last_activity.astimezone():%Y-%m-%d %H:%M}") for one in sessions
    ]
    return table(("session", "messages", "last active"), rows)
