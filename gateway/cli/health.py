"""`voice-gateway health`: whether a gateway serves on the broker, as cheaply as can be told."""

import asyncio
from typing import Annotated

import typer

from gateway.cli.options import AsJson, examples, takes_settings
from gateway.cli.output import print_json
from gateway.config import Settings
from gateway.settings_sources import Loaded
from gateway.wire.topics import ONLINE, Topics


def register(app: typer.Typer) -> None:
    app.command(
        epilog=examples(
            "voice-gateway health",
            "set -a; . mosquitto/gateway.env; set +a; voice-gateway health    # the login is on no command line",
            "until voice-gateway health; do sleep 1; done    # wait for a gateway that is starting",
        )
    )(health)


@takes_settings("mqtt_url", "mqtt_ca_file", "root_topic", "data_dir")
def health(
    loaded: Loaded,
    timeout: Annotated[float, typer.Option(min=0.1, help="Longest wait for the broker and its answer, in s.")] = 5.0,
    as_json: AsJson = False,
) -> None:
    """Say whether a gateway serves on this broker: exits with 0 if it is online, with 1 if not.

    It reads the gateway's retained status, which the broker itself takes back soon after the gateway hangs or dies.
    For containers and supervisors; `doctor` is for people, and tries everything.
    """
    status = asyncio.run(_status(loaded.settings, timeout))
    if as_json:
        print_json({"status": status})
    else:
        typer.echo(status)
    if status != ONLINE.decode():
        raise typer.Exit(1)


async def _status(settings: Settings, timeout_s: float) -> str:
    """What the broker keeps as the gateway's status: `online` or `offline`; `unknown` if it keeps none.

    Raises:
        BrokerUnavailable: it could not be asked within `timeout_s`.
    """
    from gateway.broker.mqtt import MqttBroker
    from gateway.broker.protocol import Incoming, Subscription
    from gateway.cli.broker import client_url

    topic = Topics(settings.root_topic).status
    told: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def receive(incoming: Incoming) -> None:
        if not told.done():
            told.set_result(incoming.payload.decode(errors="replace"))

    broker = MqttBroker(
        client_url(settings), receive=receive, subscriptions=[Subscription(topic, 1)], ca_file=settings.mqtt_ca_file
    )
    async with broker:
        await broker.connected_once(timeout_s)
        try:
            async with asyncio.timeout(timeout_s):
                return await told
        except TimeoutError:
            return "unknown"
