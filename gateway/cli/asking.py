"""Asking a person before something is gone for good."""

import sys
from typing import Annotated

import typer

Yes = Annotated[bool, typer.Option("--yes", help="Do not ask; without it a terminal is asked, and a script is not.")]


def confirmed(question: str, *, yes: bool) -> bool:
    """Ask the person at the terminal; without one (a script, cron), or with `yes`, it is agreed."""
    return yes or not sys.stdin.isatty() or typer.confirm(question, err=True)
