"""`voice-gateway say`: has devices speak, or answer, through the running gateway."""

from typing import Annotated, Any

import typer

from gateway.cli.options import AsJson, examples, takes_settings
from gateway.cli.output import print_json
from gateway.cli.running import run_async
from gateway.settings_sources import Loaded
from gateway.values import AnnouncementStatus, Priority, TurnKind


def register(app: typer.Typer) -> None:
    app.command(
        epilog=examples(
            "voice-gateway say 'Dinner is ready' --to kitchen --to group:upstairs",
            "voice-gateway say 'Hay fuego en la cocina' --to all --priority urgent --volume 90 --language es",
            "voice-gateway say 'What is the weather like today?' --to kitchen --ask --wait",
            "voice-gateway say 'The door is open' --to hall --ttl 20 --wait --json | jq .outcomes",
        )
    )(say)


@takes_settings("mqtt_url", "mqtt_ca_file", "root_topic", "data_dir")
def say(
    loaded: Loaded,
    text: Annotated[str, typer.Argument(help="What to say.")],
    to: Annotated[list[str], typer.Option(help="A device's id, group:<name> or all; may be given repeatedly.")],
    ask: Annotated[bool, typer.Option("--ask", help="Have it answered there, as if it had been asked aloud.")] = False,
    priority: Annotated[
        Priority, typer.Option(help="What matters more comes first; what is urgent interrupts, and is said at night.")
    ] = Priority.NORMAL,
    ttl: Annotated[
        float | None, typer.Option(help="How long it may wait to be begun, in s [the gateway's own setting]")
    ] = None,
    volume: Annotated[
        int | None, typer.Option(min=0, max=100, help="How loud, in percent, where it is heeded.")
    ] = None,
    language: Annotated[str | None, typer.Option(help="es, en, … [the device's]")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until it has been spoken, or is known not to be.")] = False,
    timeout: Annotated[float, typer.Option(min=0.1, help="Longest wait for the gateway's answer, in s.")] = 10.0,
    as_json: AsJson = False,
) -> None:
    """Have devices say something; a gateway must be running (voice-gateway run).

    It waits while somebody speaks or is answered there, and while the device is off. Exits with 0 if every device took
    it and, with --wait, has spoken it; else with 1.
    """
    from gateway.cli.saying import announce  # slow to import

    said = {"priority": priority.value, "ttl_s": ttl, "volume": volume, "language": language}
    body: dict[str, Any] = {"to": to, "text": text, **{key: value for key, value in said.items() if value is not None}}
    verb = TurnKind.ASK if ask else TurnKind.SAY
    result = run_async(announce(loaded.settings, verb, body, timeout_s=timeout, wait=wait))
    outcomes = result.get("outcomes", {})
    if as_json:
        print_json(result)
    else:
        for device in result["devices"]:
            typer.echo(f"{device}: {_outcome(outcomes[device]) if wait else 'will say it'}")
        for name, reason in result["refused"].items():
            typer.echo(f"{name}: {reason}", err=True)
    spoken = all(outcome["status"] == AnnouncementStatus.DONE for outcome in outcomes.values())
    if result["refused"] or not spoken:
        raise typer.Exit(1)


def _outcome(outcome: dict[str, str]) -> str:
    return f"{outcome['status']}: {outcome['reason']}" if outcome["reason"] else outcome["status"]
