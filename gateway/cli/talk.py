"""`voice-gateway talk`: asks the gateway as a device does, and saves or plays the answer while it arrives."""

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.options import AsJson, examples, takes_settings
from gateway.cli.output import print_json
from gateway.cli.running import run_async
from gateway.config import Settings
from gateway.errors import ConfigurationError
from gateway.settings_sources import Loaded, Source
from gateway.values import Codec, Outcome, parse_device_id

if TYPE_CHECKING:
    from gateway.cli.questions import Question

CODECS = (Codec.PCM, Codec.ADPCM, Codec.OPUS)


def register(app: typer.Typer) -> None:
    app.command(
        epilog=examples(
            "voice-gateway talk question.wav",
            "voice-gateway talk --text '¿Qué hora es?'",
            "voice-gateway talk question.wav --codec adpcm --output reply.mp3 --play",
            "voice-gateway talk --mic --language en",
            "GATEWAY_MQTT_URL=mqtt://user:password@broker.local voice-gateway talk question.flac --json | jq .said",
        )
    )(talk)


@takes_settings("mqtt_url", "mqtt_ca_file", "root_topic", "data_dir", "language")
def talk(
    loaded: Loaded,
    file: Annotated[
        Path | None, typer.Argument(help="The question: WAV, FLAC, Ogg, MP3 or whatever else libsndfile reads.")
    ] = None,
    text: Annotated[str | None, typer.Option(help="Ask this, spoken by espeak.")] = None,
    mic: Annotated[bool, typer.Option("--mic", help="Ask by microphone; Enter ends the question.")] = False,
    device: Annotated[str, typer.Option(help="The device to ask as; each has its own conversation.")] = "talk",
    raw: Annotated[bool, typer.Option("--raw", help="Send bare samples, as the simplest boards do.")] = False,
    codec: Annotated[str, typer.Option(metavar="|".join(CODECS), help="How frames carry the question.")] = Codec.PCM,
    pacing: Annotated[
        bool, typer.Option("--pacing/--no-pacing", help="Send as fast as it is spoken, or all at once.")
    ] = True,
    output: Annotated[Path, typer.Option(help="Where the answer is saved.")] = Path("answer.mp3"),
    play: Annotated[bool, typer.Option("--play", help="Play the answer while it arrives.")] = False,
    timeout: Annotated[float, typer.Option(min=1, help="Longest wait for the next sign of life, in s.")] = 60.0,
    as_json: AsJson = False,
) -> None:
    """Ask a spoken question as a device does; a gateway must be running (voice-gateway run)."""
    from gateway.cli.broker import client_url
    from gateway.cli.talking import Talk, hold

    if [file is not None, text is not None, mic].count(True) != 1:
        raise ConfigurationError("give a sound file, --text or --mic, one of them: voice-gateway talk question.wav")
    if raw and (mic or codec != Codec.PCM):
        raise ConfigurationError("--raw goes with neither --mic nor --codec: bare samples are PCM, sent whole")
    if codec not in CODECS:
        raise ConfigurationError(f"--codec is one of {', '.join(CODECS)}, not {codec}")
    try:
        parse_device_id(device)
    except ValueError as error:
        raise ConfigurationError(f"--device {device}: {error}") from error
    settings = loaded.settings
    chosen = loaded.origins["language"].source is not Source.DEFAULT and settings.language != "auto"
    question = _question(settings, file, text)
    result = run_async(
        hold(
            Talk(
                url=client_url(settings),
                root_topic=settings.root_topic,
                ca_file=settings.mqtt_ca_file,
                device=device,
                language=settings.language if chosen else None,
                question=question,
                raw=raw,
                codec=Codec(codec),
                paced=pacing,
                output=output,
                play=play,
                timeout_s=timeout,
            ),
            partial(typer.echo, err=as_json),
        )
    )
    if as_json:
        print_json(result)
    if result["outcome"] != Outcome.COMPLETED:
        raise typer.Exit(1)


def _question(settings: Settings, file: Path | None, text: str | None) -> "Question | None":
    """The question in `file` or of `text`; None when it comes by microphone."""
    from gateway.cli.questions import question_in, spoken_questions

    if file is not None:
        return question_in(file)
    if text is None:
        return None
    language = "es" if settings.language == "auto" else settings.language
    return run_async(spoken_questions(settings, os.environ, [(text, language)]))[text]
