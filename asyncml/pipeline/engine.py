"""Run a stage that waits: a few workers, a window of results, and no task per item.

`concurrency` workers share one iterator. A worker that takes an item wakes the next worker, so only
as many run as the work keeps busy. Their results enter a window, which restores the order; the
consumer takes everything that is ready in one go. If nothing is ready it leaves a callback, so
there is no queue and no wake-up per item. `lookahead` bounds how far the workers run ahead of what
has left the window: `_intake` hands out no more items than that. An asynchronous source is another
such window. Lesson 07 builds this engine.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from functools import partial
from itertools import chain
from typing import Any, Protocol

from asyncml.failures import is_end, ordinary
from asyncml.pipeline.executors import place, within
from asyncml.pipeline.functions import DROPPED, is_async, name_of
from asyncml.pipeline.held import Slots
from asyncml.pipeline.map import Map
from asyncml.pipeline.meters import Meter
from asyncml.pipeline.pools import Pools
from asyncml.pipeline.stages import PAUSE_S, PAUSED, PENDING, Context, Entry, Flow, Mark

Job = tuple[int, Any, Mark, int]  # ticket, value, mark, attempt


class Ready(Protocol):
    """Something that a chain of stages can wait for when it has nothing ready."""

    def notify(self, callback: Callable[[], None]) -> None:
        """Call `callback` once, as soon as it is worth asking again."""


class Above(Ready, Protocol):
    """The nearest stage above that runs ahead, or the source."""

    def halt(self) -> None:
        """Take in no more items: none will be asked for."""


class Failure:
    """An error that takes the place of its item in the window."""

    __slots__ = ("error",)

    def __init__(self, error: BaseException) -> None:
        self.error = error


class Window:
    """Results in the order in which they leave, and wake-ups for the consumer and the workers."""

    # An item gets a ticket when it is taken in: `taken` counts the tickets, and `head` is the next
    # to leave, so `taken - head` items are ahead of the consumer. Results arrive in any order and
    # are kept in a dict; the consumer takes all that are ready, from the head on, in one go. There
    # are two ways to wait, and neither costs anything while neither side waits. A consumer that
    # finds nothing at the head leaves a callback, which is called when that result is placed.
    # Workers that find the window full set `is_full`, and taking a result then calls `room`. So
    # both sides call into the window, and the window calls back only a side that has stopped.

    def __init__(self, meter: Meter) -> None:
        self.loop = asyncio.get_running_loop()
        self.meter = meter
        self.tasks: set[asyncio.Task[None]] = set()
        self.results: dict[int, Any] = {}
        self.head = 0  # the ticket that leaves next
        self.taken = 0  # the ticket of the next item to come in
        self.is_full = True  # whether the workers wait for room, as before they start
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
                results[self.head] = entry  # or a stage below that pauses first would wait forever
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
        """Return up to `most` entries that are ready; one call for all of them saves time."""
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
            # one at a time, they would have left waiting - 1, waiting - 2, ... results behind them
            self.meter.queued += taken * waiting - taken * (taken + 1) // 2
        return entries

    def notify(self, callback: Callable[[], None]) -> None:
        """Call `callback` once, when the next result is ready or no more will come."""
        over = self.ended and self.head == self.taken
        if self.head in self.results or over or self._broken is not None:
            self.loop.call_soon(callback)
        else:
            self._callback = callback

    def room(self) -> None:
        """Handle new room in the window: a no-op here, which subclasses override."""

    def put(self, ticket: int, entry: Any) -> None:
        """Place a result; wake the consumer if it is the next to leave."""
        self.results[ticket] = entry
        if ticket == self.head:
            self.tell()

    def tell(self) -> None:
        """Call the consumer's callback, if there is one."""
        if callback := self._callback:
            self._callback = None
            callback()

    def start(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Run a coroutine in a task until it ends or the window is closed."""
        task = self.loop.create_task(work, name=name)
        self.tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        if (
            error is not None and not self.closed
        ):  # cancelled from outside: the consumer must not wait forever
            self._broken = error
            self.close()
            self.tell()

    def close(self) -> None:
        """Stop at once; the tasks end at their next turn on the loop."""
        if self.closed:  # a second cancellation would interrupt the clean-up of the first
            return
        self.closed = True
        if self._broken is None:  # else earlier results have yet to leave
            self.results.clear()
        if not self.loop.is_closed():
            for task in self.tasks:
                task.cancel()


class Work(Window):
    """A stage that waits: workers that share one iterator, and a window of their results.

    Args:
        stage: the function to call, and the bounds.
        up: the entries of the stage above.
        ready: what to wait for when `up` has nothing ready.
        context: what the stage knows about this epoch.
    """

    def __init__(self, stage: Map, up: Flow, ready: Above, context: Context) -> None:
        super().__init__(context.meter)
        self.stage, self.ready, self.time = stage, ready, context.time
        again = len(context.first)
        self._slots = Slots(context.held, again) if context.held else None
        self.place = None
        self.is_async = is_async(stage.fn)
        if not self.is_async:
            where = stage.executor, stage.concurrency, stage.name, stage.timeout
            self.place = place(*where, context.pools or Pools())
        self._address = context.address
        self._most = stage.slots  # workers
        self._idle: deque[asyncio.Future[None]] = deque()
        self._roused = False
        self._dry = False  # the stage above has nothing ready, or has ended
        self._again: deque[Job] = deque()
        self._inbox: deque[Job] = deque()  # jobs that wait for a thread: see `visits`
        self._barrier: float = float("inf")  # items from this ticket on are no longer started
        self.ahead = 0  # items in the streams of `flat_map`
        self.is_crowded = False  # whether there is no room for items of another parent
        self._finished = 0
        self._failure: Failure | None = None
        self._paused_s = self.time()
        self._jobs = self._intake(chain(context.first, up) if again else up, again)

    # workers: when they are woken

    def room(self) -> None:
        """Wake a worker, unless there is nothing to take, here or above."""
        self.is_full = False
        if not self._dry or self._inbox:
            self._rouse()

    def _rouse(self) -> None:
        if self._roused or self.closed:
            return
        while self._idle:
            worker = self._idle.popleft()
            if not worker.done():
                self._roused = True
                worker.set_result(None)
                return
        if len(self.tasks) < self._most:
            self._roused = True
            self.loop.call_soon(self._hire)  # not here: an eager task would start within this one

    def _hire(self) -> None:
        if not self.closed:
            name = f"{self.stage.name}-{len(self.tasks) + 1}"
            self.start(self._work(), name)

    def _awake(self) -> None:
        self._dry = self.ended
        self._rouse()

    async def _rest(self) -> None:
        if self.closed:  # the function swallowed the cancellation that ends this worker
            raise asyncio.CancelledError
        worker = self.loop.create_future()
        self._idle.append(worker)
        await worker
        self._roused = False

    # workers: what they do

    async def _work(self) -> None:
        call, time, meter = self._call(), self.time, self.meter
        results, ordered = self.results, self.stage.ordered
        self._roused = False
        for job in self._jobs:
            if job is None:
                await self._rest()
                continue
            if not self._roused:
                self._rouse()  # there may be more items
            ticket, value, mark, _ = job
            begun = time()
            try:
                result = await call(value)
            except (Exception, asyncio.CancelledError) as error:
                if is_end(error):
                    raise
                self._failed(job, error)
            else:
                if ordered and result is not DROPPED:  # `_finish` inlined, to save a call
                    results[ticket] = result, mark
                    if ticket == self.head:
                        self.tell()
                else:
                    self._finish(job, result)
            meter.busy_s += time() - begun
            meter.served_items += 1

    def _call(self) -> Callable[[Any], Any]:
        call, limit_s = self.stage.call(), self.stage.timeout
        if self.is_async:
            return call if limit_s is None else lambda value: within(limit_s, call(value))
        return partial(self._inline if self.place is None else self.place.call, call)

    async def _inline(self, plain: Callable[[Any], Any], value: Any) -> Any:
        result = plain(value)
        if self.time() - self._paused_s > PAUSE_S:  # let the loop's other tasks run
            await asyncio.sleep(0)
            self._paused_s = self.time()
        return result

    # items: in, out, and again

    def _intake(self, up: Flow, held: int) -> Iterator[Job | None]:
        """Yield the next job for a worker, or None while there is none.

        The workers share this generator: calling a function for each item would take longer.

        Args:
            up: the entries, starting with those that the stage held when the epoch was resumed.
            held: how many of these there are.
        """
        again, slots, lookahead = self._again, self._slots, self.stage.lookahead
        while True:
            while again or self._dry or self.is_crowded or self.taken - self.head >= lookahead:
                self.is_full = True
                yield again.popleft() if again else None
            try:
                for value, mark in up:
                    if mark is None:
                        self._dry = True
                        if value == PAUSED[0]:
                            self.loop.call_soon(self._awake)
                        else:
                            self.ready.notify(self._awake)
                        break
                    ticket = self.taken
                    self.taken = taken = ticket + 1
                    if slots is not None and ticket >= held:
                        address = self._address(mark)
                        slots.take(ticket, address, mark)
                        mark = address
                    yield ticket, value, mark, 0
                    if again or self._dry or self.is_crowded or taken - self.head >= lookahead:
                        break
                else:
                    self._dry = self.ended = True
                    self.tell()
            except Exception as error:
                self.taken += 1
                self._fail(self.taken - 1, error)

    def _finish(self, job: Job, result: Any) -> None:
        ticket, _, mark, _ = job
        if self._slots is None:
            self.put(ticket, DROPPED if result is DROPPED else (result, mark))
            return
        given = self._slots.give(ticket, mark)
        self._place(ticket, DROPPED if result is DROPPED else (result, given))

    def _place(self, ticket: int, entry: Any) -> None:
        """Place an entry where it leaves: at its ticket or, unordered, after all placed before it.

        The entry is DROPPED for an item that is no longer started; a saved state still holds the
        item.
        """
        if not self.stage.ordered:
            ticket = self._finished
            self._finished += 1
        self.put(ticket, entry)
        if self._failure and self._finished == self.taken - 1:
            self.put(self._finished, self._failure)

    def _failed(self, job: Job, raised: BaseException) -> None:
        ticket, value, mark, attempt = job
        if self.closed:  # an error in answer to the cancellation is not reported
            return
        stage, meter = self.stage, self.meter
        error = ordinary(name_of(stage.fn), raised)
        try:
            if not stage.tries_again(error, attempt):
                self._finish(job, stage.failed(error, value, mark, meter))
                return
            meter.errors += 1
            meter.retries += 1
            address = mark if self._slots else self._address(mark)
            pause_s = stage.backoff.pause_s(address, attempt)
            self.loop.call_later(pause_s, self._retry, (ticket, value, mark, attempt + 1))
        except Exception as failure:
            self._fail(ticket, failure)
        finally:
            del raised, error  # a failure's traceback holds this frame

    def _retry(self, job: Job) -> None:
        if self.closed:
            return
        if job[0] > self._barrier:
            self._place(job[0], DROPPED)
            return
        self._again.append(job)
        self._rouse()

    def _fail(self, ticket: int, error: BaseException) -> None:
        """Take in no more items; the error takes its item's place, after all earlier results."""
        self.halt(ticket)
        if self.stage.ordered:
            self.put(ticket, Failure(error))
            return
        if self._failure:
            self._place(ticket, DROPPED)
            return
        self._failure = Failure(error)
        if self._finished == self.taken - 1:
            self.put(self._finished, self._failure)

    def halt(self, barrier: float = -1) -> None:
        """Start no item from ticket `barrier` on: by default none, since a stage below has failed.

        That stage has already taken everything that comes before its error.
        """
        self.ended = self._dry = True
        self._barrier = min(self._barrier, barrier)
        self.ready.halt()

    def close(self) -> None:
        """Stop at once and release the executor."""
        super().close()
        self.ended = self._dry = True
        self._failure = None
        self._again.clear()
        self._inbox.clear()
        self._jobs = iter(())
        if self.place:
            self.place.close()
