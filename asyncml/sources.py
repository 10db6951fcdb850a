"""The beginning of a pipeline: an iterable, an async iterable, or a function that returns one.

A source gives keys: small, quick to come by, and passed over when a run is resumed. What takes time
belongs into the first `map`.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from asyncml.meters import Meter
from asyncml.stages import PENDING, Flow
from asyncml.window import Failure, Window

# how many items a source gives before the loop's other tasks have their turn
TURN = 1024
# how far an asynchronous source may run ahead of what asks it
SOURCE_AHEAD = 16


class Source:
    """What a pipeline iterates; pipelines derived from one another share it."""

    def __init__(self, items: Any) -> None:
        kind = type(items)  # a class may have these methods, and is called all the same
        methods = "__iter__", "__aiter__", "__getitem__"
        self._is_iterable = any(hasattr(kind, method) for method in methods)
        if not self._is_iterable and not callable(items):
            raise TypeError(
                "`source` must be an iterable, an async iterable, or a function that returns "
                f"either, got {kind.__name__}"
            )
        self.items = items
        self._used: Any = None  # the last iterator that was opened

    def is_own(self, iterator: Any) -> bool:
        """Whether the caller made this very iterator."""
        return iterator is self.items

    def open(self) -> Any:
        """Return the items, or something to await that gives them.

        Raises:
            RuntimeError: the source can be iterated only once, and has been.
        """
        items = self.items if self._is_iterable else self.items()
        if hasattr(items, "__next__") or hasattr(items, "__anext__"):
            if items is self._used:
                raise RuntimeError(
                    "the source can be iterated only once, and has been: "
                    "pass a function that makes it anew, such as Pipeline(lambda: read(path))"
                )
            self._used = items
        return items


class SyncSource:
    """Entries of an iterable, numbered."""

    def __init__(self, items: Iterator[Any], meter: Meter) -> None:
        self._items = items
        self._meter = meter
        self._loop = asyncio.get_running_loop()

    def __iter__(self) -> Flow:
        for mark, value in enumerate(self._items):
            self._meter.items = mark + 1
            yield value, mark
            if not (mark + 1) % TURN:
                yield PENDING

    def notify(self, callback: Callable[[], None]) -> None:
        """Call back at the loop's next turn: it always has something."""
        self._loop.call_soon(callback)


class AsyncSource(Window):
    """Entries of an asynchronous iterator, numbered; it is asked a few items ahead."""

    def __init__(self, items: AsyncIterator[Any], meter: Meter) -> None:
        super().__init__(meter)
        self._items = items
        self._room: asyncio.Future[None] | None = None

    def room(self) -> None:
        """Start asking, or go on."""
        if not self.tasks:
            self.start(self._pump(), "source")
        if self._room and not self._room.done():
            self._room.set_result(None)

    async def _pump(self) -> None:
        time, meter = self.loop.time, self.meter
        while not self.ended:
            begun = time()
            try:
                value = await anext(self._items)
            except StopAsyncIteration:
                self.ended = True
                self.tell()
            except Exception as error:
                self.ended = True
                self.put(self.taken, Failure(error))
            else:
                meter.served_items += 1
                self.put(self.taken, (value, self.taken))
                self.taken += 1
            meter.busy_s += time() - begun
            while self.taken - self.head >= SOURCE_AHEAD:
                self._room = self.loop.create_future()
                await self._room
