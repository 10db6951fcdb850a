"""Micro-batching: requests wait together until they can run in one batch.

A model takes hardly longer for a batch than for one row, so requests that have to wait anyway share
a call. A batch is formed when it can run, and no earlier; every request that has arrived by then
joins it. Lesson 10 builds such a batcher.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from typing import Any, Self

import numpy as np

from asyncml.checks import check_int, check_number
from asyncml.failures import noted, shorten
from asyncml.serving.calling import Model
from asyncml.serving.dispatch import Dispatcher
from asyncml.serving.line import Request, Rows, WaitingLine
from asyncml.serving.stacking import joined
from asyncml.serving.statistics import BatcherStatistics


class QueueFull(Exception):
    """A request was refused at once, because `max_pending` rows are already queued."""


class HeavyRow(ValueError):
    """A row weighs more than a batch may."""


class MicroBatcher:
    """Answers requests in batches; an asynchronous context manager.

    A batch leaves as soon as there is a place for it: at once if nothing is running, otherwise when
    a running batch ends, with all requests that have gathered by then. Requests are served in the
    order in which they came. Those whose shape or dtype differs from the rest of their batch run in
    a separate call. Rows that come together, as in `many`, are cut into pieces no larger than a
    batch; a piece is not cut again to fill the batch before it.

    If a call of the model fails, its batch is halved until the bad row is found, and only that row
    gets the error. One bad row among n costs about 2 log2(n) more calls, and n bad rows cost
    2 n - 2. The rows of one `many` fail together.

    When the block ends, no more requests are accepted, and those that are waiting are answered. If
    an error or a cancellation ends it, they get a RuntimeError instead. The batcher can then be
    entered again, on another loop too.

    Args:
        predict_fn: takes a batch: an array (n, ...), as `np.stack` makes it from the requests, or a
            list of them if they are not arrays. Returns n rows, as an array or a list. It may
            change the batch. A plain function runs in a thread or in `executor`, an `async def` on
            the loop.
        max_batch_size: the most rows, or the most weight, in a batch.
        max_wait_s: how many seconds a request may wait for a fuller batch while nothing is running.
        max_pending: how many rows may be queued, besides those that can leave at once; further
            callers wait for room.
        concurrency: how many batches may run at once.
        weigh: takes a row and returns its weight; None: each row weighs 1.
        executor: where a plain `predict_fn` runs; None: `concurrency` threads of the batcher.

    Raises:
        TypeError, ValueError: an argument is out of bounds.

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
        self._line = WaitingLine(self.max_pending)
        self._batches: Dispatcher | None = None
        self._counts = BatcherStatistics()

    async def __aenter__(self) -> Self:
        """Start to take requests.

        Raises:
            RuntimeError: the batcher is in use already.
        """
        if self._batches is not None:
            raise RuntimeError("this MicroBatcher is in use: make one for each block")
        self._line = WaitingLine(self.max_pending)
        self._batches = Dispatcher(
            self._model, self._line, self.max_batch_size, self.max_wait_s, self.concurrency
        )
        self._counts = self._batches.counts
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        batches = self._batches
        assert batches is not None
        batches.is_closing = True
        try:
            if kind is None:
                await batches.drain()
        finally:
            try:
                await batches.end()
            finally:
                self._batches = None

    # requests

    async def __call__(self, x: Any) -> Any:
        """Return the model's output for one row.

        Waits for room while `max_pending` rows are waiting already. A cancelled call gives
        up its place and affects no other request; for a deadline, put `asyncio.timeout` around the
        call.

        Args:
            x: an array (...), or anything else of which `predict_fn` takes a list.

        Returns:
            The row's part of the batch's output. A row of an array is a view, and keeps the output
            of the whole batch in memory for as long as you keep it.

        Raises:
            RuntimeError: outside the block.
            ValueError: the row weighs more than a batch may.
            Exception: the error that `predict_fn` raised for this row.
        """
        batches = self._batches
        if batches is None or batches.is_closing:
            raise _outside()
        weight = 1 if self._weigh is None else self._weight(x)
        answer = batches.loop.create_future()
        request = Request(answer, x, batches.loop.time(), weight)
        batches.enter(request)
        try:
            return await answer
        except BaseException:
            batches.give_up(request)
            raise

    async def many(self, xs: Any) -> Any:
        """Return the model's outputs for many rows.

        Rows for which there is no room enter later, in parts, and take turns with the requests that
        came meanwhile. If cancelled, all of them are given up.

        Args:
            xs: (n, ...), or a list of n rows.

        Returns:
            (n, ...), or a list if the model returns lists.

        Raises:
            RuntimeError: outside the block.
            ValueError: there are no rows, or one of them weighs more than a batch may.
            Exception: the error that `predict_fn` raised for a batch with some of these rows.
        """
        batches, rows = self._open(), _rows(xs)
        ahead = max(2, self.max_pending // self.max_batch_size)  # pieces queued or running
        asked: list[Rows] = []
        batches.entering += 1
        try:
            for some, weight in self._pieces(rows):
                if len(asked) >= ahead:
                    await asked[-ahead].answer
                answer = batches.loop.create_future()
                asked.append(Rows(answer, some, batches.loop.time(), weight))
                batches.enter(asked[-1])
            return joined([await request.answer for request in asked])
        except BaseException:
            for request in asked:
                batches.give_up(request)
            raise
        finally:
            batches.entering -= 1
            batches.call()

    def try_submit(self, x: Any) -> "asyncio.Future[Any]":
        """Return a future for one row's output, or refuse the row at once.

        Args:
            x: as for a call.

        Raises:
            QueueFull: `max_pending` rows are waiting already, and none of them can leave now.
            RuntimeError, ValueError: as for a call.
        """
        batches, weight = self._open(), self._weight(x)
        self.check_room()
        return batches.submit(Request, x, weight)

    def try_submit_many(self, xs: Any) -> "asyncio.Future[Any]":
        """Return a future for the output of several rows, or refuse all of them at once.

        Args:
            xs: (n, ...), or a list of at most `max_pending` rows.

        Raises:
            QueueFull: there is no room for all of them, or never can be.
            RuntimeError, ValueError: as for a call.
        """
        batches, rows = self._open(), _rows(xs)
        pieces = list(self._pieces(rows))
        self.check_room(len(rows))
        answers = [batches.submit(Rows, some, weight) for some, weight in pieces]
        if len(answers) == 1:
            return answers[0]
        together = asyncio.gather(*answers)
        whole = batches.loop.create_task(_joined(together))
        whole.add_done_callback(lambda _: together.cancel())
        together.add_done_callback(lambda _: together.cancelled() or together.exception())  # seen
        return whole

    def check_room(self, rows: int = 1) -> None:
        """Refuse rows at once if there is no room for all of them.

        Raises:
            QueueFull: as `try_submit` would.
        """
        if self._batches and not self._line.has_room(rows):
            self._batches.make_room()  # requests of this turn may find the model idle
        if not self._line.has_room(rows):
            self._counts.rejected += rows
            never = rows > self.max_pending
            raise QueueFull(
                f"{self._line.rows} rows wait already, and {rows} more would be over max_pending="
                f"{self.max_pending}: {'use `many`' if never else 'try again later'}"
            )

    def statistics(self) -> BatcherStatistics:
        """Return the statistics since the block began."""
        return self._counts.now(self._line.rows)

    def _open(self) -> Dispatcher:
        batches = self._batches
        if batches is None or batches.is_closing:
            raise _outside()
        if batches.loop is not asyncio.get_running_loop():
            raise RuntimeError("this MicroBatcher is in use on another event loop")
        return batches

    def _weight(self, row: Any) -> float:
        if self._weigh is None:
            return 1
        try:
            weight = check_number("weigh", self._weigh(row), "a number > 0")
        except (Exception, asyncio.CancelledError) as error:
            mended = noted("weigh", error, f"`weigh` was given {shorten(row)}")
            raise mended from mended.__cause__
        if not 0 < weight <= self.max_batch_size:
            raise HeavyRow(
                f"a row must weigh more than 0 and at most max_batch_size={self.max_batch_size}, "
                f"got {weight:g} for {shorten(row)}"
            )
        return weight

    def _pieces(self, rows: Any) -> Iterator[tuple[Any, float]]:
        """Yield pieces of the rows that fit into a batch and into the queue, with their weights."""
        size = min(self.max_batch_size, self.max_pending)
        if self._weigh is None:
            for start in range(0, len(rows), size):
                piece = rows[start : start + size]
                yield piece, len(piece)
            return
        weights = [self._weight(row) for row in rows]  # none enters if one is too heavy
        start, sum_of = 0, 0.0
        for stop, weight in enumerate(weights):
            if sum_of + weight > self.max_batch_size or stop - start == self.max_pending:
                yield rows[start:stop], sum_of
                start, sum_of = stop, 0.0
            sum_of += weight
        yield rows[start:], sum_of


def _outside() -> RuntimeError:
    return RuntimeError("a MicroBatcher takes requests inside its block: `async with ...`")


async def _joined(pieces: "asyncio.Future[list[Any]]") -> Any:
    return joined(await pieces)


def _rows(xs: Any) -> Any:
    """Return the rows as an array or a list; raise ValueError if there are none."""
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
