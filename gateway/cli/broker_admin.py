"""`voice-gateway broker`: the set-up of a Mosquitto that is run with the project's configuration."""

import ipaddress
import secrets
import shlex
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.broker.url import BrokerKind, BrokerUrl, parse_broker_url
from gateway.cli.calling import as_called
from gateway.cli.options import AsJson, examples, takes_settings
from gateway.cli.output import print_json
from gateway.errors import ConfigurationError
from gateway.provisioning.folder import BrokerFolder, replace_file
from gateway.provisioning.logins import GATEWAY, ROLES
from gateway.provisioning.password_file import PASSWORD_BYTES, SALT_BYTES
from gateway.provisioning.reload import reload_broker
from gateway.settings_sources import Loaded

if TYPE_CHECKING:
    from gateway.provisioning.certificates import Address

SERVER_DAYS = 825
"""What other clients than ours, which have their own rules, take at most."""
LOOPBACK = ipaddress.ip_address("127.0.0.1")
"""With `localhost`, how programs on the broker's own machine reach it."""

GatewayUrl = Annotated[
    str, typer.Option(metavar="URL", help="Where the gateway reaches the broker, without a login: mqtt://host:1883.")
]

takes_broker = takes_settings("broker_dir", "broker_reload")


def register(app: typer.Typer) -> None:
    group = typer.Typer(help="Set up Mosquitto with the project's configuration.", no_args_is_help=True)
    group.command(
        epilog=examples(
            "voice-gateway broker init",
            "voice-gateway broker init --gateway-url mqtt://mosquitto:1883",
            "sudo voice-gateway broker init --broker-dir /etc/mosquitto/voice",
        )
    )(init)
    group.command(
        epilog=examples("voice-gateway broker rotate operator", "voice-gateway broker rotate gateway --json")
    )(rotate)
    group.command(
        epilog=examples(
            "voice-gateway broker certs --host broker.local --ip 192.168.1.10",
            "voice-gateway broker certs --host broker.local --header firmware/include/ca_cert.h --days 90",
        )
    )(certs)
    app.add_typer(group, name="broker")


@takes_broker
def init(loaded: Loaded, gateway_url: GatewayUrl = "mqtt://127.0.0.1:1883", as_json: AsJson = False) -> None:
    """Make the logins of the gateway, Home Assistant and operators. Those that are there stay.

    The gateway's goes to gateway.env in the broker's folder, the others are printed, once.
    """
    settings = loaded.settings
    folder = BrokerFolder(settings.broker_dir)
    broker = _gateway_broker(gateway_url)
    with folder.locked():
        logins = folder.logins()
        made = {name: secrets.token_urlsafe(PASSWORD_BYTES) for name in ROLES if name not in logins.roles}
        for name, password in made.items():
            logins = logins.with_password(name, password, secrets.token_bytes(SALT_BYTES))
        if GATEWAY in made:
            _write_gateway_env(folder, broker, made[GATEWAY])
        folder.save(logins)
    to_do = reload_broker(folder.path, settings.broker_reload) if made else None
    _show(folder, made, to_do, as_json=as_json)
    if not made:
        typer.echo(
            as_called("Every role has a login already; `voice-gateway broker rotate ROLE` gives it a new password."),
            err=True,
        )


@takes_broker
def rotate(
    loaded: Loaded,
    role: Annotated[str, typer.Argument(metavar="ROLE", help=f"One of {', '.join(ROLES)}.")],
    gateway_url: GatewayUrl = "mqtt://127.0.0.1:1883",
    as_json: AsJson = False,
) -> None:
    """Give a role a new password; the old one ends at once, and so does a connection made with it."""
    if role not in ROLES:
        raise ConfigurationError(f"{role!r} is none of {', '.join(ROLES)}; devices: `voice-gateway devices rotate`")
    settings = loaded.settings
    folder = BrokerFolder(settings.broker_dir)
    broker = _gateway_broker(gateway_url)
    password = secrets.token_urlsafe(PASSWORD_BYTES)
    with folder.locked():
        logins = folder.logins().with_password(role, password, secrets.token_bytes(SALT_BYTES))
        if role == GATEWAY:
            _write_gateway_env(folder, broker, password)
        folder.save(logins)
    _show(folder, {role: password}, reload_broker(folder.path, settings.broker_reload), as_json=as_json)


@takes_broker
def certs(
    loaded: Loaded,
    host: Annotated[list[str] | None, typer.Option(help="A name that clients use; may be given repeatedly.")] = None,
    ip: Annotated[list[str] | None, typer.Option(help="An address that they use; may be given repeatedly.")] = None,
    days: Annotated[
        int, typer.Option(min=1, max=3650, help="How long the broker's certificate is valid.")
    ] = SERVER_DAYS,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where to; else certs in the broker's folder.")
    ] = None,
    header: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the authority's certificate as the firmware's header, too."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a certificate for the broker, signed by a private authority that is made at the first time.

    Done again, it renews the broker's certificate; boards and the gateway, which know the authority, notice nothing.
    """
    from gateway.provisioning.board import ca_header
    from gateway.provisioning.certificate_files import CertificateFiles  # cryptography takes long to import

    hosts, addresses = _checked_names(host or [], ip or [])
    settings = loaded.settings
    folder = BrokerFolder(settings.broker_dir)
    files = CertificateFiles(out or folder.certificates)
    with folder.locked():
        server, new = files.issue([*hosts, "localhost"], [*addresses, LOOPBACK], days, datetime.now(UTC))
        if header is not None:
            replace_file(header, ca_header(files.ca.read_text()), mode=0o644)
    to_do = None if new else reload_broker(folder.path, settings.broker_reload)
    ends = server.certificate.not_valid_after_utc
    names = [*hosts, *map(str, addresses)]
    in_shell = shlex.quote(str(folder.path))
    if as_json:
        print_json({"ca": files.ca, "new_ca": new, "names": names, "not_after": ends, "header": header, "to_do": to_do})
        return
    typer.echo(f"Made {files.path}/server.crt for {', '.join(names)}, valid until {ends:%Y-%m-%d}.")
    if to_do is not None:
        typer.echo(f"Still to do: {to_do}.", err=True)
    if not new:
        typer.echo("Its authority is the same as before: nothing changes for boards and the gateway.")
        return
    typer.echo(
        "\n".join(
            (
                f"Its authority is new. Who has {files.path}/ca.key can pass for the broker: keep it.",
                "Next:",
                f"  broker   cp {in_shell}/listeners/tls.conf {in_shell}/conf.d/, and start it again",
                f"  boards   {'built with ' + str(header) if header else _HEADER_ADVICE}, in a -tls environment",
                f"  gateway  on another machine: GATEWAY_MQTT_CA_FILE=ca.crt GATEWAY_MQTT_URL=mqtts://…@{names[0]}:8883",
            )
        )
    )


_HEADER_ADVICE = "built with firmware/include/ca_cert.h (run this again with --header), or ca.crt pasted there"


def _gateway_broker(url: str) -> BrokerUrl:
    broker = parse_broker_url(url)
    if broker.kind is BrokerKind.EMBEDDED or broker.username is not None:
        raise ConfigurationError("--gateway-url is mqtt://host:1883 or mqtts://host:8883, without a login")
    return broker


def _write_gateway_env(folder: BrokerFolder, broker: BrokerUrl, password: str) -> None:
    # Our passwords need no percent-encoding, and no quoting in a shell.
    url = f"{broker.kind}://{GATEWAY}:{password}@{broker.address}"
    env = shlex.quote(str(folder.gateway_env))
    note = f"# The gateway's login: set -a; . {env}; set +a. Also for EnvironmentFile= and env_file:."
    replace_file(folder.gateway_env, f"{note}\nGATEWAY_MQTT_URL={url}\n", mode=0o600)


def _show(folder: BrokerFolder, made: dict[str, str], to_do: str | None, *, as_json: bool) -> None:
    shown = {name: password for name, password in made.items() if name != GATEWAY}
    env = folder.gateway_env if GATEWAY in made else None
    if as_json:
        print_json({"passwords": shown, "gateway_env": env, "to_do": to_do})
        return
    for name, password in shown.items():
        typer.echo(f"{name:<14} {password}")
    if shown:
        typer.echo("User names and passwords are above; they are not shown again.", err=True)
    if env is not None:
        typer.echo(
            as_called(
                f"The gateway's login is in {env}. By hand, broker and gateway are run like this, each in\n"
                "a terminal (docs/broker.md has the service, docs/docker.md containers):\n"
                f"  cd {shlex.quote(str(folder.path))} && mosquitto -c mosquitto.conf\n"
                f"  set -a; . {shlex.quote(str(env))}; set +a; voice-gateway run"
            ),
            err=True,
        )
    if made:
        typer.echo("The broker has been told." if to_do is None else f"Still to do: {to_do}.", err=True)


def _checked_names(hosts: list[str], ips: list[str]) -> "tuple[list[str], list[Address]]":
    """The names and addresses for the certificate, each once."""
    from gateway.provisioning.certificates import is_host

    if not hosts and not ips:
        raise ConfigurationError("say by which name or address clients reach the broker: --host broker.local, --ip …")
    addresses = []
    for text in ips:
        try:
            addresses.append(ipaddress.ip_address(text))
        except ValueError:
            raise ConfigurationError(f"--ip {text!r} is no address; names go with --host") from None
    for text in hosts:
        if not is_host(text) or text.replace(".", "").isdigit():
            raise ConfigurationError(f"--host {text!r} is no host name; addresses go with --ip")
    return list(dict.fromkeys(hosts)), list(dict.fromkeys(addresses))
