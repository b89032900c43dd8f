"""The golden vectors, as Python reads them."""

import json
from pathlib import Path
from typing import Any


def load(name: str, section: str) -> list[Any]:
    """Return the rows of one section of `<name>.json`."""
    rows: list[Any] = json.loads(Path(__file__).with_name(f"{name}.json").read_text(encoding="utf-8"))[section]
    return rows


def named(row: Any) -> str:
    """What pytest calls the test of `row`."""
    return str(row.get("name") or row.get("spelling") or row.get("why") or row)
