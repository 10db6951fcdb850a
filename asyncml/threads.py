"""A pool of daemon threads, so that plain functions do not block the event loop.

The standard ThreadPoolExecutor joins its threads when the interpreter exits, so one plain function
that never returns keeps a finished program alive. These threads are daemons: a program that exits
drops their work. Lesson 07 shows what runs in them.
"""

import concurrent.futures
import os
import queue
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

from asyncml.clocks import is_virtual
from asyncml.internals import running_loop

P = ParamSpec("P")
T = TypeVar("T")
_Job = tuple[Future[Any], Callable[[], Any]]
_PATIENCE_S = 1.0  # for each thread to end, on a loop in virtual time


class ThreadPool(Executor):
    """Run plain functions in at most `max_workers` daemon threads, first come, first served.

    Threads start when they are needed, and end on `shutdown` or with the process.

    Args:
        max_workers: how many functions may run at once, at least 1.
        name: the prefix of the threads' names, `name-1`, `name-2`, ...

    Raises:
        ValueError: `max_workers` is below 1.

    Example:
        >>> with ThreadPool(2) as pool:
        ...     pool.submit(pow, 2, 10).result()
        1024
    """

    def __init__(self, max_workers: int, *, name: str = "thread") -> None:
        if max_workers < 1:
            raise ValueError(f"`max_workers` must be >= 1, got {max_workers}")
        self.max_workers = max_workers
        self._name = name
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._idle = threading.Semaphore(0)
        self._lock = threading.Lock()
        self._closed = False
        self._is_short = False  # whether the machine has ever refused to start a thread

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Queue `fn(*args, **kwargs)` and return its future at once.

        Args:
            fn: a plain function.
            *args: its positional arguments.
            **kwargs: its keyword arguments.

        Raises:
            RuntimeError: the pool has been shut down, or the machine cannot start a single thread.
        """
        future: Future[T] = Future()
        with self._lock:
            if self._closed:
                raise RuntimeError("this ThreadPool has been shut down: make a new one")
            self._jobs.put((future, lambda: fn(*args, **kwargs)))
            if len(self._threads) < self.max_workers and not self._idle.acquire(blocking=False):
                name = f"{self._name}-{len(self._threads) + 1}"
                thread = threading.Thread(target=self._work, name=name, daemon=True)
                try:
                    thread.start()
                except RuntimeError:  # the machine has no more threads: use the existing ones
                    if not self._threads:
                        self._jobs.get_nowait()
                        raise
                    self._is_short = True
                else:
                    self._threads.append(thread)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more work; `cancel_futures` drops queued work, `wait` joins the threads.

        With `wait=False` this returns at once; a running function continues to its end, and nothing
        waits for it. While the interpreter is exiting this also returns at once: daemon threads no
        longer run. On a loop in virtual time `wait` takes at most one second of real time per
        thread: a thread in `compute` waits for virtual time, which stands still until then.

        Args:
            wait: whether to return only after the threads have ended.
            cancel_futures: whether to cancel the queued work.
        """
        with self._lock:
            self._closed = True
            while cancel_futures:
                try:
                    job = self._jobs.get_nowait()
                except queue.Empty:
                    break
                if job is not None:
                    job[0].cancel()
            for _ in self._threads:
                self._jobs.put(None)
        if wait and not sys.is_finalizing():
            limit_s = _PATIENCE_S if is_virtual(running_loop()) else None
            for thread in self._threads:
                thread.join(limit_s)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            future, call = job
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(call())
                except BaseException as error:
                    future.set_exception(error)
            del job, future, call  # an idle thread must not keep the last result alive
            self._idle.release()


def thread_limit(executor: Executor) -> int | None:
    """Return the number of threads of a thread pool; None for any other executor."""
    if isinstance(executor, ThreadPool):
        return len(executor._threads) if executor._is_short else executor.max_workers
    elsewhere = getattr(concurrent.futures, "InterpreterPoolExecutor", ())  # from Python 3.14
    if isinstance(executor, ThreadPoolExecutor) and not isinstance(executor, elsewhere):
        return executor._max_workers
    return None


def cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # Linux, where a process may be limited to some of them
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
