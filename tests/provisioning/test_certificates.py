"""Certificates of a private authority, as OpenSSL sees them."""

import ipaddress
import stat
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from gateway.errors import ConfigurationError
from gateway.provisioning.certificate_files import CertificateFiles
from gateway.provisioning.certificates import is_host
from tests.fakes.mosquitto import find_program

NOW = datetime.now(UTC).replace(microsecond=0)
ADDRESS = ipaddress.ip_address("192.168.1.10")


@pytest.fixture
def files(tmp_path: Path) -> CertificateFiles:
    made = CertificateFiles(tmp_path / "certs")
    made.issue(["broker.local"], [ADDRESS], 30, NOW)
    return made


def verified(files: CertificateFiles, *options: str, at: datetime = NOW) -> bool:
    """Whether OpenSSL, told to be strict, takes the server's certificate."""
    command = [find_program("openssl"), "verify", "-x509_strict", "-purpose", "sslserver"]
    command += ["-attime", str(int(at.timestamp())), "-CAfile", str(files.ca), *options]
    return subprocess.run([*command, files.path / "server.crt"], check=False, capture_output=True).returncode == 0


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize(
    ("options", "right"),
    [
        (("-verify_hostname", "broker.local"), True),
        (("-verify_ip", "192.168.1.10"), True),
        (("-verify_hostname", "other.local"), False),
        (("-verify_ip", "192.168.1.11"), False),
    ],
)
def test_it_is_for_its_names_and_no_others(files: CertificateFiles, options: tuple[str, ...], right: bool) -> None:
    assert verified(files, *options) is right


@pytest.mark.parametrize(
    ("after", "right"),
    [(timedelta(hours=-23), True), (timedelta(days=29), True), (timedelta(days=31), False)],
    ids=["a clock that is late", "almost over", "over"],
)
def test_it_is_valid_for_its_time(files: CertificateFiles, after: timedelta, right: bool) -> None:
    assert verified(files, at=NOW + after) is right


def test_the_server_s_certificate_signs_no_other(files: CertificateFiles) -> None:
    shown = subprocess.run(
        [find_program("openssl"), "x509", "-in", files.path / "server.crt", "-noout", "-text"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert "CA:FALSE" in shown
    assert "Certificate Sign" not in shown


def test_keys_are_for_their_owner_alone(files: CertificateFiles) -> None:
    assert [mode(files.path / name) for name in ("ca.key", "server.key", "ca.crt")] == [0o600, 0o600, 0o644]
    assert mode(files.path) == 0o700


def test_in_a_folder_of_the_broker_s_group_the_group_reads_the_server_s_key_only(tmp_path: Path) -> None:
    tmp_path.chmod(0o2750)
    files = CertificateFiles(tmp_path / "certs")
    files.issue(["broker.local"], [], 30, NOW)
    assert [mode(files.path / name) for name in ("ca.key", "server.key")] == [0o600, 0o640]
    assert mode(files.path) == 0o2750


def test_renewing_keeps_the_authority(files: CertificateFiles) -> None:
    before = [(files.path / name).read_bytes() for name in ("ca.crt", "ca.key")]
    later = NOW + timedelta(days=40)
    server, new = files.issue(["new.local"], [], 30, later)
    assert not new
    assert [(files.path / name).read_bytes() for name in ("ca.crt", "ca.key")] == before
    assert isinstance(server.key.curve, ec.SECP256R1)
    assert verified(files, "-verify_hostname", "new.local", at=later)
    assert not verified(files, "-verify_hostname", "broker.local", at=later)


def test_it_ends_with_its_authority_at_the_latest(files: CertificateFiles) -> None:
    almost = NOW + timedelta(days=3600)
    server, _ = files.issue(["broker.local"], [], 365, almost)
    assert server.certificate.not_valid_after_utc == NOW + timedelta(days=3650)


def test_an_authority_that_has_ended_is_told(files: CertificateFiles) -> None:
    with pytest.raises(ConfigurationError, match="has ended"):
        files.issue(["broker.local"], [], 30, NOW + timedelta(days=3651))


@pytest.mark.parametrize("spoil", ["lost", "garbled", "another's"])
def test_an_authority_that_is_not_whole_is_never_replaced(files: CertificateFiles, tmp_path: Path, spoil: str) -> None:
    key = files.path / "ca.key"
    if spoil == "lost":
        key.unlink()
    elif spoil == "garbled":
        key.write_text("x")
    else:
        other = CertificateFiles(tmp_path / "other")
        other.issue(["broker.local"], [], 30, NOW)
        key.write_bytes((other.path / "ca.key").read_bytes())
    before = files.ca.read_bytes()
    with pytest.raises(ConfigurationError, match="cannot be used"):
        files.issue(["broker.local"], [], 30, NOW)
    assert files.ca.read_bytes() == before


@pytest.mark.parametrize("name", ["broker", "broker.local", "a-b.c1", "x" * 63])
def test_names_of_hosts(name: str) -> None:
    assert is_host(name)


@pytest.mark.parametrize("name", ["", "bröker.local", "a b", "-a", "a-", "a..b", "x" * 64, "mqtt://broker", "a:1"])
def test_what_is_no_name_of_a_host(name: str) -> None:
    assert not is_host(name)
