"""Where bytes live: objects under keys, in memory, or in a bucket that is far away and fails.

Waiting for such a bucket is what asynchronous data loading hides. `SlowStore` makes that wait
repeatable: the delay of a request depends on seed, key and attempt and on nothing else, so a
program meets the same bucket whatever it asks for at once. Lesson 07 loads from it.
"""

import asyncio
import bisect
import hashlib
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol, TypeAlias, TypeVar, runtime_checkable

from asyncml.failures import shorten

T = TypeVar("T")
Keys: TypeAlias = list[str]  # inside the classes below, `list` is a method


class ObjectNotFound(KeyError):
    """No object has the key that was asked for."""

    def __str__(self) -> str:
        return str(self.args[0])  # a KeyError shows its message as a repr


class RequestFailed(ConnectionError):
    """A request that was lost on its way: the object may well exist, ask again."""


class StoredObject(bytes):
    """The bytes of an object, which know their key: an error far from the store can name it.

    Args:
        data: the bytes.
        key: where the store keeps them.

    Example:
        >>> StoredObject(b"abc", key="letters").key
        'letters'
    """

    key: str

    def __new__(cls, data: bytes, key: str = "") -> "StoredObject":
        """Copy `data`; pickling calls this without `key` and sets it afterwards."""
        self = super().__new__(cls, data)
        self.key = key
        return self


@runtime_checkable
class Store(Protocol):
    """What every store can do; any object with these three coroutine methods is one."""

    async def get(self, key: str, /) -> bytes:
        """Return the object under `key`; raise `KeyError` if there is none."""
        ...

    async def put(self, key: str, data: bytes, /) -> None:
        """Keep `data` under `key`, in place of what was there."""
        ...

    async def list(self, prefix: str, /) -> Keys:
        """Return the keys that start with `prefix`, sorted."""
        ...


class MemoryStore:
    """A store in a dict: nothing waits, nothing fails, nothing outlives the process.

    Args:
        objects: what the store holds at the beginning, bytes by key.

    Example:
        >>> store = MemoryStore({"a/1": b"one", "a/2": b"two", "b/1": b"three"})
        >>> asyncio.run(store.list("a/"))
        ['a/1', 'a/2']
    """

    def __init__(self, objects: Mapping[str, bytes] | None = None) -> None:
        self._objects: dict[str, StoredObject] = {}
        self._sorted: Keys | None = []  # the keys in order; None once a new key has been put
        for key, data in () if objects is None else objects.items():
            self._keep(key, data)

    def __len__(self) -> int:
        return len(self._objects)

    def __repr__(self) -> str:
        return f"<MemoryStore: {len(self):,} object{'s' * (len(self) != 1)}>"

    async def get(self, key: str) -> bytes:
        """Return the object under `key`.

        Raises:
            ObjectNotFound: there is none; the message names the nearest key.
        """
        try:
            return self._objects[key]
        except (KeyError, TypeError):  # TypeError: what cannot be hashed is no key either
            raise ObjectNotFound(self._missing(key)) from None

    async def put(self, key: str, data: bytes) -> None:
        """Keep a copy of `data` under `key`, in place of what was there.

        Raises:
            ValueError: `key` is empty.
            TypeError: `key` is no str, or `data` is not bytes.
        """
        self._keep(key, data)

    async def list(self, prefix: str = "") -> Keys:
        """Return the keys that start with `prefix`, sorted."""
        keys = self._in_order()
        start = bisect.bisect_left(keys, prefix)
        stop = start
        while stop < len(keys) and keys[stop].startswith(prefix):
            stop += 1
        return keys[start:stop]

    def _keep(self, key: str, data: bytes) -> None:
        if not isinstance(key, str):
            raise TypeError(f"`key` must be a str, got {type(key).__name__}")
        if not key:
            raise ValueError("`key` must not be empty")
        data = check_data(key, data)
        if key not in self._objects:
            self._sorted = None
        self._objects[key] = StoredObject(data, key=key)

    def _in_order(self) -> Keys:
        if self._sorted is None:
            self._sorted = sorted(self._objects)
        return self._sorted

    def _missing(self, key: str) -> str:
        keys = self._in_order()
        name = repr(key) if type(key) is str else shorten(key)
        if not keys:
            return f"no object {name}: this MemoryStore is empty"
        text = key if isinstance(key, str) else name
        place = bisect.bisect_left(keys, text)
        neighbours = keys[max(place - 1, 0) : place + 1]
        shared = [_shared(neighbour, text) for neighbour in neighbours]
        nearest = neighbours[shared.index(max(shared))]
        return f"no object {name} among the {len(keys):,} here; the nearest is {nearest!r}"


class SlowStore:
    """A far-away bucket: another store behind a delay that varies and requests that fail.

    A request takes `latency_s * (1 + jitter * u)` with u uniform in [-1, 1), then fails with
    probability `failure_rate`. Both are drawn from (seed, operation, key, attempt), where attempt
    counts the requests for that key: what else is in flight changes nothing, a retry draws anew.
    The delay is `asyncio.sleep`, so under `simulate` it passes in virtual time.

    Args:
        store: the store behind it.
        latency_s: mean time of a request, in seconds, at least 0.
        jitter: how far the time varies, relative to `latency_s`, from 0 to 1.
        failure_rate: probability that a request raises `RequestFailed`, from 0 to 1.
        seed: another seed is another bucket.

    Attributes:
        requests: requests made so far, whatever became of them.
        failures: how many of them raised `RequestFailed`.
        in_flight: requests that wait at this moment.
        peak_in_flight: the most that ever waited at once.

    Raises:
        TypeError: `store` is no store.
        ValueError: a number is out of its range.

    Example:
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
        """Return the object under `key`, late.

        Cancelled here, the request is no longer in flight; its attempt still counts.

        Raises:
            ObjectNotFound: the store behind holds no such object.
            RequestFailed: the request was lost.
        """
        return await self._request("get", key, lambda: self.store.get(key))

    async def put(self, key: str, data: bytes) -> None:
        """Keep `data` under `key`, late; a copy, so a buffer may be filled anew meanwhile.

        Cancelled here, or failed, the store behind has not been asked to keep anything.

        Raises:
            TypeError: `data` is not bytes.
            RequestFailed: the request was lost.
        """
        data = check_data(key, data)
        await self._request("put", key, lambda: self.store.put(key, data))

    async def list(self, prefix: str = "") -> Keys:
        """Return the keys that start with `prefix`, sorted, late: one request for all of them.

        Raises:
            RequestFailed: the request was lost.
        """
        return await self._request("list", prefix, lambda: self.store.list(prefix))

    async def _request(self, operation: str, key: str, ask: Callable[[], Awaitable[T]]) -> T:
        self._attempts[operation, key] += 1
        attempt = self._attempts[operation, key]
        delay, luck = _draw(f"{self.seed}/{operation}/{attempt}/{key}")
        self.requests += 1
        self.in_flight += 1
        self.peak_in_flight = max(self.peak_in_flight, self.in_flight)
        try:
            await asyncio.sleep(self.latency_s * (1 + self.jitter * (2 * delay - 1)))
            if luck < self.failure_rate:
                self.failures += 1
                raise RequestFailed(
                    f"{operation} {key!r} failed at attempt {attempt}: this store loses "
                    f"{self.failure_rate:.1%} of its requests; ask again, e.g. map(..., retries=3)"
                )
            return await ask()
        finally:
            self.in_flight -= 1


def check_store(store: object) -> None:
    """Raise TypeError unless `store` has the three methods of a store."""
    if isinstance(store, type) or not isinstance(store, Store):
        got = f"the class {store.__name__}" if isinstance(store, type) else type(store).__name__
        raise TypeError(
            f"`store` must have the coroutine methods get, put and list, got {got}; "
            "the simplest store is MemoryStore()"
        )


def check_data(key: str, data: object) -> bytes:
    """Return `data` as bytes that nobody can change, or raise TypeError for what is not bytes."""
    if isinstance(data, bytearray | memoryview):
        return bytes(data)
    if not isinstance(data, bytes):
        raise TypeError(f"`data` must be bytes, got {type(data).__name__} for key {key!r}")
    return data


def _shared(one: str, other: str) -> int:
    """Return with how many equal characters both begin."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((place for place, (a, b) in pairs if a != b), min(len(one), len(other)))


def _draw(name: str) -> tuple[float, float]:
    """Two numbers in [0, 1) that depend on `name` alone, on every machine and in every process."""
    digest = hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=16).digest()
    return (
        int.from_bytes(digest[:8], "big") / 2**64,
        int.from_bytes(digest[8:], "big") / 2**64,
    )
