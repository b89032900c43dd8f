"""One core for all that is compared, so that it does not matter which of them shares one with whom."""

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def one_core() -> Iterator[None]:
    """Keep this thread on one core, with every thread and process that it starts meanwhile, which stay there. Only
    Linux lets one choose; elsewhere nothing is done."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cores)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)
