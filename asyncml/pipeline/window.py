"""Where entries wait between the stages of a pipeline: a window that restores their order.

Results stand in the window until the consumer takes all that are ready at once; who finds nothing
ready asks to be called back, and so there is no queue and no wake-up an item. A source is the first
of these places. Lesson 07 builds such a window.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from asyncml.pipeline.functions import DROPPED
from asyncml.pipeline.meters import Meter
from asyncml.pipeline.stages import PENDING, Entry, Flow


class Ready(Protocol):
    """What a chain of stages waits for when it has nothing ready."""

    def notify(self, callback: Callable[[], None]) -> None:
        """Call back once, as soon as it is worth asking again."""


class Above(Ready, Protocol):
    """The stage further up that runs ahead, or the source."""

    def halt(self) -> None:
        """Take in no more: nobody will ask again."""


class Failure:
    """An error that stands in the window where its item would."""

    __slots__ = ("error",)

    def __init__(self, error: BaseException) -> None:
        self.error = error


class Window:
    """Results in the order in which they are to leave, and who waits for the next of them."""

    # An item gets a ticket when it is taken in: `taken` counts them, and `head` is the ticket that
    # leaves next, so `taken - head` items are ahead of the consumer. Results arrive in any order in
    # a dict; the consumer takes them from the head on, as many as there are, in one go. There are
    # two ways to wait, and neither costs anything while nobody waits. A consumer that finds nothing
    # at the head leaves a callback, and whoever places that result calls it. Workers that find the
    # window full set `is_full`, and whoever takes a result away calls `room`. So both sides call
    # into the window, and the window calls one of them back only where it stood still.

    def __init__(self, meter: Meter) -> None:
        self.loop = asyncio.get_running_loop()
        self.meter = meter
        self.tasks: set[asyncio.Task[None]] = set()
        self.results: dict[int, Any] = {}
        self.head = 0  # the ticket that leaves next
        self.taken = 0  # the ticket of the item that comes in next
        self.is_full = True  # whether whoever fills it waits for room, as before the beginning
        self.ended = False
        self.closed = False
        self._broken: BaseException | None = None
        self._callback: Callable[[], None] | None = None

    def __iter__(self) -> Flow:
        results, meter = self.results, self.meter
        self.room()
        while True:
            entry = results.pop(self.head, None)
            if entry.__class__ is tuple:
                self.head += 1
                if self.is_full:
                    self.room()
                meter.items += 1
                meter.queued += len(results)
                yield entry
            elif entry is DROPPED:
                self.head += 1
                if self.is_full:
                    self.room()
            elif entry is not None:
                results[self.head] = entry  # or a stage below that pauses first would wait for ever
                try:
                    raise entry.error
                finally:
                    del entry  # the error's traceback holds this frame, which must not hold it
            elif self._broken is not None:
                raise self._broken
            elif self.ended and self.head == self.taken:
                return
            else:
                yield PENDING

    def drain(self, most: int) -> list[Entry]:
        """Return up to `most` entries that are ready: one call for all of them, to save time."""
        results, entries = self.results, list[Entry]()
        waiting = len(results)
        for ticket in range(self.head, self.head + most):
            entry = results.pop(ticket, None)
            if entry.__class__ is not tuple:
                if entry is not None:
                    results[ticket] = entry
                break
            entries.append(entry)
        if taken := len(entries):
            self.head += taken
            if self.is_full:
                self.room()
            self.meter.items += taken
            # one by one there would have been waiting - 1, waiting - 2, ... behind each
            self.meter.queued += taken * waiting - taken * (taken + 1) // 2
        return entries

    def notify(self, callback: Callable[[], None]) -> None:
        """Call back once, when the next result is there or none will come."""
        over = self.ended and self.head == self.taken
        if self.head in self.results or over or self._broken is not None:
            self.loop.call_soon(callback)
        else:
            self._callback = callback

    def room(self) -> None:
        """Take note that an item has left a full window; `Work` overrides this."""

    def put(self, ticket: int, entry: Any) -> None:
        """Place a result; tell who waits if it is the next to leave."""
        self.results[ticket] = entry
        if ticket == self.head:
            self.tell()

    def tell(self) -> None:
        """Call back whoever waits."""
        if callback := self._callback:
            self._callback = None
            callback()

    def start(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Run a coroutine until it ends or the window is closed."""
        task = self.loop.create_task(work, name=name)
        self.tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        if (
            error is not None and not self.closed
        ):  # cancelled from outside: who waits must not wait for ever
            self._broken = error
            self.close()
            self.tell()

    def close(self) -> None:
        """Stop at once; the tasks end when they next have their turn."""
        if self.closed:  # a second cancellation would interrupt the clean-up of the first
            return
        self.closed = True
        if self._broken is None:  # else what came before has yet to leave
            self.results.clear()
        if not self.loop.is_closed():
            for task in self.tasks:
                task.cancel()
