import asyncio

import numpy as np

from gateway.audio import Pcm
from gateway.engines.encoder import Mp3Encoder
from gateway.pipeline.encoder_stock import KINDS, READY, REFILL_AFTER_S, EncoderStock
from tests.fakes.virtual_time import in_virtual_time

TONE = Pcm((8000 * np.sin(np.arange(24_000) / 10)).astype(np.int16), 24_000)


def spoken(encoder: Mp3Encoder) -> bytes:
    return encoder.feed(TONE) + encoder.finish()


@in_virtual_time
async def test_one_that_was_made_ready_encodes_as_a_new_one_does() -> None:
    stock = EncoderStock()
    new = stock.take(24_000, 48)
    await asyncio.sleep(2 * REFILL_AFTER_S)
    assert spoken(stock.take(24_000, 48)) == spoken(new) == spoken(Mp3Encoder(24_000, 48))


@in_virtual_time
async def test_each_reply_gets_an_encoder_of_its_own_and_its_kind() -> None:
    stock = EncoderStock()
    taken = []
    for _ in range(3):
        taken += [stock.take(24_000, 48) for _ in range(2 * READY)]
        taken += [stock.take(16_000, kbps) for kbps in (8, 16, 24, 32)[:KINDS]]
        await asyncio.sleep(2 * REFILL_AFTER_S)
    assert len({id(encoder) for encoder in taken}) == len(taken)
    assert {(encoder.rate, encoder.bitrate_kbps) for encoder in taken[: 2 * READY]} == {(24_000, 48)}
    assert stock.take(16_000, 24).bitrate_kbps == 24
