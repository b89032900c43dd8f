"""What a fresh clone is set up with."""

import ast
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
DEMO_EXTRAS = ("espeak", "fast", "web")


def bare_name(requirement: str) -> str:
    """`psycopg[binary]>=3.2` is `psycopg`."""
    found = re.match(r"[A-Za-z0-9_.-]+", requirement)
    assert found is not None
    return re.sub(r"[-_.]+", "-", found[0]).lower()


def locked(kind: str) -> dict[str, str]:
    """The requirements of a file, each with its hashes, by name."""
    text = (ROOT / "requirements" / f"{kind}.txt").read_text(encoding="utf-8")
    entries = re.split(r"\n(?=[a-z0-9])", text)
    return {bare_name(entry): entry for entry in entries}


@pytest.mark.parametrize("kind", ["run", "image", "dev"])
def test_every_package_is_pinned_with_hashes_and_without_a_place(kind: str) -> None:
    for entry in locked(kind).values():
        assert "==" in entry.splitlines()[0]
        assert "--hash=sha256:" in entry
        assert "://" not in entry
        assert "--index" not in entry


def test_the_locks_hold_what_the_project_needs() -> None:
    project = PROJECT["project"]
    extras = project["optional-dependencies"]
    needed = {bare_name(one) for one in project["dependencies"]}
    needed |= {bare_name(one) for extra in DEMO_EXTRAS for one in extras[extra]}
    needed |= {bare_name(one) for one in PROJECT["dependency-groups"]["build"]}
    assert needed <= set(locked("run"))
    tools = {bare_name(one) for one in PROJECT["dependency-groups"]["dev"] if isinstance(one, str)}
    assert set(locked("run")) | tools <= set(locked("dev"))


def test_what_is_imported_is_declared_and_not_left_to_other_packages() -> None:
    project = PROJECT["project"]
    extras = project["optional-dependencies"].values()
    declared = {bare_name(one) for one in [*project["dependencies"], *(one for extra in extras for one in extra)]}
    declared.add("pydantic-core")  # pydantic asks for the very version that fits it
    imported = set()
    for path in (ROOT / "gateway").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported.add(str(node.module).partition(".")[0])
    distributions = packages_distributions()
    foreign = imported - set(sys.stdlib_module_names) - {"gateway"}
    known = {name: {bare_name(one) for one in distributions[name]} for name in foreign if name in distributions}
    assert len(known) > 15
    assert {name for name, packages in known.items() if not packages & declared} == set()


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("exit 1", "Python 3.11 or newer is needed"),
        ('case "$2" in *venv*) exit 1;; esac', "apt install python3-venv"),
        (None, "there is no"),
    ],
    ids=["too old", "without venv", "absent"],
)
def test_a_python_that_will_not_do_is_refused_with_advice(script: str | None, said: str, tmp_path: Path) -> None:
    python = tmp_path / "python of mine"
    if script is not None:
        python.write_text(f"#!/bin/sh\n{script}\n")
        python.chmod(0o755)
    told = subprocess.run(
        [ROOT / "scripts" / "set-up.sh", python, "run"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert told.returncode == 1
    assert said in told.stderr
    assert not (tmp_path / ".venv").exists()
