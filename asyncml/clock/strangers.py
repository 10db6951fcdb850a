"""Threads that the clock did not start but that may wake its loop, as far as they can be seen.

The clock knows every thread that `run_in_executor` uses (see `turns`). Other threads can only be
observed from outside: a future of `asyncio.wrap_future` tells whether its function is running, and
a thread's stack tells whether it is waiting for work.
"""

import asyncio
import concurrent.futures
import selectors
import threading
from collections.abc import Callable
from concurrent.futures import Executor
from types import FrameType
from typing import Any

from asyncml.internals import frames_of_threads, threads_of, variables
from asyncml.threads import ThreadPool

# How many real seconds the loop waits for a busy thread that may wake a task. Each wait in vain
# halves the next one, since the thread may never wake any.
PATIENCE_S = 1.0
# The same if nothing else can happen, before a deadlock is reported.
LAST_PATIENCE_S = 5.0

_active, _limbo = threading._active, threading._limbo  # type: ignore[attr-defined]
_WAIT = threading.Condition.wait.__code__
_SELECTS: set[Any] = {
    getattr(getattr(kind, "select", None), "__code__", None) for kind in vars(selectors).values()
}
# function in which a pool's thread waits for work -> how to get its queue from its variables
_QUEUES: dict[Any, Callable[[dict[str, Any]], Any]] = {
    concurrent.futures.thread._worker.__code__: lambda names: names["work_queue"],
    ThreadPool._work.__code__: lambda names: names["self"]._jobs,
}


class JobFuture(concurrent.futures.Future[Any]):
    """The future of a job that the clock started."""


class Strangers:
    """The threads that a program starts outside the control of one virtual loop."""

    def __init__(self) -> None:
        self.patience_s = PATIENCE_S
        self._known = set(threading.enumerate())  # a notebook's, a debugger's, ...
        self._executors: list[Executor] = []
        self._callers: set[int] = set()  # ids of threads that have woken the loop, known or not
        self._quiet: list[threading.Thread] | None = None  # all threads, if none was a stranger
        self.sources: dict[asyncio.Future[Any], concurrent.futures.Future[Any]] = {}

    def know(self, executor: Executor) -> None:
        """Treat the threads of this executor as known."""
        self._executors.append(executor)

    def note_caller(self) -> None:
        """Record that the calling thread has woken the loop, and so may do it again."""
        self._callers.add(threading.get_ident())
        self._quiet = None

    def note_future(self, future: asyncio.Future[Any], source: Any) -> None:
        """Record that `future` follows `source`, which another thread completes."""
        if not isinstance(source, JobFuture):
            self.sources[future] = source
            self._quiet = None
            future.add_done_callback(lambda done: self.sources.pop(done, None))

    def run_for_us(self) -> bool:
        """Return whether a function is running whose result the program awaits."""
        return any(source.running() for source in self.sources.values())

    def exist(self) -> bool:
        """Return whether there are any."""
        # This runs before each jump, so it is fast. Threads come and go in the meantime, so each
        # list is copied in one operation; starting threads come first, as they move to the others.
        live = [*_limbo, *_active.values()]
        if live == self._quiet:
            return False
        self._quiet = live  # first, because a thread that calls in the meantime sets it to None
        if self.sources or self._threads():
            self._quiet = None
        return self._quiet is None

    def names(self) -> list[str]:
        """Return their names."""
        futures = ["a future of asyncio.wrap_future"] if self.sources else []
        return [*(thread.name for thread in self._threads()), *futures]

    def are_at_work(self) -> bool:
        """Return whether any of them is doing anything other than waiting for work."""
        if self.sources:
            return True
        threads = self._threads()
        if not threads:
            return False
        frames = frames_of_threads()
        return any(_is_at_work(thread, frames.get(thread.ident or 0)) for thread in threads)

    def _threads(self) -> list[threading.Thread]:
        callers, known, here = self._callers, self._known, threading.get_ident()
        threads = threading.enumerate()
        found = [t for t in threads if t not in known or (callers and t.ident in callers)]
        if found:
            for executor in self._executors:
                ours = threads_of(executor)
                known.update(ours)
                found = [thread for thread in found if thread not in ours]
        return [thread for thread in found if thread.ident != here]


def _is_at_work(thread: threading.Thread, frame: FrameType | None) -> bool:
    if isinstance(thread, threading.Timer) and thread.interval <= LAST_PATIENCE_S:
        return True
    return frame is not None and not _is_idle(frame)


def _is_idle(frame: FrameType) -> bool:
    """Return whether a thread is waiting for a condition, a selector or a pool's next job.

    A thread that has just been woken is still at the same place until it gets to run. So a
    condition is asked whether the thread's lock is still among its waiters, and a pool's queue
    whether it is empty.
    """
    code = frame.f_code
    if code is _WAIT:
        names = variables(frame)
        return names.get("waiter") in names["self"]._waiters
    if code in _QUEUES:
        return bool(_QUEUES[code](variables(frame)).empty())
    return code in _SELECTS
