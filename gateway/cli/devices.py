"""`voice-gateway devices`: which boards may connect to the broker, and with what password. Who answers on them is in
`personality.py`."""

import asyncio
import secrets
import shlex
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from gateway.broker.url import BrokerKind, parse_broker_url
from gateway.cli import personality
from gateway.cli.asking import Yes, confirmed
from gateway.cli.calling import as_called
from gateway.cli.options import AsJson, examples, takes_settings
from gateway.cli.output import print_json
from gateway.cli.storage import open_store
from gateway.cli.tables import table
from gateway.config import Settings, database_url
from gateway.errors import ConfigurationError, GatewayError
from gateway.provisioning.board import BoardSettings, check_settings, check_told
from gateway.provisioning.folder import BrokerFolder, replace_file
from gateway.provisioning.logins import GATEWAY, Device, Logins, login_name
from gateway.provisioning.password_file import PASSWORD_BYTES, SALT_BYTES
from gateway.provisioning.reload import reload_broker
from gateway.settings_sources import Loaded
from gateway.wire.topics import Topics

HEADER_MODE = 0o600
NEWEST = 100_000
"""Conversations that are looked at for when each device was last active."""

DeviceArgument = Annotated[str, typer.Argument(metavar="DEVICE", help="The device's id, spelled as in its topics.")]
Header = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Write the firmware's header (firmware/include/secrets.h) instead of printing the password.",
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Replace a header that is there; its wireless network stays.")]

takes_broker = takes_settings("broker_dir", "broker_reload", "root_topic", "mqtt_ca_file")
takes_boards_broker = takes_settings("broker_dir", "broker_reload", "boards_mqtt_url", "root_topic", "mqtt_ca_file")


def register(app: typer.Typer) -> None:
    group = typer.Typer(help="Give boards a login at the broker, and say who answers on each.", no_args_is_help=True)
    group.command(
        epilog=examples(
            "voice-gateway devices add kitchen --name Cocina --language es",
            "voice-gateway devices add A4:CF:12:8B:3F:9E --header firmware/include/secrets.h",
            "voice-gateway devices add hall --boards-mqtt-url mqtts://broker.local:8883 --json",
        )
    )(add)
    group.command("list", epilog=examples("voice-gateway devices list", "voice-gateway devices list --json"))(
        list_devices
    )
    group.command(
        epilog=examples(
            "voice-gateway devices rotate kitchen",
            "voice-gateway devices rotate kitchen --header firmware/include/secrets.h --force",
        )
    )(rotate)
    group.command(
        epilog=examples("voice-gateway devices remove kitchen", "voice-gateway devices remove kitchen --yes --json")
    )(remove)
    personality.register(group)
    app.add_typer(group, name="devices")


@takes_boards_broker
def add(
    loaded: Loaded,
    device: DeviceArgument,
    name: Annotated[str, typer.Option(help="What it is called, for people.")] = "",
    language: Annotated[str, typer.Option(help="What is spoken to it: es, en, …; else the gateway's own.")] = "",
    header: Header = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Make a login for a board, and print once what to paste into its serial console."""
    new = Device(login_name(device), name, language, datetime.now(UTC).replace(microsecond=0))
    check_told(new)
    if new.spelling != device:
        typer.echo(f"Its topics are {loaded.settings.root_topic}/{new.spelling}/…: a login has no colons.", err=True)

    def change(logins: Logins, password: str) -> tuple[Logins, Device]:
        return logins.with_device(new, password, secrets.token_bytes(SALT_BYTES)), new

    _give_password(loaded.settings, change, "Added", header, force=force, as_json=as_json)


@takes_boards_broker
def rotate(
    loaded: Loaded, device: DeviceArgument, header: Header = None, force: Force = False, as_json: AsJson = False
) -> None:
    """Give a board a new password; the old one ends at once, and so does a connection made with it."""

    def change(logins: Logins, password: str) -> tuple[Logins, Device]:
        found = logins.device(device)
        return logins.with_password(found.spelling, password, secrets.token_bytes(SALT_BYTES)), found

    _give_password(loaded.settings, change, "New password for", header, force=force, as_json=as_json, ends_old=True)


@takes_broker
def remove(loaded: Loaded, device: DeviceArgument, yes: Yes = False, as_json: AsJson = False) -> None:
    """Take a board's login away, which ends its connection. Its conversation stays, see `sessions forget`."""
    settings = loaded.settings
    folder = BrokerFolder(settings.broker_dir)
    found = folder.logins().device(device)
    if not confirmed(f"Take the login of {found.spelling} away?", yes=yes):
        raise typer.Exit(1)
    with folder.locked():
        logins = folder.logins()
        folder.save(logins.without(logins.device(device)))
    to_do = reload_broker(settings.broker_dir, settings.broker_reload)
    if to_do is None:
        _say_offline(settings, folder, found)
    if as_json:
        print_json({"removed": found.spelling, "to_do": to_do})
        return
    typer.echo(f"{found.spelling} has no login any more.")
    _tell(to_do)


@takes_settings("broker_dir", "data_dir", "database_url")
def list_devices(loaded: Loaded, as_json: AsJson = False) -> None:
    """List the boards that have a login, in the order in which they were added."""
    settings = loaded.settings
    devices = BrokerFolder(settings.broker_dir).logins().devices
    active = _last_active(settings)
    if as_json:
        print_json(
            [
                {
                    "id": device.spelling,
                    "session_id": device.id,
                    "name": device.name,
                    "language": device.language,
                    "created_at": device.created_at,
                    "last_active": active.get(device.id),
                }
                for device in devices
            ]
        )
    elif not devices:
        advice = as_called("make one with `voice-gateway devices add DEVICE`")
        typer.echo(f"No device has a login in {settings.broker_dir}; {advice}.")
    else:
        rows = [
            (each.spelling, each.name, each.language, _local(each.created_at), _local(active.get(each.id)))
            for each in devices
        ]
        typer.echo(table(("device", "name", "language", "since", "last active"), rows))


def _give_password(
    settings: Settings,
    change: Callable[[Logins, str], tuple[Logins, Device]],
    done: str,
    header: Path | None,
    *,
    force: bool,
    as_json: bool,
    ends_old: bool = False,
) -> None:
    """Make a password, write what `change` makes of it, and tell it once: in the file `header`, or printed. `ends_old`:
    a board that is connected with an old one is not any more."""
    # cryptography, which it reads certificates with, takes a tenth of a second to import.
    from gateway.provisioning.address import boards_broker, is_listening

    folder = BrokerFolder(settings.broker_dir)
    password = secrets.token_urlsafe(PASSWORD_BYTES)
    old_header = _old_header(header, force=force)
    with folder.locked():
        logins = folder.logins()
        if GATEWAY not in logins.roles:
            raise ConfigurationError(
                f"the gateway itself has no login in {folder.path} yet: run `voice-gateway broker init` first"
            )
        changed, device = change(logins, password)
        broker = boards_broker(folder.path, settings.boards_mqtt_url)
        if broker is None:
            in_shell = shlex.quote(str(folder.path))
            raise ConfigurationError(
                "no board can reach this broker yet. Let them in with one of these, and start the broker again:\n"
                f"  cp {in_shell}/listeners/tls.conf {in_shell}/conf.d/    (first: voice-gateway broker certs)\n"
                f"  cp {in_shell}/listeners/plain.conf {in_shell}/conf.d/  (only on a network that you trust)\n"
                "or say where boards reach another one with --boards-mqtt-url mqtt://HOST:PORT"
            )
        board = BoardSettings(device, password, broker.host, broker.port, settings.root_topic)
        check_settings(board)
        if header is not None:
            replace_file(header, board.header(old_header), mode=HEADER_MODE)
        folder.save(changed)
    tls = broker.kind is BrokerKind.MQTTS
    to_do = reload_broker(folder.path, settings.broker_reload)
    if ends_old and to_do is None:
        _say_offline(settings, folder, device)
    if to_do is None and not (settings.boards_mqtt_url or settings.broker_reload or is_listening(broker.port)):
        to_do = f"start the broker again, which opens port {broker.port}: to read its files again was not enough"
    if as_json:
        shown = {} if header is not None else {"password": password}
        print_json(
            {
                "user": device.spelling,
                **shown,
                "host": board.host,
                "port": board.port,
                "tls": tls,
                "root_topic": board.root,
                "name": device.name,
                "language": device.language,
                "header": header,
                "to_do": to_do,
            }
        )
        return
    if header is None:
        typer.echo(board.serial_commands())
        typer.echo(
            f"{done} {device.spelling}. Paste the lines above into the board's serial console; a new one needs\n"
            "`set wifi_ssid …` and `set wifi_password …` before them. The password is not shown again.",
            err=True,
        )
    else:
        typer.echo(f"{done} {device.spelling}. Build and flash the firmware with {header}, which holds the password.")
    if tls:
        typer.echo(
            as_called(
                "It connects by TLS: build it in a -tls environment, with the ca_cert.h that"
                " `voice-gateway broker certs --header` writes."
            ),
            err=True,
        )
    _tell(to_do)


def _old_header(header: Path | None, *, force: bool) -> str:
    """What stands in the header that is to be written; nothing when there is none."""
    if header is None:
        return ""
    try:
        old = header.read_text(encoding="utf-8")
    except FileNotFoundError:
        if not header.parent.is_dir():
            raise ConfigurationError(f"there is no folder {header.parent} for the header") from None
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{header} cannot be read: {error}") from error
    if not force:
        raise ConfigurationError(f"{header} is there already; replace it with --force, or name another")
    return old


def _say_offline(settings: Settings, folder: BrokerFolder, device: Device) -> None:
    """Have the broker keep that a device whose connection was ended is offline, with the gateway's own login."""
    from gateway.cli.broker import say_offline  # slow to import

    try:
        url = parse_broker_url(folder.gateway_url())
        left = asyncio.run(say_offline(url, settings.mqtt_ca_file, Topics(settings.root_topic), device.spelling))
    except ConfigurationError as error:
        left = str(error)
    if left:
        typer.echo(f"If it was online, the broker goes on saying so until it connects again: {left}", err=True)


def _tell(to_do: str | None) -> None:
    typer.echo("The broker has been told." if to_do is None else f"Still to do: {to_do}.", err=True)


def _last_active(settings: Settings) -> dict[str, datetime]:
    """When each conversation in the gateway's database was last active; nothing when it cannot be told."""
    url = database_url(settings)
    file = url.removeprefix("sqlite:///")
    if file != url and not Path(file).exists():
        return {}  # this must not make one

    async def read() -> dict[str, datetime]:
        async with open_store(settings) as store:
            return {session.session_id: session.updated_at for session in await store.sessions(NEWEST)}

    try:
        return asyncio.run(read())
    except GatewayError as error:
        typer.echo(f"When they were last active is not known: {error}", err=True)
        return {}


def _local(time: datetime | None) -> str:
    return "" if time is None else time.astimezone().strftime("%Y-%m-%d %H:%M")
