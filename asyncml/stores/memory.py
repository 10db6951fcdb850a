"""What a store is, bytes under keys, and the simplest one: a dict in memory.

Any object with the three methods of `Store` is a store, so all code that reads from one can read
from a folder, a far-away bucket or a store of your own. Lesson 07 loads from them.
"""

import bisect
from collections.abc import Mapping
from functools import cached_property
from itertools import islice, takewhile
from os.path import commonprefix
from typing import Protocol, TypeAlias, runtime_checkable

from asyncml.failures import shorten

Keys: TypeAlias = list[str]  # inside the classes below, `list` is a method


class ObjectNotFound(KeyError):
    """There is no object under the requested key."""

    def __str__(self) -> str:
        return str(self.args[0])  # a KeyError shows its message as a repr


class RequestFailed(ConnectionError):
    """A request was lost on its way. The object may well exist: ask again."""


class StoredObject(bytes):
    """The bytes of an object, with their key, so that an error far from the store can name it.

    Args:
        data: the bytes.
        key: the object's key in the store.

    Example:
        >>> StoredObject(b"abc", key="letters").key
        'letters'
    """

    key: str

    def __new__(cls, data: bytes, key: str = "") -> "StoredObject":
        """Copy `data`; unpickling calls this without `key` and sets it afterwards."""
        self = super().__new__(cls, data)
        self.key = key
        return self


@runtime_checkable
class Store(Protocol):
    """The methods of every store; any object with these three coroutine methods is a store."""

    async def get(self, key: str, /) -> bytes:
        """Return the object under `key`; raise `KeyError` if there is none.

        Args:
            key: the name of the object.
        """
        ...

    async def put(self, key: str, data: bytes, /) -> None:
        """Store `data` under `key`, replacing what was there.

        Args:
            key: the name of the object.
            data: its bytes.
        """
        ...

    async def list(self, prefix: str, /) -> Keys:
        """Return the keys that start with `prefix`, sorted.

        Args:
            prefix: the start of the keys; `""` for all of them.
        """
        ...


class MemoryStore:
    """A store in a dict: it never waits, never fails, and lasts as long as the process.

    Args:
        objects: the initial contents, bytes by key.

    Raises:
        TypeError: `objects` holds something other than bytes, or a key that is not a str.
        ValueError: a key is empty.

    Example:
        >>> import asyncio
        >>> store = MemoryStore({"a/1": b"one", "a/2": b"two", "b/1": b"three"})
        >>> asyncio.run(store.list("a/"))
        ['a/1', 'a/2']
    """

    def __init__(self, objects: Mapping[str, bytes] | None = None) -> None:
        self._objects: dict[str, StoredObject] = {}
        for key, data in () if objects is None else objects.items():
            self._keep(key, data)

    def __len__(self) -> int:
        return len(self._objects)

    def __repr__(self) -> str:
        return f"<MemoryStore: {len(self):,} object{'s' * (len(self) != 1)}>"

    async def get(self, key: str) -> bytes:
        """Return the object under `key`.

        Args:
            key: the name of the object, a non-empty str.

        Raises:
            ObjectNotFound: there is none; the message names the nearest key.
        """
        try:
            return self._objects[key]
        except (KeyError, TypeError):  # TypeError: an unhashable value is not a key either
            raise ObjectNotFound(self._missing(key)) from None

    async def put(self, key: str, data: bytes) -> None:
        """Store a copy of `data` under `key`, replacing what was there.

        Args:
            key: the name of the object, a non-empty str.
            data: the bytes; a bytearray or memoryview is copied.

        Raises:
            ValueError: `key` is empty.
            TypeError: `key` is not a str, or `data` is not bytes.
        """
        self._keep(key, data)

    async def list(self, prefix: str = "") -> Keys:
        """Return the keys that start with `prefix`, sorted.

        Args:
            prefix: the start of the keys; `""` for all of them.
        """
        rest = islice(self._keys, bisect.bisect_left(self._keys, prefix), None)
        return [*takewhile(lambda key: key.startswith(prefix), rest)]

    def _keep(self, key: str, data: bytes) -> None:
        if not isinstance(key, str):
            raise TypeError(f"`key` must be a str, got {type(key).__name__}")
        if not key:
            raise ValueError("`key` must not be empty")
        data = check_data(key, data)
        if key not in self._objects:
            vars(self).pop("_keys", None)  # sorted again at the next request for them
        self._objects[key] = StoredObject(data, key=key)

    @cached_property
    def _keys(self) -> Keys:
        return sorted(self._objects)

    def _missing(self, key: str) -> str:
        name = repr(key) if type(key) is str else shorten(key)
        if not self._keys:
            return f"no object {name}: this MemoryStore is empty"
        text = key if isinstance(key, str) else name
        place = bisect.bisect_left(self._keys, text)
        neighbours = self._keys[max(place - 1, 0) : place + 1]
        nearest = max(neighbours, key=lambda at: len(commonprefix([at, text])))  # noqa: RUF071
        return f"no object {name} among the {len(self):,} here; the nearest is {nearest!r}"


def check_store(store: object) -> None:
    """Raise TypeError unless `store` has the three methods of a store."""
    if isinstance(store, type) or not isinstance(store, Store):
        got = f"the class {store.__name__}" if isinstance(store, type) else type(store).__name__
        raise TypeError(
            f"`store` must have the coroutine methods get, put and list, got {got}; "
            "the simplest store is MemoryStore()"
        )


def check_data(key: str, data: object) -> bytes:
    """Return `data` as immutable bytes; raise TypeError if it is not bytes."""
    if isinstance(data, bytearray | memoryview):
        return bytes(data)
    if not isinstance(data, bytes):
        raise TypeError(f"`data` must be bytes, got {type(data).__name__} for key {key!r}")
    return data
