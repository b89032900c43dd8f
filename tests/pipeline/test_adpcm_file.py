"""The quick decoder of ADPCM gives what the plain one gives, sample for sample."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import DeviceFault
from gateway.pipeline.adpcm_file import decode_blocks
from gateway.wire import adpcm

blocks_of_any_size = st.builds(
    lambda predictor, index, nibbles: struct.pack("<hBB", predictor, index, 0) + nibbles,
    st.integers(-32768, 32767),
    st.integers(0, 88),
    st.binary(max_size=40),
)


@given(st.lists(st.lists(blocks_of_any_size, min_size=1, max_size=2).map(lambda some: some * 2), max_size=6))
def test_it_decodes_as_the_plain_decoder_does(runs: list[list[bytes]]) -> None:
    blocks = [block for run in runs for block in run]
    decoded = [samples.tolist() for samples in decode_blocks(blocks)]
    assert decoded == [adpcm.decode(block).tolist() for block in blocks]


@pytest.mark.parametrize("size", [4, 5, 2052, 0x7000, 0x7001, 200_000])
def test_blocks_may_be_small_and_large(size: int) -> None:
    blocks = [struct.pack("<hBB", -5, index, 0) + bytes(at % 251 for at in range(size - 4)) for index in (0, 88)]
    for block, samples in zip(blocks, decode_blocks(blocks), strict=True):
        assert samples.tolist() == adpcm.decode(block).tolist()


@pytest.mark.parametrize("header", [b"\x00\x00\x59\x00", b"\x00\x00\x00\x01"])
def test_a_header_out_of_its_range_is_refused(header: bytes) -> None:
    with pytest.raises(DeviceFault):
        decode_blocks([bytes(8), header + bytes(4)])
