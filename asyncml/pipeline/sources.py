"""The start of a pipeline: an iterable, an async iterable, or a function that returns one.

A source gives keys: small, quick to produce, and skipped when a run is resumed. Slow work belongs
in the first `map`.
"""

import asyncio
import contextlib
import inspect
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterator, Sequence
from functools import partial
from itertools import count, islice
from typing import Any, Final, Protocol, TypedDict

from asyncml.failures import is_end, noted, shorten
from asyncml.pipeline.engine import Above, Failure, Window
from asyncml.pipeline.meters import Meter
from asyncml.pipeline.stages import PAUSED, TURN, Flow, Mark, is_count

# how many items an asynchronous source may run ahead
SOURCE_AHEAD = 16
_METHODS = "__iter__", "__aiter__", "__getitem__"


class Identity(TypedDict):
    """What tells a changed source from the original: its length and its fingerprint, if any."""

    length: int | None
    fingerprint: str | int | None


UNKNOWN: Final[Identity] = {"length": None, "fingerprint": None}


def identify(items: Any) -> Identity:
    """Return the identity of a source; raise TypeError for a fingerprint that JSON cannot hold."""
    length = None
    if hasattr(type(items), "__len__"):
        with contextlib.suppress(Exception):  # it has none after all, or one that is too large
            length = len(items)
    fingerprint = getattr(items, "fingerprint", None)
    if callable(fingerprint):
        fingerprint = fingerprint()
    if not isinstance(fingerprint, str | int | None):
        raise TypeError(
            f"the `fingerprint` of a source must be a str or an int, got {shorten(fingerprint)}"
        )
    return {"length": length, "fingerprint": fingerprint}


def check_same(before: Identity, now: Identity) -> None:
    """Raise ValueError if a source is known to differ from that of a saved state."""
    for what in ("length", "fingerprint"):
        old, new = before[what], now[what]
        if old is not None and new is not None and old != new:
            raise ValueError(
                f"`state` was saved over a source of another {what}, {shorten(old)}, and this one "
                f"has {shorten(new)}: items would come twice or never. Give the pipeline the "
                "source that it had, or begin anew without the state"
            )


class Opened(Above, Protocol):
    """A source in one epoch."""

    @property
    def tasks(self) -> set[asyncio.Task[Any]]:
        """The tasks that are still running."""

    def __iter__(self) -> Flow:
        """Yield its entries."""

    def close(self) -> None:
        """Stop at once; the tasks end at their next turn on the loop."""

    def raise_failure(self) -> None:
        """Raise any error from the clean-up, once no task is left."""


class Joint(Opened, Protocol):
    """A source made of pipelines, which itself records its position and resumes from it.

    Its marks begin with the number of the item. It has no keys to skip, since skipping would run
    the functions of its pipelines again.
    """

    async def resume(self, number: int, part: Any, wanted: dict[int, Any]) -> dict[int, Any]:
        """Start before item `number`; return the items at the `wanted` addresses by number."""

    def room(self) -> None:
        """Let its pipelines run ahead."""

    def address(self, mark: Mark) -> Any:
        """Return which item of which pipeline a mark stands for."""

    def state(self, mark: Mark) -> Any:
        """Return the source's state after an item."""

    def meters(self) -> list[Meter]:
        """Return the meters of its pipelines."""


class Source:
    """The source of a pipeline; pipelines derived from one another share it."""

    is_joint = False  # whether it is made of pipelines
    reorders = False  # whether one of these has a stage that changes the order
    labels: Sequence[str] = ()  # what a state depends on, besides the stages

    def __init__(self, items: Any) -> None:
        kind = type(items)  # a class may have these methods, and is still called
        self._is_iterable = any(hasattr(kind, method) for method in _METHODS)
        if not self._is_iterable and not callable(items):
            raise TypeError(
                "`source` must be an iterable, an async iterable, or a function that returns "
                f"either, got {kind.__name__}"
            )
        self._takes_epoch = not self._is_iterable and _takes_epoch(items)
        self.items = items
        self._used: Any = None  # the last iterator that was opened

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_used": None}

    @property
    def identity(self) -> Identity:
        """What is known about it before it is opened."""
        return identify(self.items) if self._is_iterable else UNKNOWN

    async def open(self, meter: Meter, most: int | None, epoch: int) -> tuple[Opened, Any]:
        """Begin to iterate, for at most `most` items; return the open source and what it iterates.

        Raises:
            RuntimeError: the source can be iterated only once, and has been.
            TypeError: a function returned something that cannot be iterated.
        """
        items = self.items
        if not self._is_iterable:
            items = await self._call({"epoch": epoch} if self._takes_epoch else {})
        self._check_used(items)
        if isinstance(items, AsyncIterable):
            asynchronous = aiter(items)
            own = asynchronous is not self.items
            return AsyncSource(asynchronous, meter, most, own=own), items
        iterator = iter(items)
        return SyncSource(iterator, meter, most, own=iterator is not self.items), items

    def knows(self, address: Any) -> bool:
        """Return whether `address` can be the address of an item."""
        return is_count(address)

    def check(self, number: int, part: Any, wanted: dict[int, Any]) -> None:
        """Raise ValueError if `Joint.resume` could not be given these; a no-op here."""

    async def _call(self, arguments: dict[str, int]) -> Any:
        try:
            items = self.items(**arguments)
            if inspect.isawaitable(items):
                items = await items
        except (Exception, asyncio.CancelledError) as error:
            if is_end(error):
                raise
            raise noted("source", error, "in the source, as it was opened")  # noqa: B904  # as below
        kind = type(items)
        if not any(hasattr(kind, method) for method in _METHODS):
            raise TypeError(
                "`source` must return an iterable or an async iterable, "
                f"but it returned {kind.__name__}"
            )
        return items

    def _check_used(self, items: Any) -> None:
        if hasattr(items, "__next__") or hasattr(items, "__anext__"):
            if items is self._used:
                raise RuntimeError(
                    "the source can be iterated only once, and has been: "
                    "pass a function that makes it anew, such as Pipeline(lambda: read(path))"
                )
            self._used = items


def _takes_epoch(function: Callable[..., Any]) -> bool:
    """Return whether a source wants the epoch number; raise TypeError if it wants more."""
    try:
        signature = inspect.signature(function)
    except ValueError:  # some functions in C have none
        return False
    is_bound = isinstance(function, partial) and "epoch" in function.keywords  # by the caller
    takes = "epoch" in signature.parameters and not is_bound
    try:
        signature.bind(**{"epoch": 0} if takes else {})
    except TypeError as error:
        raise TypeError(f"`source` must take no arguments but `epoch`: {error}") from None
    return takes


class SyncSource:
    """Entries of an iterable, numbered; an iterator that was made here is closed with the epoch."""

    def __init__(self, items: Iterator[Any], meter: Meter, most: int | None, *, own: bool) -> None:
        self.tasks: set[asyncio.Task[None]] = set()
        self._items = items
        self._meter = meter
        self._most = most
        self._own = own
        self._loop = asyncio.get_running_loop()

    def __iter__(self) -> Flow:
        meter, numbered = self._meter, zip(islice(self._items, self._most), count())
        try:
            for turn in count(TURN, TURN):
                for entry in islice(numbered, TURN):
                    meter.items += 1
                    yield entry
                if meter.items < turn:
                    return
                yield PAUSED
        except (Exception, asyncio.CancelledError) as error:
            where = f"in the source, after {self._meter.items} items"
            raise noted("source", error, where)  # noqa: B904  # this error, or one that names it

    def notify(self, callback: Callable[[], None]) -> None:
        """Call `callback` at the loop's next turn: something is always ready."""
        self._loop.call_soon(callback)

    def halt(self) -> None:
        """Do nothing: this source does not run ahead."""

    def raise_failure(self) -> None:
        """Do nothing: `close` has raised any error."""

    def close(self) -> None:
        """Close the iterator, if it was made here and can be closed, as a generator can."""
        items, self._items = self._items, iter(())
        if self._own and hasattr(items, "close"):
            if getattr(items, "gi_running", False):  # the source itself is ending the epoch
                self._loop.call_soon(items.close)
            else:
                items.close()


class AsyncSource(Window):
    """Entries of an asynchronous iterator, numbered; it is asked for a few items ahead.

    The task that asks for items also closes the iterator at the end.
    """

    def __init__(
        self, items: AsyncIterator[Any], meter: Meter, most: int | None, *, own: bool
    ) -> None:
        super().__init__(meter)
        self._items = items
        self._most = most
        self._own = own
        self._closes = False
        self._failure: Exception | None = None  # of the clean-up, not raised yet
        self._room: asyncio.Future[None] | None = None

    def room(self) -> None:
        """Start asking for items, or continue."""
        if not self.tasks:
            self.start(self._pump(), "source")
        if self._room and not self._room.done():
            self._room.set_result(None)

    async def _pump(self) -> None:
        try:
            await self._ask()
        finally:
            self._closes = True
            if self._own and hasattr(self._items, "aclose"):
                try:
                    await self._items.aclose()
                except Exception as error:
                    self._failure = noted("source", error, "in the source, as it was closed")

    async def _ask(self) -> None:
        time, meter = self.loop.time, self.meter
        while not (self.ended or self.closed):
            if self.taken == self._most:  # do not ask for one more item than needed
                self.ended = True
                self.tell()
                return
            begun = time()
            try:
                value = await anext(self._items)
            except StopAsyncIteration:
                self.ended = True
                self.tell()
            except (Exception, asyncio.CancelledError) as error:
                if is_end(error):
                    raise
                self.ended = True
                failure = noted("source", error, f"in the source, after {self.taken} items")
                if self.closed:
                    self._failure = failure
                else:
                    self.put(self.taken, Failure(failure))
                del failure
            else:
                meter.served_items += 1
                self.put(self.taken, (value, self.taken))
                self.taken += 1
            meter.busy_s += time() - begun
            while self.taken - self.head >= SOURCE_AHEAD and not self.closed:
                self._room = self.loop.create_future()
                await self._room

    def halt(self) -> None:
        """Ask for no more items."""
        self.ended = True

    def raise_failure(self) -> None:
        """Raise any error from closing the iterator."""
        if self._failure is not None:
            raise self._failure

    def close(self) -> None:
        """Stop at once; the task closes the iterator."""
        idle = not self.closed and not self.tasks and not self.loop.is_closed()
        if self._closes:  # a cancellation would interrupt the closing
            self.closed = True
            self.results.clear()
            return
        super().close()
        if idle:
            self.ended = True
            self.start(self._pump(), "source")
