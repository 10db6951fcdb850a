"""Worker threads in virtual time: they take turns, so that equal times come in the same order.

Functions start in the order in which `run_in_executor` was called. Each runs until it ends, or says
with `compute` that it is busy for a while; then it is the next one's turn. While any of them runs,
virtual time stands still. Lesson 03.
"""

import asyncio
import contextlib
import functools
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Executor, Future
from typing import Any, TypeVar

from asyncml.clock.polling import Polling
from asyncml.clock.strangers import JobFuture, Strangers
from asyncml.failures import refused
from asyncml.threads import thread_limit

T = TypeVar("T")
_here = threading.local()  # .job: the job that this thread runs


class _Abandoned(BaseException):
    """Ends a job that waits in virtual time on a loop that has been closed."""


# Without turns, the operating system would decide which of two threads goes on first when both
# have waited until the same virtual time, and a program would draw another timeline in each run.
#
# All that changes here changes on the loop's own thread; a worker only asks for it, through
# `_call_back`. A job stands in the line of its pool until the pool has a thread for it, and then in
# the line of all jobs that are due. When the loop has nothing else to do, its selector calls
# `hold_time`, which lets the first of these jobs run if none does, and the selector waits, in real
# time, until the job calls back. Two jobs run side by side only if one has kept the loop waiting
# for a real second: it may be waiting at a barrier, or for a lock that another job has to release.
#
# `compute` in a worker thread ends a turn halfway: `hold` has the loop set a timer, and blocks the
# thread on an event of its job. The timer puts the job in line again, and its turn sets the event.
#
# Between us and a pool three things can go wrong. The machine may give the pool fewer threads than
# it promises. A job that it has only queued is then taken back, since the threads that there are
# may all be waiting for time to go on. A pool that is shut down may refuse a job, or drop it after
# it has queued it: it ends with the pool's error. And a thread may run a job that the pool has
# already given up; so both take the job's claim first, and the one that is late does nothing.


class _Pool:
    """A thread pool as the clock sees it: at most `limit` jobs have begun, the others wait."""

    def __init__(self, executor: Executor, limit: int) -> None:
        self.executor, self.limit = executor, limit
        self.begun = 0
        self.line: deque[Callable[[], None]] = deque()  # jobs to start
        self.returned: deque[Callable[[], None]] = deque()  # jobs for which there was no thread


class _Job:
    """One function for a worker thread."""

    def __init__(self, turns: "Turns", pool: _Pool, call: Callable[[], Any]) -> None:
        self.turns, self.pool, self.call = turns, pool, call
        self.future = JobFuture()
        self.wake = threading.Event()
        self._claim = threading.Lock()  # held by what ends the job: its thread, or a failed pool

    def start(self) -> None:
        if not self.future.set_running_or_notify_cancel():
            self.turns._end(self)
            return
        self._hand_over()

    def _hand_over(self) -> None:
        pool = self.pool
        try:
            handed = pool.executor.submit(self._run)
        except Exception as error:  # it was shut down, say: no fault of the function's
            self._fail(refused(pool.executor, error))
            return
        pool.limit = thread_limit(pool.executor) or pool.limit
        # the machine gives too few threads, and those there are may all wait for time to go on
        if pool.begun > pool.limit and handed.cancel():
            pool.returned.append(self._hand_over)
            self.turns._end(self)
        else:
            handed.add_done_callback(self._come_back)

    def _come_back(self, handed: Future[None]) -> None:
        """End the job as the pool has ended it, unless a thread has run it."""
        self._fail(CancelledError() if handed.cancelled() else handed.exception())

    def _fail(self, error: BaseException | None) -> None:
        if self._claim.acquire(blocking=False):
            self.future.set_exception(error)
            self.turns._call_back(self.turns._end, self)

    def _run(self) -> None:
        if not self._claim.acquire(blocking=False):  # its pool had queued it, and failed then
            return
        _here.job = self
        try:
            self.future.set_result(self.call())
        except BaseException as error:
            self.future.set_exception(error)
        finally:
            # the traceback of an error leads to this frame and, through it, to the job: if the job
            # led back to the error, both would stay until the next collection of garbage
            del self.future, self.call
            self.turns._call_back(self.turns._end, self)
            _here.job = None


class Turns:
    """The worker threads of one virtual loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.strangers, self.polling = Strangers(), Polling()
        self.due: deque[Callable[[], None]] = deque()  # jobs to start or to wake, in order
        self._running = 0
        self._outside = 0  # how much runs where we cannot see it, as in other processes
        self._asleep: set[_Job] = set()
        self._pools: dict[Executor, _Pool] = {}
        self._drained: asyncio.Future[None] | None = None

    def submit(
        self, executor: Executor, func: Callable[..., T], args: tuple[Any, ...]
    ) -> asyncio.Future[T]:
        """Put `func(*args)` in line; if it is to run in another process, submit it at once."""
        limit = thread_limit(executor)
        if limit is None:
            outside = executor.submit(func, *args)
            self._outside += 1
            future = asyncio.wrap_future(outside, loop=self._loop)
            outside.add_done_callback(lambda _: self._call_back(self._end_outside))
            return future
        pool = self._pools.get(executor)
        if pool is None:
            pool = self._pools[executor] = _Pool(executor, limit)
            self.strangers.know(executor)
        job = _Job(self, pool, functools.partial(func, *args))
        pool.line.append(job.start)
        self._begin(pool)
        return asyncio.wrap_future(job.future, loop=self._loop)

    def hold_time(self) -> bool:
        """Give the next job its turn if none is running; tell whether time has to stand still."""
        while self.due and not self._running:
            self.give()
        if self._running or self._outside:
            return True
        return bool(self.strangers.sources) and self.strangers.run_for_us()

    def give(self) -> None:
        """Let the next job run, even beside another."""
        self._running += 1
        self.due.popleft()()

    async def drain(self, executor: Executor) -> None:
        """Wait until the jobs of the executor have ended."""
        pool = self._pools.get(executor)
        while pool is not None and pool.begun:
            self._drained = self._loop.create_future()
            await self._drained

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """Let time stand still in the block, while something runs where we cannot see it."""
        self._outside += 1
        try:
            yield
        finally:
            self._outside -= 1

    def close(self) -> None:
        """End the jobs that are waiting in virtual time; the loop has been closed."""
        for job in list(self._asleep):  # a thread may add itself meanwhile
            job.wake.set()
        self._asleep.clear()
        self._pools.clear()

    def _begin(self, pool: _Pool) -> None:
        while (line := pool.returned or pool.line) and pool.begun < pool.limit:
            pool.begun += 1
            self.due.append(line.popleft())

    def _end(self, job: _Job) -> None:
        self._running -= 1
        job.pool.begun -= 1
        self._begin(job.pool)
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)

    def _end_outside(self) -> None:
        self._outside -= 1

    def _put_to_sleep(self, job: _Job, seconds: float) -> None:
        self._running -= 1
        self._loop.call_later(seconds, self.due.append, functools.partial(self._wake, job))

    def _wake(self, job: _Job) -> None:
        self._asleep.discard(job)
        job.wake.set()

    def _call_back(self, callback: Callable[..., Any], *args: Any) -> bool:
        try:
            self._loop.call_soon_threadsafe(callback, *args)
        except RuntimeError:  # the loop is closed, nobody listens any more
            return False
        return True


def is_job() -> bool:
    """Tell whether this thread runs a job."""
    return getattr(_here, "job", None) is not None


def hold(seconds: float) -> bool:
    """Hold the job that this thread runs for `seconds` of virtual time; False if it runs none."""
    job: _Job | None = getattr(_here, "job", None)
    if job is None:
        return False
    job.wake.clear()
    job.turns._asleep.add(job)  # here, lest the loop be closed before it puts the job to sleep
    told = job.turns._call_back(job.turns._put_to_sleep, job, seconds)
    if told:
        job.wake.wait()
    if not told or job.turns._loop.is_closed():
        raise _Abandoned
    return True
