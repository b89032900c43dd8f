"""`voice-gateway simulate`: many software devices at once, each of whose answers is checked."""

import asyncio
import os
import secrets
import signal
import sys
import threading
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli.options import AsJson, examples, takes_settings
from gateway.cli.output import print_json
from gateway.cli.quantities import seconds, share
from gateway.config import Settings
from gateway.errors import BrokerRefused, BrokerUnavailable, ConfigurationError, NothingCame
from gateway.settings_sources import Loaded

if TYPE_CHECKING:
    from gateway.audio import Pcm
    from gateway.simulator import Plan, Simulation

DEVICES_MAX = 500
LOSS_MAX = 0.5
BAD_FRAMES = 0.02
"""The share of frames that `--duplicate` repeats, and that of the places in which `--reorder` swaps two."""
LINE_EVERY_S = 10
"""How often progress is told where there is no terminal."""
QUESTIONS = {
    "es": ("¿Qué hora es?", "¿Qué día es hoy?", "¿Quién eres?", "¿Qué te pregunté antes?"),
    "en": ("What time is it?", "Who are you?", "What did I ask before?"),
}
"""What is asked without a recording: phrases that the miniature speech model knows."""


def register(app: typer.Typer) -> None:
    app.command(
        epilog=examples(
            "voice-gateway simulate --own-gateway                      # nothing else is needed",
            "voice-gateway simulate --devices 50 --minutes 2 --own-gateway --form mixed --barge-in 10%",
            "voice-gateway simulate --devices 50 --wav q.wav --minutes 2 --loss 2% --duplicate --reorder --jitter 30ms",
            "GATEWAY_MQTT_URL=mqtt://user:password@broker.local voice-gateway simulate --json | jq .checks",
        )
    )(simulate)


@takes_settings("mqtt_url", "mqtt_ca_file", "root_topic", "data_dir", "language")
def simulate(
    loaded: Loaded,
    devices: Annotated[int, typer.Option(min=1, max=DEVICES_MAX, help="How many devices.")] = 10,
    minutes: Annotated[float, typer.Option(min=0.01, max=24 * 60, help="How long they go on asking.")] = 1.0,
    wav: Annotated[
        list[Path] | None,
        typer.Option(help="A recorded question; may be given repeatedly. Else questions spoken by espeak."),
    ] = None,
    form: Annotated[
        str,
        typer.Option(
            metavar="pcm|adpcm|opus|raw|file|mixed",
            help="How they speak: frames of a codec, bare samples, whole files, or each of these by some.",
        ),
    ] = "pcm",
    own_gateway: Annotated[
        bool,
        typer.Option("--own-gateway", help="Start a gateway for this alone: embedded broker, offline engines."),
    ] = False,
    loss: Annotated[str, typer.Option(metavar="SHARE", help="Frames lost on the way, of all: 2%.")] = "0%",
    duplicate: Annotated[bool, typer.Option("--duplicate", help="Repeat 2% of the frames.")] = False,
    reorder: Annotated[bool, typer.Option("--reorder", help="Let 2% of the frames change places.")] = False,
    jitter: Annotated[str, typer.Option(metavar="TIME", help="Hold up each message by up to this: 30ms.")] = "0ms",
    slow_consumer: Annotated[
        bool, typer.Option("--slow-consumer", help="Every tenth device reads at half the speed of the answers.")
    ] = False,
    barge_in: Annotated[str, typer.Option(metavar="SHARE", help="Answers into which the device speaks: 10%.")] = "0%",
    ramp: Annotated[str, typer.Option(metavar="TIME", help="Time until the last device has begun.")] = "10s",
    pause: Annotated[str, typer.Option(metavar="TIME", help="Mean rest between an answer and a question.")] = "10s",
    patience: Annotated[
        str, typer.Option(metavar="TIME", help="Longest wait for the first sound of an answer.")
    ] = "10s",
    as_json: AsJson = False,
) -> None:
    """Let many software devices ask at once, and check each answer.

    An answer must belong to the device, be whole, be one MP3 that can be decoded, come in time, never be in larger
    messages than the device takes, never let it run dry once it plays, and never give it more than it holds. What the
    simulator itself loses, repeats or holds up is not held against the gateway; --loss, --duplicate and --reorder spoil
    frames only, because only those are numbered. Of a slow consumer only is checked what is not a matter of time; the
    others must not notice it. The devices erase their conversations when they leave.

    Ends with 0 when every answer passed, with 1 when one did not or none came. Ctrl-C ends early, with what is known.
    """
    from gateway.simulator import FORMS, Plan

    if form not in FORMS:
        raise ConfigurationError(f"--form is one of {', '.join(FORMS)}, not {form}")
    frames_lost, patience_s = share("--loss", loss), seconds("--patience", patience)
    if frames_lost > LOSS_MAX:
        raise ConfigurationError(f"--loss is at most {LOSS_MAX:.0%}: of fewer frames nothing can be understood")
    if not patience_s:
        raise ConfigurationError("--patience is more than 0: no answer comes at once")
    settings = loaded.settings
    plan = Plan(
        devices=devices,
        seconds=minutes * 60,
        run=secrets.token_hex(2),
        language="es" if settings.language == "auto" else settings.language,
        form=form,
        loss=frames_lost,
        duplicate=BAD_FRAMES if duplicate else 0.0,
        reorder=BAD_FRAMES if reorder else 0.0,
        jitter_s=seconds("--jitter", jitter),
        slow_consumers=slow_consumer,
        barge_in=share("--barge-in", barge_in),
        ramp_s=min(seconds("--ramp", ramp), minutes * 60),
        patience_s=patience_s,
        pause_s=seconds("--pause", pause),
    )
    result = asyncio.run(_simulate(settings, plan, wav or [], own_gateway=own_gateway))
    if as_json:
        print_json(result)
    else:
        from gateway.cli.simulate_report import told

        typer.echo(told(result))
    if not result["ok"]:
        raise typer.Exit(1)


async def _simulate(settings: Settings, plan: "Plan", files: Sequence[Path], *, own_gateway: bool) -> dict[str, Any]:
    """Run it, and return what came of it."""
    from gateway.broker.url import BrokerKind, parse_broker_url
    from gateway.cli.broker import client_url
    from gateway.cli.own_gateway import OwnGateway
    from gateway.simulator import Simulation

    broker = parse_broker_url(settings.mqtt_url)
    if plan.slow_consumers and broker.kind is BrokerKind.MQTTS and not own_gateway:
        raise ConfigurationError(f"--slow-consumer needs mqtt://, not {broker}: what slows it down cannot speak TLS")
    questions = await _questions(settings, plan.language, files)
    own = None
    async with AsyncExitStack() as stack:
        if own_gateway:
            _tell("starting a gateway of its own: embedded broker, fresh database, offline engines")
            own = await stack.enter_async_context(OwnGateway(settings))
        url = client_url(settings) if own is None else own.url
        simulation = Simulation(
            plan,
            url,
            questions,
            root_topic=settings.root_topic,
            ca_file=settings.mqtt_ca_file if own is None else None,
        )
        _tell(f"{plan.devices} devices on {url} for {plan.seconds / 60:g} min, as sim-{plan.run}-…")
        showing = asyncio.create_task(_show_progress(simulation, plan), name="show progress")
        try:
            _stop_at_signals(simulation)
            await simulation.run()
        except BrokerRefused:
            raise
        except (BrokerUnavailable, NothingCame) as error:
            raise type(error)(
                f"{error}\nStart a gateway (voice-gateway run), say where its broker is (--mqtt-url),"
                " or use --own-gateway"
            ) from error
        finally:
            showing.cancel()
            await asyncio.gather(showing, return_exceptions=True)
        result = simulation.as_data()
        if own is None and (trouble := await simulation.clean_up()) is not None:
            _tell(f"something of the devices may have stayed behind: {trouble}")
    if own is not None and own.cpu_s is not None:
        result["gateway"] = {"cpu_cores": round(own.cpu_s / result["seconds"], 2)}
    return result


async def _questions(settings: Settings, language: str, files: Sequence[Path]) -> list["Pcm"]:
    from gateway.cli.questions import question_in, spoken_questions

    if files:
        return [question_in(file).speech for file in files]
    texts = [(text, language) for text in QUESTIONS.get(language, QUESTIONS["en"])]
    return [question.speech for question in (await spoken_questions(settings, os.environ, texts)).values()]


def _stop_at_signals(simulation: "Simulation") -> None:
    """End with what is known at the first Ctrl-C or SIGTERM, and at once at the second."""
    if threading.current_thread() is not threading.main_thread():
        return
    loop = asyncio.get_running_loop()

    def told_to_stop() -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
        _tell("ending")
        simulation.stop()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, told_to_stop)


async def _show_progress(simulation: "Simulation", plan: "Plan") -> None:
    """A bar on a terminal, a line now and then elsewhere; on standard error, for the result is on the other."""

    def line() -> str:
        now = simulation.progress
        latency = "" if now.p95_ms is None else f", first sound within {now.p95_ms} ms (95 %)"
        return f"{now.connected} devices, {now.answers} answers, {now.failed} failed checks{latency}"

    if not sys.stderr.isatty():
        while True:
            await asyncio.sleep(LINE_EVERY_S)
            _tell(f"{simulation.progress.seconds:4.0f} s: {line()}")
    whole = round(plan.seconds)
    # Typer's bar is generic in the items of an iteration, of which there is none here.
    shown: Any = typer.progressbar(length=whole, file=sys.stderr, show_eta=False)
    with shown as bar:
        while True:
            await asyncio.sleep(1)
            bar.label = line()
            bar.update(min(int(simulation.progress.seconds), whole) - bar.pos)
            bar.render_progress()


def _tell(text: str) -> None:
    typer.echo(text, err=True)
