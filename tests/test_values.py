"""Device ids: every spelling of one MAC is one session."""

from typing import Any

import pytest

from gateway.values import parse_device_id
from tests.vectors import load


@pytest.mark.parametrize("row", load("device_ids", "accepted"), ids=lambda row: row["spelling"])
def test_a_spelling_has_one_canonical_id(row: Any) -> None:
    assert parse_device_id(row["spelling"]) == row["id"]
    assert parse_device_id(row["id"]) == row["id"]


@pytest.mark.parametrize("row", load("device_ids", "refused"), ids=lambda row: row["why"])
def test_what_is_no_device_id(row: Any) -> None:
    with pytest.raises(ValueError, match="device id"):
        parse_device_id(row["spelling"])
