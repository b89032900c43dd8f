"""The lines of Mosquitto's password file, beside those of its own program."""

import base64
import subprocess
from pathlib import Path

import pytest

from gateway.provisioning.password_file import entry, names, with_entry, without_entry
from tests.fakes.mosquitto import find_program

FILE = "# ours\ngateway:$7$1\nkitchen:$7$2\nnot a login\n"


@pytest.mark.parametrize("password", ["x", "Zm9v-_bar", "contraseña with spaces"])
def test_a_line_is_what_mosquitto_s_own_program_writes(tmp_path: Path, password: str) -> None:
    file = tmp_path / "passwords"
    subprocess.run([find_program("mosquitto_passwd"), "-b", "-c", file, "kitchen", password], check=True)
    (theirs,) = file.read_text().splitlines()
    salt = base64.b64decode(theirs.split("$")[3])
    assert entry("kitchen", password, salt) == theirs


def test_who_has_a_login() -> None:
    assert names(FILE + "hall:$7$3") == ["gateway", "kitchen", "hall"]


def test_a_new_login_comes_last_and_a_changed_one_stays_in_its_place() -> None:
    assert with_entry(FILE, "hall:$7$3") == FILE + "hall:$7$3\n"
    assert with_entry(FILE, "gateway:$7$9") == FILE.replace("$7$1", "$7$9")
    assert with_entry("", "hall:$7$3") == "hall:$7$3\n"


def test_a_login_that_was_there_twice_has_only_its_new_password() -> None:
    assert with_entry(FILE + "gateway:$7$4\n", "gateway:$7$9") == FILE.replace("$7$1", "$7$9")


def test_a_login_is_taken_out_and_no_other() -> None:
    assert without_entry(FILE, "kitchen") == "# ours\ngateway:$7$1\nnot a login\n"
    assert without_entry(FILE, "kitche") == FILE
