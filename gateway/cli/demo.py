"""`voice-gateway demo`: the gateway shown at work, with nothing to set up."""

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli.calling import as_called
from gateway.cli.options import AsJson, examples, takes_settings
from gateway.cli.output import print_json
from gateway.cli.running import run_async
from gateway.settings_sources import Loaded

if TYPE_CHECKING:
    from gateway.cli.demonstration import Answered, Shown


def register(app: typer.Typer) -> None:
    app.command(
        epilog=examples(
            "voice-gateway demo",
            "voice-gateway demo --output answers --json",
            "voice-gateway demo --stay",
            "OPENAI_API_KEY=… voice-gateway demo",
            "OPENAI_BASE_URL=http://localhost:11434/v1 voice-gateway demo --llm openai --llm-model llama3.2:3b",
        )
    )(demo)


@takes_settings("stt", "llm", "tts", "stt_model", "llm_model", "tts_voice", "web")
def demo(
    loaded: Loaded,
    output: Annotated[Path, typer.Option(help="Folder for the sound and the database.")] = Path("demo-output"),
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show the gateway's log.")] = False,
    stay: Annotated[
        bool, typer.Option("--stay", help="Serve on until Ctrl-C, so that you can ask as well, on the page.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Let two devices ask spoken questions at the same time, each in its own language and conversation.

    A broker, a database and the gateway are started for it alone.
    """
    from gateway.cli.demonstration import Demonstration
    from gateway.reports.logs import configure
    from gateway.serving import stop_signal

    settings = loaded.settings
    configure(settings.log_format, settings.log_level if verbose else "WARNING")
    tell = partial(typer.echo, err=as_json)
    demonstration = Demonstration(settings, os.environ, output, tell)
    demonstration.told_turn = lambda answered: tell(_timeline(answered))

    def conclude(shown: "Shown") -> None:
        if as_json:
            print_json(_as_data(shown))
        else:
            _conclude(shown, output)
        for failure in shown.failures:
            typer.echo(f"voice-gateway: {failure}", err=True)

    async def serve_on(shown: "Shown", page: str | None) -> None:
        conclude(shown)
        tell(f"Now you: open {page}, hold the button and speak. Ctrl-C ends." if page else "Serving until Ctrl-C.")
        await stop_signal().wait()

    shown = run_async(demonstration.show(serve_on if stay else None))
    if not stay:
        conclude(shown)
        tell(as_called("To ask something yourself, on a page: voice-gateway demo --stay"))
    if shown.failures:
        raise typer.Exit(1)


def _timeline(answered: "Answered") -> str:
    caller, reply = answered.caller, answered.reply
    times = " · ".join(
        f"{name.replace('_', ' ')} {value}" for name, value in answered.timings_ms.items() if value is not None
    )
    seconds = reply.playback.audio_ms / 1000
    return "\n".join(
        (
            "",
            f"{caller.name} ({caller.spelling}, {caller.language}), turn {answered.turn}",
            f"  asked  {answered.question} ({answered.asked_ms / 1000:.1f} s in {answered.frames} frames)",
            f"  heard  {answered.heard}",
            f"  said   {answered.said}",
            f"  ms     {times}",
            f"  reply  {seconds:.1f} s, {len(reply.mp3)} bytes in {len(reply.chunks)} chunks -> {answered.file}",
        )
    )


def _conclude(shown: "Shown", output: Path) -> None:
    typer.echo("")
    for note in shown.notes:
        typer.echo(f"Note: {note}")
    if not shown.failures:
        typer.echo("Each device was answered, and remembers its own questions only.")
    typer.echo(f"Questions and answers are in {output}/ (*.wav, *.mp3), both conversations in {shown.database}:")
    typer.echo(as_called(f"  voice-gateway sessions list --database-url sqlite:///{shown.database}"))


def _as_data(shown: "Shown") -> dict[str, Any]:
    return {
        "engines": shown.engines,
        "notes": shown.notes,
        "database": shown.database,
        "failures": shown.failures,
        "turns": [
            {
                "device": answered.caller.spelling,
                "name": answered.caller.name,
                "language": answered.caller.language,
                "turn": answered.turn,
                "outcome": answered.outcome,
                "asked": answered.question,
                "heard": answered.heard,
                "said": answered.said,
                "timings_ms": answered.timings_ms,
                "chunks": len(answered.reply.chunks),
                "bytes": len(answered.reply.mp3),
                "audio_ms": round(answered.reply.playback.audio_ms),
                "peak_held_ms": round(answered.reply.playback.peak_ms),
                "dry_ms": round(answered.reply.playback.dry_ms),
                "answer": answered.file,
            }
            for answered in shown.turns
        ],
    }
