"""Worker threads in virtual time take turns, so that events at equal times keep their order.

Functions start in the order of the calls to `run_in_executor`. Each runs until it ends or calls
`compute` to say that it is busy for a while; then the next one has its turn. Virtual time stands
still while any of them runs. Lesson 03.
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
_here = threading.local()  # .job is the job that this thread runs


class _Abandoned(BaseException):
    """Ends a job that waits in virtual time on a loop that has been closed."""


# Without turns, the operating system would decide which of two threads continues first when both
# have waited until the same virtual time, and every run would draw a different timeline.
#
# All state here changes only on the loop's own thread; a worker asks for a change with
# `_call_back`. A job waits in its pool's line until the pool has a thread for it, and then in the
# line of all due jobs. When the loop has nothing else to do, its selector calls `hold_time`, which
# starts the first due job if none is running. The selector then waits, in real time, until the job
# calls back. Two jobs run side by side only if one has kept the loop waiting for a real second: it
# may be waiting at a barrier, or for a lock that another job must release.
#
# `compute` in a worker thread ends a turn halfway: `hold` makes the loop set a timer, and blocks
# the thread on its job's event. The timer puts the job in line again, and its next turn sets the
# event.
#
# Three things can go wrong between this code and a pool. The machine may give the pool fewer
# threads than it promises: then a job that the pool has only queued is taken back, since all its
# threads may be waiting for virtual time. A pool that is shut down may refuse a job, or drop it
# after queueing it: then the job ends with the pool's error. And a thread may run a job that the
# pool has already given up: so both acquire the job's claim first, and the later one does nothing.


class _Pool:
    """A thread pool as the clock sees it: at most `limit` jobs have begun, and the others wait."""

    def __init__(self, executor: Executor, limit: int) -> None:
        self.executor, self.limit = executor, limit
        self.begun = 0
        self.line: deque[Callable[[], None]] = deque()  # jobs to start
        self.returned: deque[Callable[[], None]] = deque()  # jobs that the pool had no thread for


class _Job:
    """One function for a worker thread."""

    def __init__(self, turns: "Turns", pool: _Pool, call: Callable[[], Any]) -> None:
        self.turns, self.pool, self.call = turns, pool, call
        self.future = JobFuture()
        self.wake = threading.Event()
        self._claim = threading.Lock()  # taken by whatever ends the job: its thread or its pool

    def start(self) -> None:
        if not self.future.set_running_or_notify_cancel():
            self.turns._end(self)
            return
        self._hand_over()

    def _hand_over(self) -> None:
        pool = self.pool
        try:
            handed = pool.executor.submit(self._run)
        except Exception as error:  # the pool was shut down, say; the function is not at fault
            self._fail(refused(pool.executor, error))
            return
        pool.limit = thread_limit(pool.executor) or pool.limit
        # The machine gives too few threads, and all of them may be waiting for virtual time.
        if pool.begun > pool.limit and handed.cancel():
            pool.returned.append(self._hand_over)
            self.turns._end(self)
        else:
            handed.add_done_callback(self._come_back)

    def _come_back(self, handed: Future[None]) -> None:
        """End the job with the pool's error or cancellation, unless a thread has run it."""
        self._fail(CancelledError() if handed.cancelled() else handed.exception())

    def _fail(self, error: BaseException | None) -> None:
        if self._claim.acquire(blocking=False):
            self.future.set_exception(error)
            self.turns._call_back(self.turns._end, self)

    def _run(self) -> None:
        if not self._claim.acquire(blocking=False):  # its pool failed after queueing it
            return
        _here.job = self
        try:
            self.future.set_result(self.call())
        except BaseException as error:
            self.future.set_exception(error)
        finally:
            # An error's traceback leads to this frame, and so to the job. If the job led back to
            # the error, both would stay alive until the next garbage collection.
            del self.future, self.call
            self.turns._call_back(self.turns._end, self)
            _here.job = None


class Turns:
    """The worker threads of one virtual loop, which take turns."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.strangers, self.polling = Strangers(), Polling()
        self.due: deque[Callable[[], None]] = deque()  # jobs to start or to wake, in order
        self._running = 0
        self._outside = 0  # calls running out of sight, such as in other processes
        self._asleep: set[_Job] = set()
        self._pools: dict[Executor, _Pool] = {}
        self._drained: asyncio.Future[None] | None = None

    def submit(
        self, executor: Executor, func: Callable[..., T], args: tuple[Any, ...]
    ) -> asyncio.Future[T]:
        """Put `func(*args)` in line; submit it at once if it is to run in another process."""
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
        """Start the next job if none is running; return whether time has to stand still."""
        while self.due and not self._running:
            self.give()
        if self._running or self._outside:
            return True
        return bool(self.strangers.sources) and self.strangers.run_for_us()

    def give(self) -> None:
        """Start the next job, even beside another."""
        self._running += 1
        self.due.popleft()()

    async def drain(self, executor: Executor) -> None:
        """Wait until all jobs of the executor have ended."""
        pool = self._pools.get(executor)
        while pool is not None and pool.begun:
            self._drained = self._loop.create_future()
            await self._drained

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """Make time stand still in the block, while something runs out of sight."""
        self._outside += 1
        try:
            yield
        finally:
            self._outside -= 1

    def close(self) -> None:
        """End the jobs that are waiting in virtual time, after the loop has been closed."""
        for job in list(self._asleep):  # a thread may add itself in the meantime
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
        except RuntimeError:  # the loop is closed
            return False
        return True


def is_job() -> bool:
    """Return whether this thread is running a job."""
    return getattr(_here, "job", None) is not None


def hold(seconds: float) -> bool:
    """Block this thread's job for `seconds` of virtual time; return False if it runs none."""
    job: _Job | None = getattr(_here, "job", None)
    if job is None:
        return False
    job.wake.clear()
    job.turns._asleep.add(job)  # here, in case the loop is closed before it puts the job to sleep
    told = job.turns._call_back(job.turns._put_to_sleep, job, seconds)
    if told:
        job.wake.wait()
    if not told or job.turns._loop.is_closed():
        raise _Abandoned
    return True
