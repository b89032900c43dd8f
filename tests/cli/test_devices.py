"""`voice-gateway devices`, on a real broker."""

import asyncio
import stat
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import pytest

from gateway.broker.protocol import Incoming
from gateway.errors import BrokerRefused
from tests.cli.conftest import CommandLine
from tests.cli.data import add_conversation
from tests.conformance.broker import TIMEOUT_S, Inbox, connected
from tests.fakes.mosquitto import free_port
from tests.mosquitto.shipped import LOCAL_PORT, PASSWORDS, ShippedBroker

PLAIN_PORT = 1884
BOARDS_URL = "mqtt://broker.local:1884"


@pytest.fixture
async def broker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ShippedBroker]:
    """It runs, with the logins of `PASSWORDS`: two devices are among them."""
    made = ShippedBroker(tmp_path, "plain")
    monkeypatch.setenv("GATEWAY_BROKER_DIR", str(made.folder))
    async with made:
        yield made


def told_to_the_board(out: str) -> dict[str, str]:
    """The settings of the serial console in what a command printed."""
    *lines, last = out.splitlines()
    assert last == "save"
    return {name: value for _, name, value in (line.split(" ", 2) for line in lines)}


async def works(broker: ShippedBroker, name: str, password: str) -> bool:
    """Whether that login is let in as a board would be."""
    try:
        async with connected(broker.ports[PLAIN_PORT], login=(name, password)):
            return True
    except BrokerRefused:
        return False


async def test_a_new_device_gets_in_with_what_its_board_is_told(cli: CommandLine, broker: ShippedBroker) -> None:
    async with broker.reloading():
        told = await cli("devices", "add", "cellar", "--name", "El sótano", "--language", "es")
    assert told.code == 0
    board = told_to_the_board(told.out)
    password = board.pop("mqtt_password")
    assert board.pop("mqtt_host") not in ("127.0.0.1", "localhost")
    assert board == {
        "mqtt_port": str(broker.ports[PLAIN_PORT]),
        "mqtt_user": "cellar",
        "id": "cellar",
        "name": "El sótano",
        "language": "es",
    }
    assert len(password) >= 32
    assert password not in told.err
    assert password not in (broker.folder / "passwords").read_text()
    assert "The broker has been told" in told.err
    assert await works(broker, "cellar", password)


async def test_a_port_that_the_broker_has_not_opened_yet_is_said(cli: CommandLine, broker: ShippedBroker) -> None:
    port = free_port()
    entry = broker.folder / "conf.d" / "plain.conf"
    entry.write_text(entry.read_text().replace(str(broker.ports[PLAIN_PORT]), str(port)))
    told = await cli("devices", "add", "cellar")
    assert told.code == 0
    assert f"Still to do: start the broker again, which opens port {port}" in told.err
    assert "has been told" not in told.err
    elsewhere = await cli("devices", "rotate", "cellar", "--boards-mqtt-url", BOARDS_URL)
    assert "The broker has been told" in elsewhere.err


async def test_other_connections_do_not_notice(cli: CommandLine, broker: ShippedBroker) -> None:
    async with connected(broker.ports[PLAIN_PORT], login=broker.login("kitchen")) as kitchen:
        async with broker.reloading():
            await cli("devices", "add", "cellar")
        await kitchen.publish("voice/kitchen/hello", b"{}", qos=1)
        assert kitchen.connects == 1


@pytest.mark.parametrize("spelling", ["A4:CF:12:8B:3F:9E", "ESP32-a4:cf:12:8b:3f:9e"])
async def test_a_mac_with_colons_logs_in_without_them(cli: CommandLine, broker: ShippedBroker, spelling: str) -> None:
    async with broker.reloading():
        told = await cli("devices", "add", spelling)
    board = told_to_the_board(told.out)
    assert (board["id"], board["mqtt_user"]) == ("a4cf128b3f9e", "a4cf128b3f9e")
    assert "voice/a4cf128b3f9e/" in told.err
    assert await works(broker, "a4cf128b3f9e", board["mqtt_password"])


async def test_as_json(cli: CommandLine, broker: ShippedBroker) -> None:
    told = await cli("devices", "add", "cellar", "--boards-mqtt-url", "mqtts://broker.local:8883", "--json")
    password = told.json.pop("password")
    assert told.json | {"password": password} == {
        "user": "cellar",
        "password": password,
        "host": "broker.local",
        "port": 8883,
        "tls": True,
        "root_topic": "voice",
        "name": "",
        "language": "",
        "header": None,
        "to_do": None,
    }


async def test_the_header_holds_the_password_and_is_for_its_owner_alone(
    cli: CommandLine, broker: ShippedBroker, tmp_path: Path
) -> None:
    header = tmp_path / "secrets.h"
    async with broker.reloading():
        told = await cli("devices", "add", "cellar", "--header", str(header), "--boards-mqtt-url", BOARDS_URL)
    assert told.code == 0
    (password,) = (line.split('"')[1] for line in header.read_text().splitlines() if "MQTT_PASSWORD" in line)
    assert password not in told.out + told.err
    assert stat.S_IMODE(header.stat().st_mode) == 0o600
    assert await works(broker, "cellar", password)


async def test_a_header_is_replaced_only_when_that_is_wanted(
    cli: CommandLine, broker: ShippedBroker, tmp_path: Path
) -> None:
    header = tmp_path / "secrets.h"
    header.write_text('#define VOICE_WIFI_SSID "Casa"\n')
    told = await cli("devices", "add", "cellar", "--header", str(header))
    assert (told.code, told.out) == (2, "")
    assert "--force" in told.err
    assert "cellar" not in (await cli("devices", "list")).out, "nothing was made"
    again = await cli("devices", "add", "cellar", "--header", str(header), "--force")
    assert again.code == 0
    assert '#define VOICE_WIFI_SSID "Casa"' in header.read_text()
    assert '#define VOICE_MQTT_USER "cellar"' in header.read_text()


async def test_a_new_password_ends_the_old_one(cli: CommandLine, broker: ShippedBroker) -> None:
    async with broker.reloading():
        told = await cli("devices", "rotate", "kitchen")
    password = told_to_the_board(told.out)["mqtt_password"]
    assert await works(broker, "kitchen", password)
    assert not await works(broker, "kitchen", PASSWORDS["kitchen"])
    assert await works(broker, "hall", PASSWORDS["hall"])


async def test_a_removed_device_is_cut_off(cli: CommandLine, broker: ShippedBroker) -> None:
    async with connected(broker.ports[PLAIN_PORT], login=broker.login("kitchen")) as kitchen:
        async with broker.reloading():
            told = await cli("devices", "remove", "kitchen", "--yes")
        assert (told.code, told.out) == (0, "kitchen has no login any more.\n")
        async with asyncio.timeout(TIMEOUT_S):
            while kitchen.connected or "authori" not in str(kitchen.trouble):  # noqa: ASYNC110 - what the broker does
                await asyncio.sleep(0.01)
        assert kitchen.connects == 1
    assert [one["id"] for one in (await cli("devices", "list", "--json")).json] == ["hall"]


@pytest.mark.parametrize("command", [("remove", "kitchen", "--yes"), ("rotate", "kitchen", "--json")])
async def test_whose_connection_is_ended_is_offline(
    cli: CommandLine, broker: ShippedBroker, command: tuple[str, ...]
) -> None:
    """Its will, which says so otherwise, Mosquitto keeps back."""
    (name, password), local = broker.login("gateway"), broker.ports[LOCAL_PORT]
    (broker.folder / "gateway.env").write_text(f"GATEWAY_MQTT_URL=mqtt://{name}:{quote(password)}@127.0.0.1:{local}\n")
    inbox = Inbox()
    async with (
        connected(local, "voice/+/online", receive=inbox, login=(name, password)),
        connected(broker.ports[PLAIN_PORT], login=broker.login("kitchen")) as kitchen,
    ):
        await kitchen.publish("voice/kitchen/online", b"online", qos=1)
        await inbox.has(1)
        told = await cli("devices", *command)
        assert (told.code, "goes on saying" in told.err) == (0, False)
        await inbox.has(2)
    kept = Inbox()
    async with connected(local, "voice/+/online", receive=kept, login=(name, password)):
        await kept.has(1)
    assert kept.messages == [Incoming("voice/kitchen/online", b"offline", retained=True)]


async def test_without_the_gateway_s_login_it_says_that_a_removed_device_may_be_shown_as_online(
    cli: CommandLine, broker: ShippedBroker
) -> None:
    told = await cli("devices", "remove", "kitchen", "--yes")
    assert told.code == 0
    assert "gateway.env" in told.err


async def test_the_list_says_what_is_known(cli: CommandLine, broker: ShippedBroker, tmp_path: Path) -> None:
    active = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
    await add_conversation(tmp_path / "data", "A4:CF:12:8B:3F:9E", active, "Cocina")
    await cli("devices", "add", "a4-cf-12-8b-3f-9e", "--name", "Cocina", "--language", "es")
    *_, cocina = (await cli("devices", "list", "--json")).json
    created_at = datetime.fromisoformat(cocina.pop("created_at"))
    assert abs((datetime.now(UTC) - created_at).total_seconds()) < 60
    assert cocina == {
        "id": "a4-cf-12-8b-3f-9e",
        "session_id": "a4cf128b3f9e",
        "name": "Cocina",
        "language": "es",
        "last_active": "2026-05-01T12:00:00+00:00",
    }
    table = (await cli("devices", "list")).out.splitlines()
    assert [line.split()[0] for line in table] == ["device", "kitchen", "hall", "a4-cf-12-8b-3f-9e"]


async def test_without_a_database_the_list_makes_none(cli: CommandLine, broker: ShippedBroker, tmp_path: Path) -> None:
    told = await cli("devices", "list", "--json")
    assert [one["last_active"] for one in told.json] == [None, None]
    assert (told.code, told.err) == (0, "")
    assert not (tmp_path / "data").exists()


async def test_a_database_out_of_reach_is_told_with_the_list(cli: CommandLine, broker: ShippedBroker) -> None:
    told = await cli("devices", "list", "--database-url", "mysql://me:hunter2@host/db")
    assert told.code == 0
    assert "kitchen" in told.out
    assert "last active is not known" in told.err
    assert "hunter2" not in told.err


@pytest.mark.parametrize(
    ("device", "why"),
    [
        ("kitchen", "devices rotate kitchen"),
        ("gateway", "reserved"),
        ("operator", "role"),
        ("homeassistant", "role"),
        ("mac", "id itself"),
        ("a/b", "A-Z a-z 0-9"),
        ("floor:1", "colon"),
    ],
)
async def test_what_cannot_be_added(cli: CommandLine, broker: ShippedBroker, device: str, why: str) -> None:
    before = (broker.folder / "passwords").read_text()
    told = await cli("devices", "add", device)
    assert (told.code, told.out) == (2, "")
    assert why in told.err
    assert (broker.folder / "passwords").read_text() == before


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("--name", "caf\udce9"), "in one line"),
        (("--boards-mqtt-url", f"mqtt://{'a' * 65}:1884"), "broker's address"),
        (("--boards-mqtt-url", 'mqtt://host";x:1884'), "no valid host"),
        (("--root-topic", "v" * 65), "root topic"),
    ],
)
async def test_what_a_board_would_not_take(
    cli: CommandLine, broker: ShippedBroker, options: tuple[str, ...], why: str
) -> None:
    before = (broker.folder / "passwords").read_text()
    told = await cli("devices", "add", "cellar", *options)
    assert (told.code, told.out) == (2, "")
    assert why in told.err
    assert (broker.folder / "passwords").read_text() == before


async def test_facts_that_somebody_wrote_are_not_passed_on_to_the_console(
    cli: CommandLine, broker: ShippedBroker
) -> None:
    (broker.folder / "devices.json").write_text('{"kitchen": {"name": "Cocina\\nset mqtt_host other"}}')
    told = await cli("devices", "rotate", "kitchen")
    assert (told.code, told.out) == (2, "")
    assert "in one line" in told.err


@pytest.mark.parametrize("verb", ["rotate", "remove"])
async def test_a_device_that_there_is_not(cli: CommandLine, broker: ShippedBroker, verb: str) -> None:
    told = await cli("devices", verb, "cellar")
    assert (told.code, told.out) == (1, "")
    assert "devices list" in told.err


async def test_before_the_broker_is_set_up_it_says_how(
    cli: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = ShippedBroker(tmp_path)
    monkeypatch.setenv("GATEWAY_BROKER_DIR", str(empty.folder))
    told = await cli("devices", "add", "kitchen")
    assert (told.code, told.out) == (2, "")
    assert "voice-gateway broker init" in told.err


async def test_when_boards_cannot_reach_the_broker_it_says_how_to_let_them_in(
    cli: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = ShippedBroker(tmp_path)
    closed.add_logins(PASSWORDS)
    monkeypatch.setenv("GATEWAY_BROKER_DIR", str(closed.folder))
    told = await cli("devices", "add", "cellar")
    assert (told.code, told.out) == (2, "")
    assert "listeners/tls.conf" in told.err
    assert (await cli("devices", "add", "cellar", "--boards-mqtt-url", BOARDS_URL)).code == 0


@pytest.mark.parametrize(
    ("certified", "told_host"),
    [
        (("--ip", "192.168.1.10"), "192.168.1.10"),
        (("--host", "broker.lan", "--ip", "192.168.1.10"), "broker.lan"),
        (("--host", "broker.local", "--ip", "192.168.1.10"), "192.168.1.10"),
        (("--host", "broker.local"), "broker.local"),
    ],
)
async def test_with_tls_the_board_is_told_a_name_that_is_certified(
    cli: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, certified: tuple[str, ...], told_host: str
) -> None:
    encrypted = ShippedBroker(tmp_path, "tls")
    encrypted.add_logins(PASSWORDS)
    monkeypatch.setenv("GATEWAY_BROKER_DIR", str(encrypted.folder))
    await cli("broker", "certs", *certified)
    told = await cli("devices", "add", "cellar")
    board = told_to_the_board(told.out)
    assert (board["mqtt_host"], board["mqtt_port"]) == (told_host, str(encrypted.ports[8883]))
    assert "-tls environment" in told.err
    assert "no broker is known to run" in told.err


async def test_a_broker_that_is_told_by_a_command(cli: CommandLine, broker: ShippedBroker, tmp_path: Path) -> None:
    mark = tmp_path / "told"
    await cli("devices", "add", "cellar", "--broker-reload", f"touch {mark}")
    assert mark.exists()
    told = await cli("devices", "remove", "cellar", "--yes", "--json", "--broker-reload", "false")
    assert told.code == 0
    assert "`false` failed" in told.json["to_do"]


async def test_a_new_device_may_do_what_a_device_may(cli: CommandLine, broker: ShippedBroker) -> None:
    async with broker.reloading():
        told = await cli("devices", "add", "cellar", "--json")
    heard = Inbox()
    async with (
        connected(broker.ports[LOCAL_PORT], "voice/+/in", receive=heard, login=broker.login("gateway")),
        connected(broker.ports[PLAIN_PORT], login=("cellar", told.json["password"])) as cellar,
    ):
        await cellar.publish("voice/kitchen/in", b"as another", qos=1)
        await cellar.publish("voice/cellar/in", b"as itself", qos=1)
        await heard.has(1)
    assert heard.pairs == [("voice/cellar/in", b"as itself")]
