"""The length of Opus packets, against the tables of RFC 6716."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import DeviceFault, ErrorCode
from gateway.wire import opus
from tests.vectors import load, named


@pytest.mark.parametrize("row", load("opus", "packets"), ids=named)
def test_a_packet_tells_its_length(row: Any) -> None:
    for rate, samples in row["samples"].items():
        assert opus.samples(bytes.fromhex(row["hex"]), int(rate)) == samples


@pytest.mark.parametrize("row", load("opus", "rejected"), ids=named)
def test_a_malformed_packet_is_a_bad_frame(row: Any) -> None:
    with pytest.raises(DeviceFault) as caught:
        opus.samples(bytes.fromhex(row["hex"]), 16000)
    assert caught.value.code is ErrorCode.BAD_FRAME


@given(st.binary(max_size=8))
def test_no_packet_is_longer_than_120_ms(packet: bytes) -> None:
    with suppress(DeviceFault):
        assert 0 < opus.samples(packet, 48000) <= 5760
