"""Ending what was started."""

import asyncio
from collections.abc import Awaitable, Iterable


async def close_all(closing: Iterable[Awaitable[None]]) -> None:
    """Close everything at the same time: each may take seconds to let its threads end. One that fails keeps none of the
    others from it; the first failure is raised when all have ended."""
    for end in await asyncio.gather(*closing, return_exceptions=True):
        if end is not None:
            raise end
