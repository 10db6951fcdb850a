"""Threads that the clock did not start and that may wake its loop, as far as they can be seen.

What `run_in_executor` starts is known (`turns.py`). Others can only be looked at: a future of
`asyncio.wrap_future` says whether its function runs, and a thread's stack whether it waits to be
given work. Part of the clock (lesson 03), used by nothing else.
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

# so long, in real seconds, a thread may work before the loop no longer waits for it to wake a task;
# the next time only half of that, for it may be one that never does
PATIENCE_S = 1.0
# and so long where nothing else is left that could happen, before that is called a deadlock
LAST_PATIENCE_S = 5.0

_WAIT = threading.Condition.wait.__code__
_SELECTS: set[Any] = {
    getattr(getattr(kind, "select", None), "__code__", None) for kind in vars(selectors).values()
}
# a pool's thread looks for work in the queue that this finds among its variables
_QUEUES: dict[Any, Callable[[dict[str, Any]], Any]] = {
    concurrent.futures.thread._worker.__code__: lambda names: names["work_queue"],
    ThreadPool._work.__code__: lambda names: names["self"]._jobs,
}


class JobFuture(concurrent.futures.Future[Any]):
    """The future of a job that the clock knows."""


class Strangers:
    """The threads that the program starts on its own beside one virtual loop."""

    def __init__(self) -> None:
        self.patience_s = PATIENCE_S
        self._known = set(threading.enumerate())  # those of a notebook, of a debugger, ...
        self._executors: list[Executor] = []
        self._callers: set[int] = set()  # who has woken the loop, known or not
        self._quiet: list[threading.Thread] | None = None  # all threads, when none was a stranger
        self.sources: dict[asyncio.Future[Any], concurrent.futures.Future[Any]] = {}

    def know(self, executor: Executor) -> None:
        """Take the threads of this executor for known."""
        self._executors.append(executor)

    def note_caller(self) -> None:
        """Note that the thread that runs this has woken the loop, and so may do it again."""
        self._callers.add(threading.get_ident())
        self._quiet = None

    def note_future(self, future: asyncio.Future[Any], source: Any) -> None:
        """Note that `future` will end with `source`, which somebody else completes."""
        if not isinstance(source, JobFuture):
            self.sources[future] = source
            self._quiet = None
            future.add_done_callback(lambda done: self.sources.pop(done, None))

    def run_for_us(self) -> bool:
        """Tell whether a function runs whose end the program awaits."""
        return any(source.running() for source in self.sources.values())

    def exist(self) -> bool:
        """Tell whether there are any."""
        # asked before each jump; a copy of all in one go, since other threads come and go meanwhile
        live = list(threading._active.values())  # type: ignore[attr-defined]
        if live == self._quiet:
            return False
        self._quiet = live  # first: a thread that calls meanwhile sets it to None
        if self.sources or self._threads():
            self._quiet = None
        return self._quiet is None

    def names(self) -> list[str]:
        """Name them."""
        futures = ["a future of asyncio.wrap_future"] if self.sources else []
        return [*(thread.name for thread in self._threads()), *futures]

    def are_at_work(self) -> bool:
        """Tell whether one of them does anything but wait to be given work."""
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
    """Tell whether a thread waits: for a condition, for a selector, or for a pool's next job.

    One that has just been told to go on stands where it waited until it gets the interpreter.
    """
    code = frame.f_code
    if code is _WAIT:
        names = variables(frame)
        return names.get("waiter") in names["self"]._waiters
    if code in _QUEUES:
        return bool(_QUEUES[code](variables(frame)).empty())
    return code in _SELECTS
