"""Micro-batching: requests wait together until there is a place to run them in one batch.

A model takes hardly longer for a batch than for one row, so requests that have to wait anyway share
a call. A batch is formed when it can run, and not before; whatever has come by then goes along.
Lesson 10 builds such a batcher.
"""

import asyncio
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from operator import itemgetter
from typing import Any, Self

import numpy as np

from asyncml.checks import check_int, check_number
from asyncml.failures import shorten
from asyncml.serving.calling import EVERYBODYS, Model, twin, without_our_frames
from asyncml.serving.line import Part, Request, WaitingLine
from asyncml.serving.stacking import Kind, by_kind, count_of, joined, stacked
from asyncml.serving.statistics import BatcherStatistics, Meter, Reason


class QueueFull(Exception):
    """A request was refused at once, because `max_pending` rows are queued already."""


class MicroBatcher:
    """Answers requests in batches; an asynchronous context manager.

    A batch leaves as soon as there is a place for it: at once if nothing is running, otherwise when
    a running batch ends, with everything that has gathered by then. Requests are served in the
    order in which they came. Those whose shape or dtype differs from the rest of their batch run in
    a call of their own.

    If a call of the model fails, its batch is halved until the bad row is found, and only that row
    gets the error. One bad row among n costs about 2 log2(n) more calls, and n bad rows cost
    2 n - 2. The rows of one `many` fail together.

    When the block ends, no more requests are taken and those that are waiting are answered. If it
    is left by an error or a cancellation, those that are waiting get a RuntimeError instead. It can
    then be entered again, on another loop too.

    Args:
        predict_fn: takes a batch: an array (n, ...), as `np.stack` makes it of the requests, or a
            list of them if they are not arrays. Returns n rows, in an array or a list. The batch
            is its own to change. A plain function runs in a thread or in `executor`, an
            `async def` on the loop.
        max_batch_size: the most rows, or the most weight, in a batch.
        max_wait_s: how many seconds a request may wait for a fuller batch while nothing is running.
        max_pending: how many rows may be queued; further callers wait for room.
        concurrency: how many batches may run at once.
        weigh: takes a row and returns its weight; None: each weighs 1.
        executor: where a plain `predict_fn` runs; None: `concurrency` threads of its own.

    Raises:
        TypeError, ValueError: an argument is out of its bounds.

    Example:
        >>> async def main():
        ...     async with MicroBatcher(lambda x: x * 2, max_batch_size=8) as double:
        ...         answers = await asyncio.gather(*(double(np.full(2, i)) for i in range(3)))
        ...     return [answer.tolist() for answer in answers], double.statistics().batches
        >>> asyncio.run(main())
        ([[0, 0], [2, 2], [4, 4]], 1)
    """

    def __init__(
        self,
        predict_fn: Callable[[Any], Any],
        max_batch_size: int = 64,
        max_wait_s: float = 0.0,
        max_pending: int = 1024,
        concurrency: int = 1,
        weigh: Callable[[Any], float] | None = None,
        executor: Executor | None = None,
    ) -> None:
        if not callable(predict_fn):
            raise TypeError(f"`predict_fn` must be a function, got {shorten(predict_fn)}")
        if weigh is not None and not callable(weigh):
            raise TypeError(f"`weigh` must be a function or None, got {shorten(weigh)}")
        if executor is not None and not isinstance(executor, Executor):
            raise TypeError(f"`executor` must be an Executor or None, got {shorten(executor)}")
        self.max_batch_size = check_int("max_batch_size", max_batch_size)
        self.max_wait_s = check_number("max_wait_s", max_wait_s, "a number of seconds >= 0")
        if not 0 <= self.max_wait_s < float("inf"):
            raise ValueError(f"`max_wait_s` must be >= 0 and finite, got {max_wait_s}")
        self.max_pending = check_int("max_pending", max_pending)
        self.concurrency = check_int("concurrency", concurrency)
        self._weigh = weigh
        self._model = Model(predict_fn, executor, self.concurrency)
        self._meter = Meter()
        self._line = WaitingLine(self.max_pending)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closing = False

    # the block

    async def __aenter__(self) -> Self:
        """Begin to take requests.

        Raises:
            RuntimeError: the block has been entered already.
        """
        if self._loop is not None:
            raise RuntimeError("this MicroBatcher is in use: make one for each block")
        self._loop = asyncio.get_running_loop()
        self._meter, self._closing = Meter(), False
        self._line = WaitingLine(self.max_pending)
        self._running = 0
        self._ahead: _Batch | None = None
        self._idle: list[asyncio.Future[None]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._model.open()
        count = self.concurrency + self._model.has_own_threads  # one may be ahead
        self._workers = [
            asyncio.create_task(self._work(), name=f"batcher-{number}")
            for number in range(1, count + 1)
        ]
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._closing = True
        try:
            if kind is None:
                self._come()
                await asyncio.wait(self._workers)
        finally:
            await self._end()

    async def _end(self) -> None:
        """Answer nobody any more, and leave nothing behind."""
        for worker in self._workers:
            worker.cancel()
        self._quiet()
        self._fail(self._line.clear(), _ended())
        self._model.close()
        try:
            await asyncio.gather(*self._workers, return_exceptions=True)
        finally:
            self._workers, self._loop = [], None

    # requests

    async def __call__(self, x: Any) -> Any:
        """Return the model's output for one row.

        Waits for room while `max_pending` rows wait already. If it is cancelled, it gives up its
        place, and no other request notices; for a deadline, put `asyncio.timeout` around the call.

        Args:
            x: an array (...), or anything else that `predict_fn` takes a list of.

        Returns:
            Its row of the batch's output. A row of an array is a view, and keeps the output of its
            whole batch in memory for as long as you keep it.

        Raises:
            RuntimeError: outside the block.
            ValueError: the row is heavier than a batch may be.
            Exception: what `predict_fn` raised for this row.
        """
        loop = self._loop
        if loop is None or self._closing:
            raise _outside()
        weights = None if self._weigh is None else self._weights([x])
        request = Request(loop.create_future(), x, None, loop.time(), weights)
        self._meter.requests += 1
        self._line.enter(request)
        if self._idle:
            self._come()
        try:
            return await request.answer
        except BaseException:
            self._given_up(request)
            raise

    async def many(self, xs: Any) -> Any:
        """Return the model's outputs for many rows.

        Rows for which there is no room enter later, in parts, and take turns with the requests that
        came meanwhile. If it is cancelled, all of it is given up.

        Args:
            xs: (n, ...), or a list of n rows.

        Returns:
            (n, ...), or a list where the model returns lists.

        Raises:
            RuntimeError: outside the block.
            ValueError: no rows, or one that is heavier than a batch may be.
            Exception: what `predict_fn` raised for a batch with some of these rows.
        """
        loop, rows = self._open(), _rows(xs)
        weights = None if self._weigh is None else self._weights(rows)
        request = Request(loop.create_future(), rows, len(rows), loop.time(), weights)
        self._enter(request)
        try:
            return await request.answer
        except BaseException:
            self._given_up(request)
            raise

    def try_submit(self, x: Any) -> "asyncio.Future[Any]":
        """Return the future of one row's output, or refuse it at once.

        Args:
            x: as for a call.

        Raises:
            QueueFull: `max_pending` rows wait already.
            RuntimeError, ValueError: as for a call.
        """
        return self._submit(x, [x], None)

    def try_submit_many(self, xs: Any) -> "asyncio.Future[Any]":
        """Return the future of the output for several rows, or refuse all of them at once.

        Args:
            xs: (n, ...), or a list of at most `max_pending` rows.

        Raises:
            QueueFull: there is no room for all of them, or never will be.
            RuntimeError, ValueError: as for a call.
        """
        rows = _rows(xs)
        return self._submit(rows, rows, len(rows))

    def _submit(self, x: Any, rows: Any, count: int | None) -> "asyncio.Future[Any]":
        loop, line = self._open(), self._line
        weights = None if self._weigh is None else self._weights(rows)
        if not line.has_room(len(rows)):
            self._meter.rejected += len(rows)
            never = len(rows) > self.max_pending
            raise QueueFull(
                f"{line.rows} rows wait already, and {len(rows)} more would be over max_pending="
                f"{self.max_pending}: {'use `many`' if never else 'try again later'}"
            )
        request = Request(loop.create_future(), x, count, loop.time(), weights)
        request.answer.add_done_callback(partial(self._answered, request))
        self._enter(request)
        return request.answer

    def statistics(self) -> BatcherStatistics:
        """Return what has happened since the block began."""
        return self._meter.summary(self._line.rows)

    def _open(self) -> asyncio.AbstractEventLoop:
        if self._loop is None or self._closing:
            raise _outside()
        if self._loop is not asyncio.get_running_loop():
            raise RuntimeError("this MicroBatcher is in use on another event loop")
        return self._loop

    def _enter(self, request: Request) -> None:
        self._meter.requests += request.count
        self._line.enter(request)
        self._come()

    def _weights(self, rows: Any) -> list[float]:
        assert self._weigh is not None
        weights = []
        for row in rows:
            weight = check_number("weigh", self._weigh(row), "a number > 0")
            if not 0 < weight <= self.max_batch_size:
                raise ValueError(
                    f"a row must weigh more than 0 and at most max_batch_size="
                    f"{self.max_batch_size}, got {weight:g} for {shorten(row)}"
                )
            weights.append(weight)
        return weights

    def _given_up(self, request: Request) -> None:
        """Give back the place of a request whose caller has gone."""
        if request.answer.cancel() or request.answer.cancelled():
            self._meter.cancelled += request.count
            self._line.leave(request)
            self._come()
        else:
            request.answer.exception()  # else it is logged as never retrieved

    def _answered(self, request: Request, answer: "asyncio.Future[Any]") -> None:
        if answer.cancelled():
            self._given_up(request)

    # batches

    def _come(self) -> None:
        """Wake a worker, if one is idle and there is a reason to."""
        if self._idle and (self._closing or self._is_due()):
            worker = self._idle.pop()
            if not worker.done():
                worker.set_result(None)

    def _is_due(self) -> bool:
        """Whether a batch may leave now; if not yet, set the timer for when it may."""
        oldest_s = self._line.oldest_s
        if oldest_s is None:
            return False
        if self._running >= self.concurrency:
            # No place is free, and a thread would wait for the loop between two batches. What fills
            # the next one is known already where it is the rest of a `many`: nothing that comes
            # meanwhile could join it. So it may wait in front of the thread.
            return self._ahead is None and self._line.is_rest_of_many(self.max_batch_size)
        if not self.max_wait_s or self._running or self._closing:
            return True
        assert self._loop is not None
        due_s = oldest_s + self.max_wait_s
        if self._loop.time() >= due_s or self._line.fills(self.max_batch_size):
            return True
        if self._timer is None:
            self._timer = self._loop.call_at(due_s, self._ring)
        return False

    def _ring(self) -> None:
        self._timer = None
        self._come()

    def _quiet(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None

    async def _work(self) -> None:
        """One worker: wait until a batch is due, take it, run it, and begin again."""
        assert self._loop is not None
        loop, line = self._loop, self._line
        was_idle = True
        while True:
            if not self._is_due():
                if self._closing and not line.rows:
                    self._come()  # so that the others end, too
                    return
                place = loop.create_future()
                self._idle.append(place)
                await place
                was_idle = True
                continue
            is_ahead = self._running >= self.concurrency
            parts, full = line.take(self.max_batch_size)
            self._quiet()
            batch = _Batch(parts, self._reason(full, was_idle))
            if is_ahead:
                self._ahead = batch
            else:
                self._begin(batch)
            self._running += 1
            self._come()  # there may be more, and another place
            try:
                await self._run(parts)
            finally:
                self._running -= 1
                if self._ahead:
                    self._begin(self._ahead)
                    self._ahead = None
            self._meter.served_s += loop.time() - batch.begun_s
            was_idle = False
            del parts, batch  # an idle worker must not keep the last answers alive

    def _reason(self, full: bool, was_idle: bool) -> Reason:
        if full:
            return "full"
        if self._closing:
            return "closing"
        if not was_idle:
            return "busy"
        return "waited" if self.max_wait_s and not self._running else "idle"

    def _begin(self, batch: "_Batch") -> None:
        """Note that a batch has a place."""
        assert self._loop is not None
        batch.begun_s, meter = self._loop.time(), self._meter
        rows = sum([stop - start for _, start, stop in batch.parts])
        came_s = sum([request.arrived_s * (stop - start) for request, start, stop in batch.parts])
        meter.waited_s += batch.begun_s * rows - came_s
        meter.batches += 1
        meter.sizes[rows] += 1
        meter.reasons[batch.reason] += 1

    async def _run(self, parts: list[Part]) -> None:
        """Answer a batch, whatever happens: nobody must wait for ever."""
        try:
            for kind, group in by_kind(parts):
                await self._answer(kind, group)
        except Exception as error:
            self._fail(parts, without_our_frames(error))
        except BaseException:  # this worker ends
            self._fail(parts, _ended())
            raise

    async def _answer(self, kind: Kind, parts: list[Part]) -> None:
        """Call the model and hand out its rows; halve a batch that fails, down to its bad row.

        Those who have gone meanwhile are left out.
        """
        halves = [parts]
        while halves:
            some = [part for part in halves.pop() if not part[0].answer.done()]
            if not some:
                continue
            try:
                batch = stacked(kind, some)
                rows = len(batch)
                output = await self._model(batch)
            except Exception as error:
                if len(some) == 1 or isinstance(error, EVERYBODYS):
                    self._fail(some, without_our_frames(error))
                else:
                    middle = len(some) // 2
                    halves += [some[middle:], some[:middle]]
                continue
            try:
                count_of(output, rows, self._model.name)
            except Exception as error:
                self._fail(some, without_our_frames(error))
            else:
                self._hand_out(some, output)

    def _hand_out(self, parts: list[Part], output: Any) -> None:
        place = answered = 0
        for part in parts:
            request, start, stop = part
            try:
                if request.is_many:
                    self._piece(part, output[place : place + stop - start])
                elif not request.answer.done():
                    request.answer.set_result(output[place])
                    answered += 1
            except Exception as error:  # it has a length, but no rows, or rows that do not join
                self._fail([part], without_our_frames(error))
            place += stop - start
        self._meter.answered += answered

    def _piece(self, part: Part, output: Any) -> None:
        """Add an output to those of a `many`, and answer if it is whole."""
        request, start, stop = part
        if request.answer.done():
            return
        request.pieces.append((start, output))
        request.left -= stop - start
        if not request.left:
            in_order = sorted(request.pieces, key=itemgetter(0))
            request.answer.set_result(joined([piece for _, piece in in_order]))
            self._meter.answered += request.count

    def _fail(self, parts: list[Part], error: Exception) -> None:
        """Give those requests the error, each one of its own: callers add notes and causes."""
        for request, _, _ in parts:
            if not request.answer.done():
                request.answer.set_exception(error)
                self._meter.failed += request.count
                self._line.leave(request)
                error = twin(error)
        self._come()


@dataclass
class _Batch:
    """What has left the queue together, why, and since when it has had a place."""

    parts: list[Part]
    reason: Reason
    begun_s: float = 0.0


def _outside() -> RuntimeError:
    return RuntimeError("a MicroBatcher takes requests inside its block: `async with ...`")


def _ended() -> RuntimeError:
    return RuntimeError("the block of the MicroBatcher was left by an error: nobody is answered")


def _rows(xs: Any) -> Any:
    """Return rows as an array or a list; raise where there are none."""
    if not isinstance(xs, np.ndarray):
        if not isinstance(xs, Iterable) or isinstance(xs, str | bytes | dict):
            raise TypeError(f"`xs` must be an array (n, ...) or a list of rows, got {shorten(xs)}")
        xs = list(xs)
        arrays = xs and all(isinstance(x, np.ndarray) for x in xs)
        if arrays and len({(x.shape, x.dtype) for x in xs}) == 1:
            xs = np.stack(xs)
    elif not xs.ndim:
        raise ValueError("`xs` must be an array (n, ...), got one of no dimension")
    if not len(xs):
        raise ValueError("`xs` has no rows: there is nothing to predict")
    return xs
