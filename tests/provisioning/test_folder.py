"""The broker's folder as several commands change it."""

import os
import stat
import threading
from pathlib import Path

import pytest

from gateway.errors import ConfigurationError, GatewayError
from gateway.provisioning import folder as module
from gateway.provisioning.folder import BrokerFolder, replace_file
from gateway.provisioning.logins import Device

SALT = bytes(12)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_what_was_saved_is_read_again(tmp_path: Path) -> None:
    folder = BrokerFolder(tmp_path)
    with folder.locked():
        folder.save(folder.logins().with_device(Device("kitchen", "Cocina", "es"), "secret", SALT))
    assert BrokerFolder(tmp_path).logins().devices == [Device("kitchen", "Cocina", "es")]


def test_a_device_added_by_other_means_has_no_facts(tmp_path: Path) -> None:
    (tmp_path / "passwords").write_text("kitchen:$7$101$x$y\n")
    assert BrokerFolder(tmp_path).logins().devices == [Device("kitchen")]


def test_many_at_once_lose_nothing(tmp_path: Path) -> None:
    def add(name: str) -> None:
        folder = BrokerFolder(tmp_path)
        with folder.locked():
            folder.save(folder.logins().with_device(Device(name), "secret", SALT))

    names = [f"d{number}" for number in range(20)]
    threads = [threading.Thread(target=add, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {device.spelling for device in BrokerFolder(tmp_path).logins().devices} == set(names)


def test_one_that_is_held_for_long_is_not_waited_for_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOCK_TIMEOUT_S", 0.1)
    folder = BrokerFolder(tmp_path)
    with folder.locked(), pytest.raises(GatewayError, match="try again"), folder.locked():
        pass
    with folder.locked():
        pass


def test_secrets_are_for_their_owner_alone(tmp_path: Path) -> None:
    folder = BrokerFolder(tmp_path)
    folder.save(folder.logins().with_device(Device("kitchen"), "secret", SALT))
    assert (mode(tmp_path / "passwords"), mode(tmp_path / "devices.json")) == (0o600, 0o600)


def test_in_a_folder_of_the_broker_s_group_the_group_reads_them(tmp_path: Path) -> None:
    tmp_path.chmod(0o2750)
    replace_file(tmp_path / "passwords", "x")
    assert mode(tmp_path / "passwords") == 0o640
    assert (tmp_path / "passwords").stat().st_gid == tmp_path.stat().st_gid


def test_owner_and_mode_stay_as_they_were(tmp_path: Path) -> None:
    file = tmp_path / "passwords"
    file.write_text("old")
    file.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(file, 65534, 65534)
    before = file.stat()
    replace_file(file, "new")
    after = file.stat()
    assert file.read_text() == "new"
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
    assert after.st_ino != before.st_ino, "a reader of the old file must not see half of the new"


def test_a_password_does_not_go_into_what_everybody_may_read(tmp_path: Path) -> None:
    header = tmp_path / "secrets.h"
    header.write_text("a copy of the example")
    header.chmod(0o644)
    replace_file(header, "x", mode=0o600)
    assert mode(header) == 0o640
    certificate = tmp_path / "ca.crt"
    replace_file(certificate, "x", mode=0o644)
    replace_file(certificate, "y", mode=0o644)
    assert mode(certificate) == 0o644


def test_what_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "passwords").mkdir()
    with pytest.raises(ConfigurationError, match="cannot be written"):
        replace_file(tmp_path / "passwords", "x")
    assert [path.name for path in tmp_path.iterdir()] == ["passwords"]


def test_a_folder_that_is_not_there_is_named_with_the_setting(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="GATEWAY_BROKER_DIR"):
        BrokerFolder(tmp_path / "none").logins()


def test_facts_that_cannot_be_understood_are_not_thrown_away(tmp_path: Path) -> None:
    (tmp_path / "devices.json").write_text("{")
    with pytest.raises(ConfigurationError, match=r"devices\.json cannot be understood"):
        BrokerFolder(tmp_path).logins()
