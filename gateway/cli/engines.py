"""`voice-gateway engines`: which engines can work here, and which a run would use."""

import asyncio
import os
from typing import TYPE_CHECKING, Any

import typer

from gateway.cli.calling import as_called
from gateway.cli.options import AsJson, examples, takes_settings
from gateway.cli.output import print_json
from gateway.cli.running import run_async
from gateway.cli.tables import table
from gateway.config import Settings
from gateway.errors import ConfigurationError, Stage
from gateway.settings_sources import Loaded

if TYPE_CHECKING:
    from gateway.engines.choosing import Choice

takes_engines = takes_settings(
    *(
        "stt",
        "llm",
        "tts",
        "tools",
        "stt_model",
        "llm_model",
        "tts_voice",
        "stt_device",
        "stt_compute_type",
        "language",
    ),
    *("home_assistant_url", "home_assistant_token_file", "home_assistant_entities", "mcp_servers"),
)
"""For commands that need nothing but engines."""


def register(app: typer.Typer) -> None:
    app.command(
        epilog=examples(
            "voice-gateway engines",
            "voice-gateway engines --stt faster-whisper,pocketsphinx --language en",
            "OPENAI_API_KEY=… voice-gateway engines --json | jq .chosen",
        )
    )(engines)


@takes_engines
def engines(loaded: Loaded, as_json: AsJson = False) -> None:
    """Show which engines and tools can work here, why others cannot, and which a run with these settings uses."""
    from gateway.engines.choosing import GTTS_SERVER, choose
    from gateway.engines.reachable import reachable

    async def look() -> "tuple[bool, Choice | ConfigurationError]":
        reached = asyncio.create_task(reachable(GTTS_SERVER), name="look for gtts")
        try:
            found: Choice | ConfigurationError = await choose(loaded.settings, os.environ)
        except ConfigurationError as error:
            found = error
        return await reached, found

    gtts_reached, found = run_async(look())
    known = _known(loaded.settings, None if gtts_reached else f"{GTTS_SERVER} cannot be reached from here")
    problem, choice = (found, None) if isinstance(found, ConfigurationError) else (None, found)
    if as_json:
        print_json(
            {"engines": known, "chosen": _chosen(choice) if choice else None, "problem": problem and str(problem)}
        )
    else:
        rows = [
            (one["stage"], one["engine"], "yes" if one["usable"] else as_called(f"no: {one['reason']}"))
            for one in known
        ]
        typer.echo(table(("stage", "engine", "usable"), rows))
        if choice:
            typer.echo("\nA run uses:")
            for line in choice.lines:
                typer.echo(f"  {line}")
            for note in choice.notes:
                typer.echo(f"\n{note}")
    if problem:
        raise problem


def _known(settings: Settings, gtts_fault: str | None) -> list[dict[str, Any]]:
    """What is known of every engine; `gtts_fault` says why gtts, which is a server's, cannot work."""
    from gateway.engines.catalog import engines_of

    known = []
    for stage in (Stage.STT, Stage.LLM, Stage.TTS, Stage.TOOLS):
        for spec in engines_of(stage).values():
            reason = None
            try:
                spec.check(os.environ, settings)
            except ConfigurationError as error:
                reason = str(error)
            if spec.name == "gtts" and reason is None:
                reason = gtts_fault
            known.append({"stage": str(stage), "engine": spec.name, "usable": reason is None, "reason": reason})
    return known


def _chosen(choice: "Choice") -> dict[str, Any]:
    stages = {Stage.STT: choice.stt, Stage.LLM: choice.llm, Stage.TTS: choice.tts, Stage.TOOLS: choice.tools}
    return {
        str(stage): [{"engine": one.spec.name, "why": one.why} for one in chosen] for stage, chosen in stages.items()
    } | {"notes": list(choice.notes)}
