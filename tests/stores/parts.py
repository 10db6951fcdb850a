"""What several tests of stores need."""

import asyncio

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
