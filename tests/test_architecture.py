"""Imports point down only, and what is meant to be pure is."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

LAYERS = (
    ("values", "errors", "audio", "limits", "personality"),
    ("events", "settings"),
    ("wire",),
    ("broker", "engines", "store"),
    ("pipeline", "provisioning"),
    ("session", "reports", "device"),
    ("sessions", "simulator"),
    ("recipients", "personalities"),
    ("operations", "discovery_setup"),
    ("requests", "web"),
    ("app",),
    ("serving",),
    ("cli",),
)
"""The parts of the gateway from the bottom up. A part imports itself and what lies lower, nothing beside or above."""

SETTINGS = ("config", "settings_values", "settings_sources", "settings_reference")

PURE = (
    "values", "errors", "audio", "limits", "events", "personality",
    "wire.adpcm", "wire.announcements", "wire.forms", "wire.frame", "wire.messages", "wire.opus", "wire.topics",
    "pipeline.assemble", "pipeline.endpoint", "pipeline.following", "pipeline.framed", "pipeline.raw",
    "pipeline.sentences", "pipeline.silence", "pipeline.steps", "pipeline.wav",
    "provisioning.board", "provisioning.certificates", "provisioning.logins", "provisioning.password_file",
    "reports.home_assistant", "reports.home_assistant_names", "reports.live", "reports.stats",
    "device.mpeg", "device.playback", "engines.choice", "engines.encoder",
    "session.announcements", "simulator.plan",
    "web.shown",
)  # fmt: skip
"""They do no input or output and read no clock: times are passed in."""

IMPURE = {
    "aiomqtt", "amqtt", "asyncio", "concurrent", "ctypes", "httpx", "httpx2", "io", "logging", "openai", "os", "paho",
    "pathlib", "peewee", "random", "secrets", "shutil", "socket", "sqlite3", "ssl", "subprocess", "sys", "tempfile",
    "threading", "time", "urllib",
}  # fmt: skip
CLOCKS_AND_FILES = {"now", "utcnow", "today", "open", "print", "input"}


def modules() -> dict[str, ast.Module]:
    """Every module of the gateway by its name within it (`wire.frame`), read and not run."""
    found = {}
    for path in sorted((ROOT / "gateway").rglob("*.py")):
        parts = path.relative_to(ROOT / "gateway").with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = ast.parse(path.read_text(encoding="utf-8"))
    return found


MODULES = modules()


def imports(tree: ast.Module) -> Iterator[str]:
    """Every module that `tree` imports anywhere, for types too; `from a import b` is both `a` and `a.b`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield str(node.module)
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def own_imports(name: str) -> set[str]:
    """The modules of the gateway that the module `name` imports."""
    wanted = {
        imported.removeprefix("gateway.") for imported in imports(MODULES[name]) if imported.startswith("gateway.")
    }
    return {imported for imported in wanted if imported in MODULES}


def part_of(module: str) -> str:
    top = module.partition(".")[0]
    return "settings" if top in SETTINGS else top


def test_every_part_has_a_place() -> None:
    places = {part for layer in LAYERS for part in layer}
    assert {part_of(name) for name in MODULES if name} == places


@pytest.mark.parametrize("name", [name for name in MODULES if name])
def test_imports_point_down(name: str) -> None:
    height = {part: level for level, layer in enumerate(LAYERS) for part in layer}
    own = part_of(name)
    wrong = {
        imported
        for imported in own_imports(name)
        if part_of(imported) != own and height[part_of(imported)] >= height[own]
    }
    assert not wrong, f"gateway.{name} imports what lies beside or above it"


@pytest.mark.parametrize("name", [name for name in MODULES if name.startswith("pipeline")])
def test_the_pipeline_knows_the_broker_by_its_protocol_only(name: str) -> None:
    assert {imported for imported in own_imports(name) if imported.startswith("broker")} <= {
        "broker",
        "broker.protocol",
    }


@pytest.mark.parametrize("name", [name for name in MODULES if not name.startswith("engines")])
def test_engines_are_reached_through_the_catalog_only(name: str) -> None:
    plugged = ("engines.stt", "engines.llm", "engines.tts", "engines.tools.")
    found = {imported for imported in own_imports(name) if imported.startswith(plugged)}
    assert found <= {"engines.tools.protocol"}


def test_time_limits_do_not_swallow_cancellations() -> None:
    """On Python 3.11 `asyncio.wait_for` does when its result comes at the same moment; `asyncio.timeout` does not."""
    files = [*(ROOT / "gateway").rglob("*.py"), *(ROOT / "benchmarks").rglob("*.py")]
    assert not [path for path in files if "asyncio.wait_for(" in path.read_text(encoding="utf-8")]


def test_every_task_has_a_name() -> None:
    """For whoever looks at a gateway that hangs."""
    nameless = [
        f"{name}:{node.lineno}"
        for name, tree in MODULES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in ("create_task", "ensure_future")
        and "name" not in {keyword.arg for keyword in node.keywords}
    ]
    assert not nameless


@pytest.mark.parametrize("name", PURE)
def test_pure_modules_do_no_input_or_output_and_read_no_clock(name: str) -> None:
    tree = MODULES[name]
    assert not {imported.partition(".")[0] for imported in imports(tree)} & IMPURE
    called = {
        node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
    }
    assert not called & CLOCKS_AND_FILES


@pytest.mark.parametrize("name", PURE)
def test_pure_modules_import_pure_modules(name: str) -> None:
    packages = {"wire", "pipeline", "provisioning", "reports", "device", "engines", "store"}
    values_of_others = {"engines.circuit"}
    assert own_imports(name) <= {*PURE, *packages, *values_of_others}
