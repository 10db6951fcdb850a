"""A store that limits the rate of its requests to what a service allows.

A service that accepts 200 requests a second refuses any beyond that. Each refusal costs a round
trip and a pause, so it is quicker to wait here first. Lesson 07 meets such a service.
"""

import asyncio
import math

from asyncml.checks import check_int, check_number
from asyncml.clocks import is_virtual
from asyncml.stores.memory import Keys, Store, check_data, check_store


class RateLimited:
    """A store whose requests leave no faster than a given rate.

    The limit is a token bucket, the mirror image of the leaky bucket of J. Turner ("New Directions
    in Communications", IEEE Communications Magazine 24 (10), 1986). It holds up to `burst` tokens
    and gains `per_second` of them every second. Each request takes one token and waits while there
    is none, so at most `burst + per_second * t` requests leave in any t seconds. They leave in the
    order in which they were made. A request that is cancelled while it waits takes no token, and
    those behind it move up.

    Times are those of the running loop, so under `simulate` requests wait in virtual time. The
    store may be used on several event loops, one after another. In real time the next loop finds
    the bucket as the last one left it. In virtual time the bucket starts full; so does a copy's.

    Args:
        store: the underlying store. Its `get`, `put` and `list` all count as requests.
        per_second: the average number of requests that may leave per second, > 0.
        burst: how many may leave at once after a pause, at least 1.

    Raises:
        TypeError: `store` is not a store, or an argument is not a number.
        ValueError: a number is out of its range.

    Example:
        >>> from asyncml.clock import simulate
        >>> from asyncml.stores.memory import MemoryStore
        >>> async def main():
        ...     store = RateLimited(MemoryStore({"a": b"one"}), per_second=2, burst=1)
        ...     await asyncio.gather(*[store.get("a") for _ in range(4)])
        ...     return asyncio.get_running_loop().time()
        >>> simulate(main())
        1.5
    """

    def __init__(self, store: Store, per_second: float = 200, burst: int = 20) -> None:
        check_store(store)
        rule = "a finite number > 0"
        self.store = store
        self.per_second = check_number("per_second", per_second, rule)
        if not 0 < self.per_second < math.inf:
            raise ValueError(f"`per_second` must be {rule}, got {per_second}")
        self.burst = check_int("burst", burst)
        # The bucket was full at `_full_at`, and `_taken` tokens have been taken since. Counting
        # tokens keeps the times exact; adding up intervals would not.
        self._full_at, self._taken = -math.inf, 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._turn = asyncio.Lock()  # asyncio's locks are first come, first served

    def __repr__(self) -> str:
        return f"RateLimited({self.store!r}, per_second={self.per_second:g}, burst={self.burst})"

    def __reduce__(self) -> tuple[type["RateLimited"], tuple[Store, float, int]]:
        return type(self), (self.store, self.per_second, self.burst)

    async def get(self, key: str) -> bytes:
        """Return the object under `key`, requested as soon as there is a token.

        If this is cancelled while it waits, it gives up its place in the queue.

        Args:
            key: the name of the object, a non-empty str.

        Raises:
            RuntimeError: requests of another event loop are waiting at the same time.
            Exception: whatever the underlying store raises.
        """
        await self._leave()
        return await self.store.get(key)

    async def put(self, key: str, data: bytes) -> None:
        """Store a copy of `data` under `key`, sent as soon as there is a token.

        Args:
            key: the name of the object, a non-empty str.
            data: the bytes; a bytearray or memoryview is copied at once.

        Raises:
            TypeError: `data` is not bytes.
            Exception: whatever `get` raises.
        """
        data = check_data(key, data)
        await self._leave()
        await self.store.put(key, data)

    async def list(self, prefix: str = "") -> Keys:
        """Return the sorted keys that start with `prefix`; raises what `get` raises."""
        await self._leave()
        return await self.store.list(prefix)

    async def _leave(self) -> None:
        """Wait for a token, and take it."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._move_to(loop)
        # Only the head of the queue sleeps. If it is cancelled it releases the lock without taking
        # a token, and the next request sleeps for the rest of the same interval.
        async with self._turn:
            self._refill(loop.time())
            due = self._full_at + (self._taken + 1 - self.burst) / self.per_second
            if (pause_s := due - loop.time()) > 0:
                await asyncio.sleep(pause_s)
                self._refill(loop.time())  # a busy loop may have resumed this late
            self._taken += 1

    def _refill(self, now: float) -> None:
        """Start counting afresh if the bucket is full by now."""
        if now >= self._full_at + self._taken / self.per_second:
            self._full_at, self._taken = now, 0

    def _move_to(self, loop: asyncio.AbstractEventLoop) -> None:
        """Switch to another event loop, whose clock may be different."""
        before = self._loop
        if before is not None and before.is_running() and self._turn.locked():
            raise RuntimeError(
                "requests of another event loop are waiting in this RateLimited; "
                "wait until they are done, or make a RateLimited for each loop"
            )
        if before is None or is_virtual(before) or is_virtual(loop):
            self._full_at, self._taken = -math.inf, 0  # virtual clocks have nothing in common
        self._loop, self._turn = loop, asyncio.Lock()
