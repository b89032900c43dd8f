"""`voice-gateway broker`, on a real broker."""

import asyncio
import re
import stat
import subprocess
from pathlib import Path

import pytest

from gateway.broker.mqtt import MqttBroker
from gateway.broker.url import parse_broker_url
from gateway.errors import BrokerUnavailable
from tests.cli.conftest import CommandLine
from tests.conformance.broker import TIMEOUT_S, Inbox, connected
from tests.fakes.mosquitto import find_program
from tests.mosquitto.shipped import LOCAL_PORT, SHIPPED, ShippedBroker

ROLES = ("gateway", "homeassistant", "operator")


@pytest.fixture
def broker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ShippedBroker:
    """Not started yet, and without logins."""
    made = ShippedBroker(tmp_path, "tls")
    monkeypatch.setenv("GATEWAY_BROKER_DIR", str(made.folder))
    return made


def gateway_url(broker: ShippedBroker) -> str:
    (url,) = re.findall(r"^GATEWAY_MQTT_URL=(.*)$", (broker.folder / "gateway.env").read_text(), re.MULTILINE)
    return str(url)


def ignored(folder: Path, names: list[str]) -> list[str]:
    """Those of `names` in `folder` that git would leave out."""
    git = find_program("git")
    subprocess.run([git, "init", "--quiet", folder], check=True)
    told = subprocess.run([git, "check-ignore", *names], cwd=folder, capture_output=True, text=True, check=False)
    return told.stdout.split()


async def init(cli: CommandLine, broker: ShippedBroker) -> dict[str, str]:
    """Make the logins and a certificate; return the passwords by role."""
    there = f"mqtt://127.0.0.1:{broker.ports[LOCAL_PORT]}"
    told = await cli("broker", "init", "--gateway-url", there, "--json")
    assert told.code == 0
    assert (await cli("broker", "certs", "--ip", "127.0.0.1")).code == 0
    return told.json["passwords"] | {"gateway": str(parse_broker_url(gateway_url(broker)).password)}


async def test_from_nothing_to_a_broker_that_the_gateway_gets_into(cli: CommandLine, broker: ShippedBroker) -> None:
    passwords = await init(cli, broker)
    assert set(passwords) == set(ROLES)
    assert all(len(password) >= 32 for password in passwords.values())
    async with broker:
        for role in ROLES:
            async with connected(broker.ports[LOCAL_PORT], login=(role, passwords[role])):
                pass
        told = await cli("health", "--timeout", "0.5", "--mqtt-url", gateway_url(broker))
        assert "unknown" in told.out, "it was let in, and found that no gateway runs"


async def test_the_gateway_s_own_password_is_shown_nowhere_but_in_its_file(
    cli: CommandLine, broker: ShippedBroker
) -> None:
    told = await cli("broker", "init")
    password = parse_broker_url(gateway_url(broker)).password
    assert password is not None
    assert password not in told.out + told.err
    assert [line.split()[0] for line in told.out.splitlines()] == ["homeassistant", "operator"]
    assert stat.S_IMODE((broker.folder / "gateway.env").stat().st_mode) == 0o600
    assert "gateway.env" in told.err


async def test_the_commands_that_it_prints_work_in_a_folder_with_a_space(
    cli: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = ShippedBroker(tmp_path / "Ana's files").folder
    monkeypatch.setenv("GATEWAY_BROKER_DIR", str(folder))
    told = await cli("broker", "init", "--gateway-url", "mqtt://broker.lan:1884")
    (entering,) = re.findall(r"  (cd .*) && mosquitto", told.err)
    (sourcing,) = re.findall(r"  (set -a; .*); voice-gateway run", told.err)
    shell = f"{entering} && pwd; {sourcing}; echo $GATEWAY_MQTT_URL"
    printed = await asyncio.to_thread(subprocess.run, ["sh", "-c", shell], capture_output=True, text=True, check=True)
    where, url = printed.stdout.splitlines()
    assert where == str(folder)
    assert url.endswith("@broker.lan:1884")


async def test_done_again_it_changes_nothing(cli: CommandLine, broker: ShippedBroker) -> None:
    await init(cli, broker)
    before = (broker.folder / "passwords").read_text(), gateway_url(broker)
    told = await cli("broker", "init")
    assert (told.code, told.out) == (0, "")
    assert "has a login already" in told.err
    assert ((broker.folder / "passwords").read_text(), gateway_url(broker)) == before


@pytest.mark.parametrize("role", ROLES)
async def test_a_new_password_ends_the_old_one_and_leaves_the_others(
    cli: CommandLine, broker: ShippedBroker, role: str
) -> None:
    passwords = await init(cli, broker)
    other = next(each for each in ROLES if each != role)
    async with broker:
        port = broker.ports[LOCAL_PORT]
        async with connected(port, login=(other, passwords[other])) as untouched:
            async with broker.reloading():
                told = await cli("broker", "rotate", role, "--gateway-url", f"mqtt://127.0.0.1:{port}", "--json")
            assert (told.code, told.json["to_do"]) == (0, None)
            new = told.json["passwords"].get(role) or parse_broker_url(gateway_url(broker)).password
            async with connected(port, login=(role, new)):
                pass
            with pytest.raises(BrokerUnavailable, match="authori"):
                async with connected(port, login=(role, passwords[role])):
                    pass
            assert untouched.connects == 1


async def test_a_role_that_there_is_not(cli: CommandLine, broker: ShippedBroker) -> None:
    told = await cli("broker", "rotate", "kitchen")
    assert (told.code, told.out) == (2, "")
    assert "devices rotate" in told.err


@pytest.mark.parametrize("url", ["embedded", "mqtt://me:hunter2@host", "broker.local"])
async def test_where_the_gateway_cannot_find_a_broker(cli: CommandLine, broker: ShippedBroker, url: str) -> None:
    told = await cli("broker", "init", "--gateway-url", url)
    assert (told.code, told.out) == (2, "")
    assert "hunter2" not in told.err
    assert not (broker.folder / "passwords").exists()


async def test_a_folder_that_is_not_there(cli: CommandLine, tmp_path: Path) -> None:
    told = await cli("broker", "init", "--broker-dir", str(tmp_path / "none"))
    assert (told.code, told.out) == (2, "")
    assert "--broker-dir" in told.err


async def test_certificates_let_the_gateway_in_by_tls_and_are_renewed_without_notice(
    cli: CommandLine, broker: ShippedBroker, tmp_path: Path
) -> None:
    passwords = await init(cli, broker)
    ca = broker.folder / "certs" / "ca.crt"
    async with broker:
        url = parse_broker_url(f"mqtts://operator:{passwords['operator']}@localhost:{broker.ports[8883]}")
        link = MqttBroker(url, receive=Inbox(), ca_file=ca, reconnect_min_s=0.02)
        async with link:
            await link.connected_once(TIMEOUT_S)
            async with broker.reloading():
                told = await cli("broker", "certs", "--host", "broker.local", "--days", "90", "--json")
            assert told.json["new_ca"] is False
            assert told.json["names"] == ["broker.local"]
            assert told.json["to_do"] is None
            assert link.connects == 1


async def test_the_authority_s_header_is_what_the_firmware_includes(
    cli: CommandLine, broker: ShippedBroker, tmp_path: Path
) -> None:
    header = tmp_path / "ca_cert.h"
    told = await cli("broker", "certs", "--host", "broker.local", "--header", str(header))
    assert told.code == 0
    assert (broker.folder / "certs" / "ca.crt").read_text().strip() in header.read_text()
    assert "localhost" not in told.out
    assert "listeners/tls.conf" in told.out


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ((), "--host broker.local"),
        (("--ip", "broker.local"), "no address"),
        (("--host", "192.168.1.10"), "no host name"),
        (("--host", "a b"), "no host name"),
    ],
)
async def test_names_that_no_certificate_can_have(
    cli: CommandLine, broker: ShippedBroker, options: tuple[str, ...], why: str
) -> None:
    told = await cli("broker", "certs", *options)
    assert (told.code, told.out) == (2, "")
    assert why in told.err
    assert not (broker.folder / "certs").exists()


async def test_certificates_go_where_they_are_asked_to(cli: CommandLine, broker: ShippedBroker, tmp_path: Path) -> None:
    told = await cli("broker", "certs", "--host", "broker.local", "--out", str(tmp_path / "elsewhere"))
    assert told.code == 0
    assert sorted(path.name for path in (tmp_path / "elsewhere").iterdir()) == [
        "ca.crt",
        "ca.key",
        "server.crt",
        "server.key",
    ]


async def test_the_secrets_it_makes_are_ignored_by_git(cli: CommandLine, broker: ShippedBroker) -> None:
    await init(cli, broker)
    assert (await cli("devices", "add", "kitchen")).code == 0
    made = {path.relative_to(broker.folder) for path in broker.folder.rglob("*") if path.is_file()}
    shipped = {path.relative_to(SHIPPED) for path in SHIPPED.rglob("*") if path.is_file()}
    # The last: as a command that is killed while it writes leaves it.
    new = sorted([*(str(path) for path in made - shipped), ".gateway.env-x7sab_2k"])
    assert len(new) >= 7
    assert await asyncio.to_thread(ignored, broker.folder, new) == new
