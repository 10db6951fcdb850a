"""What several tests of stores need."""

import asyncio
import itertools

from asyncml.stores.memory import MemoryStore

KEYS = [f"train/{i:05}-{i % 10}.png" for i in range(100)]


def memory(keys=KEYS):
    return MemoryStore({key: key.encode() for key in keys})


async def elapsed(coroutine):
    """How long a coroutine takes by the clock of its loop, whatever becomes of it."""
    clock = asyncio.get_running_loop().time
    start = clock()
    await asyncio.gather(coroutine, return_exceptions=True)
    return round(clock() - start, 9)


def check_rate(times, per_second, burst):
    """In no window, whatever its ends, did more leave than the bucket allows."""
    for (i, start), (j, end) in itertools.combinations_with_replacement(enumerate(times), 2):
        assert j - i + 1 <= burst + per_second * (end - start) + 1e-6
