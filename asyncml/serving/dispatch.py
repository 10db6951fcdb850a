"""Batches: formed when a place is free, run, and handed out row by row.

The runner of a batch forms the next one itself, as soon as its own has ended. A thread takes it
from the queue without waiting for the event loop, which accepts new requests and hands out the last
answers meanwhile. So the queue and the counts are guarded by a lock.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from typing import Any

from asyncml.serving.calling import EVERYBODYS, Model, twin, without_our_frames
from asyncml.serving.line import Request, WaitingLine
from asyncml.serving.stacking import by_kind, check_rows, stacked
from asyncml.serving.statistics import BatcherStatistics, Reason
from asyncml.switching import ShortSwitches

_Call = Callable[[Any], Awaitable[Any]]
# requests that ran together, and their result: the model's output, or an error
_Outcome = tuple[list[Request], Any, Exception | None]


class Dispatcher:
    """The batches of one block of a `MicroBatcher`.

    Args:
        model: runs the batches.
        line: where requests wait.
        size: the most weight in a batch.
        wait_s: how many seconds a request waits for a fuller batch while nothing is running.
        places: how many batches may run at once.
    """

    def __init__(
        self, model: Model, line: WaitingLine, size: int, wait_s: float, places: int
    ) -> None:
        self.loop, self.counts = asyncio.get_running_loop(), BatcherStatistics()
        self.is_closing = self._has_ended = False
        self.entering = 0  # calls of `many` with more rows to queue
        self._model, self._line = model, line
        self._size, self._wait_s, self._places = size, wait_s, places
        self._lock = threading.Lock()
        self._running: dict[int, list[Request]] = {}  # the batch that each place is running
        self._jobs: set[asyncio.Future[None]] = set()
        self._context = copy_context()  # a batch does not run in the context of a caller
        self._timer: asyncio.Handle | None = None
        self._is_called = False
        self._drained: asyncio.Future[None] | None = None
        model.open()

    # on the event loop

    def enter(self, request: Request) -> None:
        """Queue a request."""
        if self._has_ended:
            raise ended()
        with self._lock:
            self.counts.requests += request.count
            self._line.enter(request)
        if len(self._running) < self._places:
            self.call()

    def give_up(self, request: Request) -> None:
        """Release the place of a request whose caller has gone."""
        if request.answer.cancel() or request.answer.cancelled():
            self.counts.cancelled += request.count
            with self._lock:
                self._line.leave(request)
            self.call()
        else:
            request.answer.exception()  # else it is logged as never retrieved

    def submit(self, kind: type[Request], x: Any, weight: float) -> "asyncio.Future[Any]":
        """Queue a request and return its future; cancelling the future gives the request up."""
        request = kind(self.loop.create_future(), x, self.loop.time(), weight)
        self.enter(request)
        request.answer.add_done_callback(
            lambda answer: self.give_up(request) if answer.cancelled() else None
        )
        return request.answer

    def call(self) -> None:
        """Launch batches at the loop's next turn, so that requests of this turn can join."""
        if not self._is_called:
            self._is_called = True
            self.loop.call_soon(self._launch, context=self._context)

    def make_room(self) -> None:
        """Launch the batches that may leave, at once."""
        self._context.run(self._launch)

    def _launch(self) -> None:
        self._is_called = False
        if self._has_ended:
            return
        for place in range(self._places):
            if place not in self._running and (batch := self._next(place)):
                self._start(place, batch)
        with self._lock:
            is_waiting = bool(self._line) and not self._running
            due_s = self._line.oldest_s + self._wait_s if is_waiting else 0.0
            is_over = not (self._line or self._jobs or self.entering)
        if is_waiting and not self._timer:
            self._timer = self.loop.call_at(due_s, self._ring, context=self._context)
        elif self._timer and not is_waiting:
            self._timer.cancel()
            self._timer = None
        if is_over and self._drained and not self._drained.done():
            self._drained.set_result(None)

    def _ring(self) -> None:
        self._timer = None
        self._launch()

    def _start(self, place: int, batch: list[Request]) -> None:
        job: asyncio.Future[None]
        if (pool := self._model.pool) is not None:
            job = self.loop.run_in_executor(pool, self._work_in_thread, place, batch)
        else:
            work = self._work(place, batch, self._model, self._tell)
            job = self.loop.create_task(work, name=f"batcher-{place + 1}")
        self._jobs.add(job)
        job.add_done_callback(partial(self._done, place), context=self._context)

    def _done(self, place: int, job: "asyncio.Future[None]") -> None:
        self._jobs.discard(job)
        if job.cancelled() or job.exception():  # no caller must wait forever
            self._fail(self._running.pop(place, []), ended())
        self._launch()
        if not job.cancelled():
            job.result()  # re-raise what ends the program

    async def drain(self) -> None:
        """Wait until all requests have been answered."""
        self._drained = self.loop.create_future()
        self._launch()
        await self._drained

    async def end(self) -> None:
        """Fail all requests that are left, and leave no job behind."""
        with self._lock:
            self._has_ended = True
            left = self._line.clear()
            for batch in self._running.values():
                left += batch
        if self._timer:
            self._timer.cancel()
        self._fail(left, ended())
        self._model.close()
        for job in self._jobs:
            job.cancel()
        await asyncio.gather(*self._jobs, return_exceptions=True)

    # on the event loop, or in a thread

    def _next(self, place: int, begun_s: float | None = None) -> list[Request] | None:
        """Take the next batch for a place if one may leave now; otherwise the place is free.

        Args:
            place: the place, whose previous batch has ended if it had one.
            begun_s: when that batch began; None: it had none.
        """
        is_busy, now_s = begun_s is not None, self.loop.time()
        with self._lock:
            if begun_s is not None:
                self._running.pop(place, None)
                self.counts.served_s += now_s - begun_s
            if not self._line or self._has_ended or not self._is_due(now_s):
                return None
            is_first = not self._running
            batch, is_full = self._line.take(self._size)
            self._running[place] = batch
            reason: Reason = "waited" if self._wait_s and is_first else "idle"
            if is_full or self.is_closing or is_busy:
                reason = "full" if is_full else "closing" if self.is_closing else "busy"
            self._count(batch, reason, now_s)
            return batch

    def _count(self, batch: list[Request], reason: Reason, now_s: float) -> None:
        rows, counts = sum([one.count for one in batch]), self.counts
        counts.waited_s += now_s * rows - sum([one.came_s * one.count for one in batch])
        counts.batches += 1
        counts.sizes[rows] += 1
        counts.reasons[reason] += 1

    def _is_due(self, now_s: float) -> bool:
        line = self._line
        if not self._wait_s or self._running or self.is_closing:
            return True
        return now_s >= line.oldest_s + self._wait_s or line.fills(self._size)

    def _work_in_thread(self, place: int, batch: list[Request]) -> None:
        def tell(news: list[_Outcome]) -> None:
            self.loop.call_soon_threadsafe(self._tell, news)

        work = self._work(place, batch, self._model.call_here, tell)
        del batch  # on Python 3.12 and 3.13 the frames of a kept error keep this one
        # the loop is busiest while batches run, and NumPy operations wait until it releases the GIL
        with ShortSwitches(), suppress(StopIteration):
            work.send(None)  # it never waits, so this runs it to its end

    async def _work(
        self,
        place: int,
        batch: list[Request] | None,
        call: _Call,
        tell: Callable[[list[_Outcome]], object],
    ) -> None:
        """Run a batch, and then others, until none is due.

        The results of a batch are handed over when the next is ready to run: the event loop deals
        with them while the model runs, and not while a thread stacks rows.
        """
        news: list[_Outcome] = []
        try:
            while batch:
                begun_s, groups = self.loop.time(), by_kind(batch)
                while groups:  # the last first
                    if not (group := [one for one in groups.pop() if not one.answer.done()]):
                        continue
                    try:
                        rows = stacked(group)
                        if news:
                            tell(news)
                            news = []
                        news.append((group, await call(rows), None))
                    except Exception as error:
                        if len(group) > 1 and not isinstance(error, EVERYBODYS):
                            middle = len(group) // 2
                            groups += [group[middle:], group[:middle]]
                        else:
                            news.append((group, None, without_our_frames(error)))
                batch = self._next(place, begun_s)
        finally:
            tell(news)

    # by the event loop

    def _tell(self, news: list[_Outcome]) -> None:
        """Hand out the rows of batches, or their errors, except to callers that have gone."""
        for batch, output, error in news:
            try:
                if error is None:
                    self._hand_out(batch, output)
                else:
                    self._fail(batch, error)
            except Exception as wrong:
                self._fail(batch, without_our_frames(wrong))

    def _hand_out(self, batch: list[Request], output: Any) -> None:
        check_rows(output, sum([request.count for request in batch]), self._model.name)
        place = answered = 0
        try:
            for request in batch:
                end = place + request.count
                if not request.answer.done():
                    rows = output[place:end] if request.is_many else output[place]
                    request.answer.set_result(rows)
                    answered += request.count
                place = end
        finally:
            self.counts.answered += answered

    def _fail(self, batch: list[Request], error: Exception) -> None:
        """Set an error on these requests, a copy for each: callers add notes and causes."""
        for request in batch:
            if not request.answer.done():
                request.answer.set_exception(error)
                self.counts.failed += request.count
                error = twin(error)


def ended() -> RuntimeError:
    """Return the error for requests that will get no answer."""
    return RuntimeError("the block of the MicroBatcher ended early: this request gets no answer")
