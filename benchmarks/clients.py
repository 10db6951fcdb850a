"""Clients of a batcher in a closed loop: each sends its next request when the last is answered."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

CLIENTS, BATCH = 256, 64
SMALL, LARGE = [784, 128, 10], [784, 1024, 1024, 10]
Ask = Callable[[Any], Awaitable[Any]]


async def clients(ask: Ask, data: Sequence[Any]) -> float:
    """Return the seconds per request with `CLIENTS` clients."""
    left = iter(data)

    async def client() -> None:
        for x in left:
            await ask(x)

    begun = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(CLIENTS)))
    return (time.perf_counter() - begun) / len(data)


async def floor(count: int) -> float:
    """Return the seconds per request if each is answered in the next turn of the loop."""
    loop, waiting = asyncio.get_running_loop(), list[asyncio.Future[None]]()

    def answer() -> None:
        for future in waiting:
            future.set_result(None)
        waiting.clear()

    async def ask(x: object) -> None:
        if not waiting:
            loop.call_soon(answer)
        waiting.append(future := loop.create_future())
        await future

    return await clients(ask, range(count))
