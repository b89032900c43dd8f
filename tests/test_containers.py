"""What can break silently in the container files: whatever they name elsewhere in the project."""

import re
import shlex
import tomllib
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.config import Settings
from gateway.settings_sources import ENV_PREFIX, load_settings, variable_name
from tests.cli.conftest import CommandLine, cli, log_as_before
from tests.test_packaging import PROJECT, ROOT, bare_name, locked

__all__ = ["cli", "log_as_before"]

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = ("gateway", "admin")
EXAMPLE = (ROOT / ".env.example").read_text()
SETTING = re.compile(rf"\b{ENV_PREFIX}[A-Z_]+")
UNTRIED_READ_ONLY = {"ollama", "piper"}
"""Others' images of which is not known where they write."""


def instructions(name: str) -> list[str]:
    """The arguments of every instruction `name` of the Dockerfile, with continued lines joined."""
    text = re.sub(r"\\\n", " ", (ROOT / "Dockerfile").read_text())
    return [" ".join(line.split()[1:]) for line in text.splitlines() if line.startswith(f"{name} ")]


def listed(name: str) -> list[str]:
    """The words of the last instruction `name`, which is in its exec form."""
    return list(yaml.safe_load(re.sub(r"^[^[]*", "", instructions(name)[-1])))


def examples(*, with_comments: bool) -> dict[str, str]:
    """The variables of .env.example; those in a comment too if wanted."""
    pattern = r"^#?([A-Z_]+)=(.*)$" if with_comments else r"^([A-Z_]+)=(.*)$"
    return dict(re.findall(pattern, EXAMPLE, re.MULTILINE))


@pytest.mark.parametrize("file", ["docker-compose.yml", "Dockerfile", ".env.example", "docs/docker.md"])
def test_every_setting_that_is_named_exists(file: str) -> None:
    named = set(SETTING.findall((ROOT / file).read_text()))
    assert named
    assert named <= {variable_name(name) for name in Settings.model_fields}


def test_the_example_of_the_environment_is_accepted_line_by_line() -> None:
    load_settings({}, examples(with_comments=False))
    for name, value in examples(with_comments=True).items():
        load_settings({}, {name: value})


def test_every_variable_of_the_compose_file_is_explained_or_has_a_default() -> None:
    used = dict(re.findall(r"\$\{([A-Z_]+)(:-[^}]*)?\}", (ROOT / "docker-compose.yml").read_text()))
    assert used
    for name, default in used.items():
        assert default, f"{name} has no default, so that compose warns wherever it is not needed"
        assert name in examples(with_comments=True)


def test_profiles_are_those_of_the_example() -> None:
    profiles = {profile for service in SERVICES.values() for profile in service.get("profiles", [])} - {"admin"}
    explained = re.search(r"^# Profiles, separated by commas: ([a-z, ]+)\.", EXAMPLE, re.MULTILINE)
    assert explained is not None
    assert set(explained[1].split(", ")) == profiles


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_has_little_power(name: str) -> None:
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert service["read_only"] is (name not in UNTRIED_READ_ONLY)
    assert "privileged" not in service
    if name not in UNTRIED_READ_ONLY:
        assert service["user"].partition(":")[0] not in ("root", "0")
    if "image" in service and name not in OURS:
        tag = service["image"].partition(":")[2]
        assert tag
        assert "latest" not in tag


def test_what_is_mounted_is_in_the_project_or_made_at_the_first_start() -> None:
    made = [shlex.split(line)[-1] for line in re.findall(r"^mkdir -p .*$", documentation(), re.MULTILINE)]
    for service in SERVICES.values():
        for mount in service.get("volumes", []):
            source = mount.split(":")[0]
            if source.startswith("./"):
                place = source.removeprefix("./")
                assert (ROOT / place).is_dir() or any(f"{each}/".startswith(f"{place}/") for each in made), source
            else:
                assert source in COMPOSE["volumes"]


def test_the_files_of_variables_are_made_at_the_first_start() -> None:
    made = {shlex.split(line)[-1] for line in re.findall(r"^install -m 600 .*$", documentation(), re.MULTILINE)}
    named = {file for name in OURS for file in as_list(SERVICES[name]["env_file"])}
    assert named == made
    ignored = (ROOT / ".gitignore").read_text().split() + [
        f"/mosquitto{line}" for line in (ROOT / "mosquitto" / ".gitignore").read_text().split()
    ]
    assert {f"/{file}" for file in made} <= set(ignored)


def test_only_listeners_with_a_login_of_their_own_are_published() -> None:
    broker = SERVICES["mosquitto"]
    inside = broker["working_dir"]
    assert f"./mosquitto:{inside}:ro" in broker["volumes"]
    configuration = (ROOT / "mosquitto" / broker["command"][-1]).read_text()
    internal = ports(configuration)
    published = {int(port.split(":")[-1]) for port in broker["ports"]}
    optional = set().union(*(ports(file.read_text()) for file in (ROOT / "mosquitto" / "listeners").glob("*.conf")))
    assert published == optional
    assert not published & internal
    assert int(broker["healthcheck"]["test"][-1]) in internal
    stored = re.search(r"^persistence_location (\S+)$", configuration, re.MULTILINE)
    assert stored is not None
    assert any(mount.split(":")[1] == stored[1].rstrip("/") for mount in broker["volumes"])
    assert {name for name in SERVICES if "ports" in SERVICES[name]} == {"mosquitto", "gateway"}


def test_the_page_is_published_where_it_listens_and_to_this_machine_alone() -> None:
    gateway = SERVICES["gateway"]
    port = gateway["environment"]["GATEWAY_WEB"].partition(":")[2]
    assert gateway["ports"] == [f"127.0.0.1:{port}:{port}"]
    assert instructions("EXPOSE") == [port]
    assert f"GATEWAY_WEB=0.0.0.0:{port}" in " ".join(instructions("ENV"))
    assert f"http://127.0.0.1:{port}" in documentation()


def test_the_gateway_itself_sees_no_logins_of_others() -> None:
    assert not any("mosquitto" in mount for mount in SERVICES["gateway"]["volumes"])
    assert f"./mosquitto:{SERVICES['admin']['environment']['GATEWAY_BROKER_DIR']}" in SERVICES["admin"]["volumes"]


def test_what_the_image_copies_exists_and_is_let_through() -> None:
    ignore = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    let_through = {line.removeprefix("!") for line in ignore if line.startswith("!")}
    assert ignore[0] == "*"
    copied = {
        source.rstrip("/")
        for line in instructions("COPY")
        if not line.startswith("--from")
        for source in line.split()[:-1]
    }
    assert copied
    assert all((ROOT / source).exists() for source in copied)
    assert copied == let_through
    assert any(fnmatch("gateway/__pycache__", line) for line in ignore)


def test_the_image_has_a_python_that_is_supported() -> None:
    bases = {line.split()[0] for line in instructions("FROM")}
    assert len(bases) == 1
    version = re.fullmatch(r"python:(\d+\.\d+)-slim-[a-z]+", bases.pop())
    assert version is not None
    assert f"Programming Language :: Python :: {version[1]}" in PROJECT["project"]["classifiers"]
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mypy"]["python_version"] == version[1]


def test_the_image_has_the_locked_packages_and_those_for_postgresql() -> None:
    image, run = locked("image"), locked("run")
    wanted = {bare_name(one) for one in PROJECT["project"]["optional-dependencies"]["postgres"]}
    assert wanted | set(run) <= set(image)
    for name, entry in image.items():
        assert "--hash=sha256:" in entry
        if name in run:
            assert entry.splitlines()[0] == run[name].splitlines()[0]


def test_only_what_builds_is_removed_again() -> None:
    removed = set(re.findall(r"uninstall --yes ([a-z -]+?) &&", " ".join(instructions("RUN")))[0].split())
    image = locked("image")
    needed_by = {
        name: set(re.findall(r"^ +#(?: +via)? +([a-z][a-z0-9-]*)", image[name], re.MULTILINE)) - {"via"}
        for name in removed
    }
    assert removed
    assert all(users <= removed | {"mqtt-voice-gateway"} for users in needed_by.values()), needed_by
    build = {bare_name(one) for one in PROJECT["dependency-groups"]["build"]}
    assert build <= removed
    assert not removed & {bare_name(one) for one in PROJECT["project"]["dependencies"]}


@pytest.mark.parametrize("command", ["what it runs", "its health check"])
async def test_the_image_runs_commands_that_exist(cli: CommandLine, command: str) -> None:
    words = listed("ENTRYPOINT") + listed("CMD") if command == "what it runs" else listed("HEALTHCHECK")
    assert words[0] in PROJECT["project"]["scripts"]
    told = await cli(*words[1:], "--help")
    assert told.code == 0
    assert f"Usage: {' '.join(words)}" in told.out


@pytest.mark.parametrize(
    "line", re.findall(r"^docker compose run --rm admin (.*)$", Path(ROOT / "docs/docker.md").read_text(), re.MULTILINE)
)
async def test_the_commands_of_the_documentation_exist(cli: CommandLine, line: str) -> None:
    words = shlex.split(line, comments=True)
    commands = [word for index, word in enumerate(words[:2]) if re.fullmatch("[a-z]+", word) or index == 0]
    told = await cli(*commands, "--help")
    assert told.code == 0
    options = {word for word in words if word.startswith("--")}
    assert all(f" {option} " in told.out for option in options)


def documentation() -> str:
    return (ROOT / "docs" / "docker.md").read_text()


def ports(configuration: str) -> set[int]:
    return {int(port) for port in re.findall(r"^listener (\d+)", configuration, re.MULTILINE)}


def as_list(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value
