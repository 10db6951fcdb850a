"""How a pipeline runs a stage that waits: a few workers, and never a task an item.

`concurrency` workers share one iterator. Whoever takes an item wakes the next worker, so there are
as many as the work keeps busy. Their results go to a window, and `lookahead` bounds how far they
run ahead of what has left it: `_intake` gives out no more items than that.
Lesson 07 builds this engine.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain
from typing import Any

from asyncml.failures import is_asked_to_end, ordinary
from asyncml.pipeline.executors import Pools, place, within
from asyncml.pipeline.functions import DROPPED, is_async, name_of
from asyncml.pipeline.held import Slots
from asyncml.pipeline.map import Map
from asyncml.pipeline.stages import PAUSE_S, PAUSED, Context, Flow, Mark
from asyncml.pipeline.window import Above, Failure, Window

Job = tuple[int, Any, Mark, int]  # ticket, value, mark, attempt


class Work(Window):
    """A stage whose items wait: workers over one iterator, and a window of their results.

    Args:
        stage: what to call, and the bounds.
        up: the entries of the stage above.
        ready: what to wait for when `up` has nothing ready.
        context: what the stage knows of this epoch.
    """

    def __init__(self, stage: Map, up: Flow, ready: Above, context: Context) -> None:
        super().__init__(context.meter)
        self.stage, self.ready, self.time = stage, ready, context.time
        self._slots = Slots(context.held, len(context.first)) if context.held else None
        self.place = None
        if not is_async(stage.fn):
            where = stage.executor, stage.concurrency, stage.name, stage.timeout
            self.place = place(*where, context.pools or Pools())
        self._address = context.address
        self._most = stage.slots  # workers
        self._idle: deque[asyncio.Future[None]] = deque()
        self._roused = False
        self._dry = False  # the stage above has nothing, now or any more
        self._again: deque[Job] = deque()
        self._barrier: float = float("inf")  # items from this ticket on are not begun any more
        self.ahead = 0  # items in the streams of `flat_map`
        self.is_crowded = False  # whether there is no room for those of another parent
        self._finished = 0
        self._failure: Failure | None = None
        self._paused_s = self.time()
        self._jobs = self._intake(chain(context.first, up) if context.first else up)

    # workers: when they are woken

    def room(self) -> None:
        """Wake a worker, unless there is nothing to take."""
        self.is_full = False
        if not self._dry:
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
        if self.closed:  # the function did not pass on the cancellation that ends this worker
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
                self._rouse()  # there may be more where this came from
            ticket, value, mark, _ = job
            begun = time()
            try:
                result = await call(value)
            except Exception as error:
                self._failed(job, error)
            except asyncio.CancelledError as error:
                if is_asked_to_end():
                    raise
                self._failed(job, error)  # the function cancelled itself, or what it waited for
            else:
                if ordered and result is not DROPPED:  # as `_finish` does, without a call
                    results[ticket] = result, mark
                    if ticket == self.head:
                        self.tell()
                else:
                    self._finish(job, result)
            meter.busy_s += time() - begun
            meter.served_items += 1

    def _call(self) -> Callable[[Any], Any]:
        stage = self.stage
        if is_async(stage.fn):
            call = stage.async_call()
            return call if stage.timeout is None else partial(_limited, stage.timeout, call)
        if self.place is None:
            return partial(self._inline, stage.inline_call())
        return partial(self.place.call, stage.plain_call())

    async def _inline(self, plain: Callable[[Any], Any], value: Any) -> Any:
        result = plain(value)
        if self.time() - self._paused_s > PAUSE_S:  # the loop's other tasks have their turn
            await asyncio.sleep(0)
            self._paused_s = self.time()
        return result

    # items: in, out, and again

    def _intake(self, up: Flow) -> Iterator[Job | None]:
        """Give the workers job after job; None while there is none.

        The workers share this generator: to call a function for each item would take longer.
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
                        self._wait_for_more(value)
                        break
                    ticket = self.taken
                    self.taken = taken = ticket + 1
                    if slots is not None and ticket not in slots:
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

    def _wait_for_more(self, why: object) -> None:
        if why == PAUSED[0]:
            self.loop.call_soon(self._awake)
        else:
            self.ready.notify(self._awake)

    def _finish(self, job: Job, result: Any) -> None:
        ticket, _, mark, _ = job
        if self._slots is None:
            self.put(ticket, DROPPED if result is DROPPED else (result, mark))
            return
        given = self._slots.give(ticket, mark)
        self._place(ticket, DROPPED if result is DROPPED else (result, given))

    def _place(self, ticket: int, entry: Any) -> None:
        """Put an entry where it leaves: in its turn, or behind what was ready before it.

        For an item that is not begun any more, DROPPED: a saved state still holds that.
        """
        if not self.stage.ordered:
            ticket = self._finished
            self._finished += 1
        self.put(ticket, entry)
        if self._failure and self._finished == self.taken - 1:
            self.put(self._finished, self._failure)

    def _failed(self, job: Job, raised: BaseException) -> None:
        ticket, value, mark, attempt = job
        if self.closed:  # how the function answers the cancellation is nobody's error
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
        """Take in no more; the error stands where the item would, behind all earlier ones."""
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
        """Begin nothing any more: a stage below has failed, and has taken all that comes before."""
        self.ended = self._dry = True
        self._barrier = min(self._barrier, barrier)
        self.ready.halt()

    def close(self) -> None:
        """Stop at once, and let go of the executor."""
        super().close()
        self.ended = self._dry = True
        self._failure = None
        self._again.clear()
        self._jobs = iter(())
        if self.place:
            self.place.close()


async def _limited(seconds: float, call: Callable[[Any], Any], value: Any) -> Any:
    return await within(seconds, call(value))
