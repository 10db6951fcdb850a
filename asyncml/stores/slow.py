"""A far-away bucket: its requests take time, and some of them fail.

Asynchronous data loading hides the wait for such a bucket. `SlowStore` makes the wait repeatable:
how long a request takes depends only on the seed, the key and the attempt, so a program always
meets the same bucket. Lesson 07 loads from it.
"""

import asyncio
import hashlib
import struct
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import TypeVar

from asyncml.stores.memory import Keys, RequestFailed, Store, check_data, check_store

T = TypeVar("T")


class SlowStore:
    """A far-away bucket: another store behind a delay that varies, with requests that fail.

    A request takes `latency_s * (1 + jitter * u)` seconds, with u uniform in [-1, 1), and then
    fails with probability `failure_rate`. Both are drawn from (seed, operation, key, attempt),
    where `attempt` counts the requests for that key. So other requests in flight make no
    difference, and a retry draws again. The delay is an `asyncio.sleep`; under `simulate` it passes
    in virtual time.

    Args:
        store: the underlying store.
        latency_s: the mean time of a request, in seconds, at least 0.
        jitter: how far that time varies, relative to `latency_s`, from 0 to 1.
        failure_rate: the probability that a request raises `RequestFailed`, from 0 to 1.
        seed: each seed gives a different bucket.

    Attributes:
        requests: the number of requests made so far, whatever their outcome.
        failures: how many of them raised `RequestFailed`.
        in_flight: the number of requests that are waiting now.
        peak_in_flight: the most requests that were ever waiting at once.

    Raises:
        TypeError: `store` is not a store.
        ValueError: a number is out of its range.

    Example:
        >>> from asyncml.stores.memory import MemoryStore
        >>> store = SlowStore(MemoryStore({"a": b"one"}), latency_s=0.001)
        >>> asyncio.run(store.get("a")), store.requests, store.in_flight
        (b'one', 1, 0)
    """

    def __init__(
        self,
        store: Store,
        latency_s: float = 0.02,
        jitter: float = 0.2,
        failure_rate: float = 0.0,
        seed: int = 0,
    ) -> None:
        check_store(store)
        if not 0 <= latency_s < float("inf"):
            raise ValueError(f"`latency_s` must be finite seconds >= 0, got {latency_s}")
        for name, share in (("jitter", jitter), ("failure_rate", failure_rate)):
            if not 0 <= share <= 1:
                raise ValueError(f"`{name}` must be between 0 and 1, got {share}")
        self.store = store
        self.latency_s = latency_s
        self.jitter = jitter
        self.failure_rate = failure_rate
        self.seed = seed
        self.requests = self.failures = self.in_flight = self.peak_in_flight = 0
        self._attempts: Counter[tuple[str, str]] = Counter()

    def __repr__(self) -> str:
        return (
            f"SlowStore({self.store!r}, latency_s={self.latency_s}, jitter={self.jitter}, "
            f"failure_rate={self.failure_rate}, seed={self.seed})"
        )

    async def get(self, key: str) -> bytes:
        """Return the object under `key`, after a delay.

        If this is cancelled, the request is no longer in flight, but still counts as an attempt.

        Args:
            key: the name of the object, a str that is not empty.

        Raises:
            ObjectNotFound: the store behind holds no such object.
            RequestFailed: the request was lost.
        """
        return await self._request("get", key, lambda: self.store.get(key))

    async def put(self, key: str, data: bytes) -> None:
        """Store a copy of `data` under `key`, after a delay; a buffer may be reused meanwhile.

        If this fails, or is cancelled during the delay, the underlying store is not called.

        Args:
            key: the name of the object, a non-empty str.
            data: the bytes; a bytearray or memoryview is copied at once.

        Raises:
            TypeError: `data` is not bytes.
            RequestFailed: the request was lost.
        """
        data = check_data(key, data)
        await self._request("put", key, lambda: self.store.put(key, data))

    async def list(self, prefix: str = "") -> Keys:
        """Return the keys that start with `prefix`, sorted, after a delay, as one request.

        Args:
            prefix: the start of the keys; `""` for all of them.

        Raises:
            RequestFailed: the request was lost.
        """
        return await self._request("list", prefix, lambda: self.store.list(prefix))

    async def _request(self, operation: str, key: str, ask: Callable[[], Awaitable[T]]) -> T:
        self._attempts[operation, key] += 1
        attempt = self._attempts[operation, key]
        slowness, luck = _draw(f"{self.seed}/{operation}/{attempt}/{key}")
        self.requests += 1
        self.in_flight += 1
        self.peak_in_flight = max(self.peak_in_flight, self.in_flight)
        try:
            await asyncio.sleep(self.latency_s * (1 + self.jitter * (2 * slowness - 1)))
            if luck < self.failure_rate:
                self.failures += 1
                raise RequestFailed(
                    f"{operation} {key!r} failed at attempt {attempt}: this store loses "
                    f"{self.failure_rate:.1%} of its requests; ask again, e.g. map(..., retries=3)"
                )
            return await ask()
        finally:
            self.in_flight -= 1


def _draw(name: str) -> tuple[float, float]:
    """Return two numbers in [0, 1) that depend only on `name`, on any machine."""
    digest = hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=16).digest()
    slowness, luck = struct.unpack(">2Q", digest)
    return slowness / 2**64, luck / 2**64
