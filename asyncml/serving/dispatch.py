"""Batches: formed where a place is free, run, and handed out row by row.

The batch is formed by whoever runs it, at the moment when the one before it has ended. A thread
takes it from the queue without waiting for the event loop, which meanwhile takes new requests and
hands out the last answers. So the queue, and what is counted, are under a lock.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from contextvars import copy_context
from operator import itemgetter
from typing import Any

from asyncml.serving.calling import EVERYBODYS, Model, twin, without_our_frames
from asyncml.serving.line import Part, Request, Rows, WaitingLine
from asyncml.serving.stacking import by_kind, count_of, joined, stacked
from asyncml.serving.statistics import Meter, Reason
from asyncml.switching import ShortSwitches

_Call = Callable[[Any], Awaitable[Any]]


class _News:
    """What callers are to be told; it is kept until the next batch is ready to run.

    Then the event loop hands out the answers while the model runs, and not while a thread stacks.

    Args:
        tell: calls a function, on the event loop.
    """

    def __init__(self, tell: Callable[..., object]) -> None:
        self._tell, self._news = tell, list[tuple[Any, ...]]()

    def add(self, what: Callable[..., None], parts: list[Part], outcome: Any) -> None:
        """Keep the output of some rows, or their error."""
        self._news.append((what, parts, outcome))

    def tell(self) -> None:
        """Tell it."""
        while self._news:
            self._tell(*self._news.pop(0))


class Dispatcher:
    """The batches of one block of a `MicroBatcher`.

    Args:
        model: what runs them.
        line: where requests wait.
        size: the most weight in a batch.
        wait_s: how long a request waits for a fuller one while nothing is running.
        places: how many may run at once.
    """

    def __init__(
        self, model: Model, line: WaitingLine, size: int, wait_s: float, places: int
    ) -> None:
        self.loop, self.meter = asyncio.get_running_loop(), Meter()
        self.is_closing = self._has_ended = False
        self.entering = 0  # `many`s of which there is more to come
        self._model, self._line = model, line
        self._size, self._wait_s, self._places = size, wait_s, places
        self._lock = threading.Lock()
        self._running: dict[int, list[Part]] = {}  # which place runs what
        self._jobs: set[asyncio.Future[None]] = set()
        self._context = copy_context()  # a batch runs in none of its callers'
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
            self.meter.requests += request.count
            self._line.enter(request)
            is_idle = len(self._running) < self._places
        if is_idle:
            self.call()

    def give_up(self, request: Request) -> None:
        """Give back the place of a request whose caller has gone."""
        if request.answer.cancel() or request.answer.cancelled():
            self.meter.cancelled += request.count
            with self._lock:
                self._line.leave(request)
            self.call()
        else:
            request.answer.exception()  # else it is logged as never retrieved

    def has_answer(self, request: Request, answer: "asyncio.Future[Any]") -> None:
        """Note that a future is done: its owner may have cancelled it."""
        if answer.cancelled():
            self.give_up(request)

    def call(self) -> None:
        """Launch batches in the next turn: what else comes in this one goes along."""
        if not self._is_called:
            self._is_called = True
            self.loop.call_soon(self._launch, context=self._context)

    def _launch(self) -> None:
        self._is_called = False
        if self._has_ended:
            return
        for place in range(self._places):
            if place not in self._running and (parts := self._next(place)):
                self._start(place, parts)
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

    def _start(self, place: int, parts: list[Part]) -> None:
        job: asyncio.Future[None]
        if (pool := self._model.pool) is not None:
            job = self.loop.run_in_executor(pool, self._work_in_thread, place, parts)
        else:
            work = self._work(place, parts, self._model, _News(lambda do, *args: do(*args)))
            job = self.loop.create_task(work, name=f"batcher-{place + 1}")
        self._jobs.add(job)
        job.add_done_callback(self._done, context=self._context)

    def _done(self, job: "asyncio.Future[None]") -> None:
        self._jobs.discard(job)
        self._launch()
        if not job.cancelled():
            job.result()  # what ends the program ends it

    async def drain(self) -> None:
        """Answer all there is."""
        self._drained = self.loop.create_future()
        self._launch()
        await self._drained

    async def end(self) -> None:
        """Answer nobody any more, and leave nothing behind."""
        with self._lock:
            self._has_ended = True
            left = [(request, 0, 0) for request in self._line.clear()]
            for parts in self._running.values():
                left += parts
        if self._timer:
            self._timer.cancel()
        self._fail(left, ended())
        self._model.close()
        for job in self._jobs:
            job.cancel()
        await asyncio.gather(*self._jobs, return_exceptions=True)

    # on the event loop, or in a thread

    def _next(self, place: int, begun_s: float | None = None) -> list[Part] | None:
        """Take the next batch for a place, if one may leave now; otherwise the place is free.

        Args:
            place: whose batch has ended, if it had one.
            begun_s: when that began.
        """
        is_busy, now_s = begun_s is not None, self.loop.time()
        with self._lock:
            if begun_s is not None:
                del self._running[place]
                self.meter.served_s += now_s - begun_s
            if not self._line or self._has_ended or not self._is_due(now_s):
                return None
            is_first = not self._running
            parts, is_full = self._line.take(self._size)
            self._running[place] = parts
            reason: Reason = "waited" if self._wait_s and is_first else "idle"
            if is_full or self.is_closing or is_busy:
                reason = "full" if is_full else "closing" if self.is_closing else "busy"
            self.meter.left(parts, reason, now_s)
            return parts

    def _is_due(self, now_s: float) -> bool:
        line = self._line
        if not self._wait_s or self._running or self.is_closing:
            return True
        return now_s >= line.oldest_s + self._wait_s or line.fills(self._size)

    def _work_in_thread(self, place: int, parts: list[Part]) -> None:
        news = _News(self.loop.call_soon_threadsafe)
        work = self._work(place, parts, self._model.call_here, news)
        # the loop is busiest while batches run, and each operation of NumPy waits for it to let go
        with ShortSwitches(), suppress(StopIteration):
            work.send(None)  # it waits for nothing, and so runs to its end

    async def _work(self, place: int, parts: list[Part] | None, call: _Call, news: _News) -> None:
        """Run a batch, and those after it, until none is due."""
        while parts:
            begun_s = self.loop.time()
            try:
                groups = by_kind(parts)
                while groups:
                    groups += await self._answer(groups.pop(), call, news)
            except BaseException as error:  # nobody must wait for ever
                if isinstance(error, Exception):
                    news.add(self._fail, parts, without_our_frames(error))
                else:
                    self._running.pop(place, None)
                    news.add(self._fail, parts, ended())
                    news.tell()
                    raise
            parts = self._next(place, begun_s)
        news.tell()

    async def _answer(self, parts: list[Part], call: _Call, news: _News) -> list[list[Part]]:
        """Call the model and hand out its rows, but not to those who have gone meanwhile.

        Returns:
            What is to be tried again, the last first: the halves of a batch that has failed.
        """
        parts = [part for part in parts if not part[0].answer.done()]
        if not parts:
            return []
        try:
            batch = stacked(parts)
            rows = len(batch)
            news.tell()
            output = await call(batch)
        except Exception as error:
            if len(parts) > 1 and not isinstance(error, EVERYBODYS):
                middle = len(parts) // 2
                return [parts[middle:], parts[:middle]]
            news.add(self._fail, parts, without_our_frames(error))
            return []
        try:
            count_of(output, rows, self._model.name)
        except Exception as error:
            news.add(self._fail, parts, without_our_frames(error))
        else:
            news.add(self._hand_out, parts, output)
        return []

    # by the event loop

    def _hand_out(self, parts: list[Part], output: Any) -> None:
        place = answered = 0
        for part in parts:
            request, start, stop = part
            end = place + stop - start
            try:
                if request.answer.done():
                    pass
                elif not isinstance(request, Rows):
                    request.answer.set_result(output[place])
                    answered += 1
                elif _is_whole(request, start, stop, output[place:end]):
                    request.answer.set_result(joined([piece for _, _, piece in request.pieces]))
                    answered += request.count
            except Exception as error:  # it has a length, but no rows, or rows that do not join
                self._fail([part], without_our_frames(error))
            place = end
        self.meter.answered += answered

    def _fail(self, parts: list[Part], error: Exception) -> None:
        """Give those requests the error, each one of its own: callers add notes and causes."""
        for request, _, _ in parts:
            if not request.answer.done():
                request.answer.set_exception(error)
                self.meter.failed += request.count
                with self._lock:
                    self._line.leave(request)  # the rows of it that have not left yet
                error = twin(error)


def _is_whole(request: Rows, start: int, stop: int, output: Any) -> bool:
    """Add the output of some rows, and return whether there are those of all."""
    request.pieces.append((start, stop, output))
    request.pieces.sort(key=itemgetter(0))
    return sum(stop - start for start, stop, _ in request.pieces) == request.count


def ended() -> RuntimeError:
    """Return the error of those who are left without an answer."""
    return RuntimeError("the block of the MicroBatcher was left by an error: nobody is answered")
