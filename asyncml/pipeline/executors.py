"""Where the plain functions of a stage run: in threads, in processes, or in the caller's executor.

A function that runs cannot be called off, so a time-out abandons it. In a thread it goes on unheard
and keeps its thread; a process is ended with it. Lesson 07 compares threads and processes.
"""

import asyncio
import contextvars
import os
import threading
import weakref
from collections.abc import Awaitable, Callable
from concurrent.futures import BrokenExecutor, Executor
from functools import cache, partial
from typing import Any

from asyncml.failures import is_asked_to_end, refused
from asyncml.internals import before_exit, processes_of
from asyncml.threads import ThreadPool, thread_limit

_open_pools: "weakref.WeakSet[Executor]" = weakref.WeakSet()  # of processes


class Place:
    """An executor for the plain function of one stage, for an epoch.

    Args:
        executor: what runs the function.
        own: whether it ends with the epoch.
        timeout: seconds for one call; None where there is no limit.
    """

    def __init__(self, executor: Executor, own: bool, timeout: float | None = None) -> None:
        self.executor = executor
        self.timeout = timeout
        self._own = own
        self._is_here = thread_limit(executor) is not None

    async def call(self, fn: Callable[[Any], Any], value: Any) -> Any:
        """Return `fn(value)`; if this is cancelled or takes too long, the function is abandoned."""
        if not (self._is_here or self._own):
            fn = partial(_as_call, fn, os.urandom(16))
        job = self.submit(fn, value)
        try:
            return await (job if self.timeout is None else within(self.timeout, job))
        except asyncio.CancelledError as error:
            if is_asked_to_end() or not job.cancelled():
                raise
            raise refused(self.executor, error) from error  # it was shut down over waiting calls
        finally:
            del job  # an error's traceback holds this frame, which must not hold the error

    def submit(self, fn: Callable[..., Any], *args: Any) -> "asyncio.Future[Any]":
        """Hand `fn(*args)` over; threads see the context variables of whoever asks.

        Raises:
            ExecutorError: the executor takes no work, for whatever reason.
        """
        if self._is_here:
            fn = partial(contextvars.copy_context().run, fn)
        return submitted(self.executor, fn, *args)

    def close(self) -> None:
        """Let go of what belongs to the epoch; a function that runs in a thread is abandoned."""
        if self._own:
            close_pool(self.executor)


class TimedThreads(Place):
    """Threads for calls with a time-out: `slots` for those that are awaited, `slots` to abandon.

    Once so many have been abandoned and still run, another one keeps its slot until one of them
    ends: a function that hangs now and then slows nothing down, one that always hangs stops here.
    """

    def __init__(self, slots: int, name: str, timeout: float) -> None:
        super().__init__(ThreadPool(2 * slots, name=name), True, timeout)
        self._spare = asyncio.Semaphore(slots)
        self._abandoned: set[asyncio.Future[Any]] = set()

    async def call(self, fn: Callable[[Any], Any], value: Any) -> Any:
        """Return `fn(value)`, or raise TimeoutError once there is a thread for the next call."""
        job = self.submit(fn, value)
        try:
            await asyncio.wait((job,), timeout=self.timeout)
            if not job.done():
                self._abandoned.add(job)
                job.add_done_callback(self._returned)
                await self._spare.acquire()
                raise _too_late(self.timeout)
            return job.result()
        except asyncio.CancelledError:
            job.cancel()
            raise
        finally:
            del job  # an error's traceback holds this frame

    def _returned(self, job: "asyncio.Future[Any]") -> None:
        self._abandoned.discard(job)
        self._spare.release()
        if not job.cancelled():
            job.exception()  # else it is logged as never retrieved

    def close(self) -> None:
        """Let go of the threads; nobody waits for what they still do."""
        for job in list(self._abandoned):
            if not job.get_loop().is_closed():
                job.cancel()
        super().close()


class TimedProcesses(Place):
    """Processes for calls with a time-out: each in a pool of its own, to be ended by itself.

    A process has started and has imported the function before the time of its first call begins.
    """

    def __init__(self, timeout: float) -> None:
        self.timeout = timeout
        self._pools: set[Executor] = set()
        self._idle: list[Executor] = []

    async def call(self, fn: Callable[[Any], Any], value: Any) -> Any:
        """Return `fn(value)`, or end its process and raise TimeoutError."""
        pool = self._idle.pop() if self._idle else await self._start(fn)
        job = submitted(pool, fn, value)
        try:
            await asyncio.wait((job,), timeout=self.timeout)
        finally:
            if job.done():
                self._idle.append(pool)
            else:
                job.cancel()
                self._pools.discard(pool)
                close_pool(pool)
        try:
            if job.cancelled():
                raise _too_late(self.timeout)
            return job.result()
        finally:
            del job  # an error's traceback holds this frame

    async def _start(self, fn: Callable[[Any], Any]) -> Executor:
        pool = _processes(1)
        self._pools.add(pool)
        await submitted(pool, _import, fn)
        return pool

    def close(self) -> None:
        """End all processes."""
        while self._pools:
            close_pool(self._pools.pop())


def place(executor: Any, slots: int, name: str, timeout: float | None) -> Place | None:
    """Return where the plain function of a stage runs; None if that is the event loop."""
    if executor == "inline":
        return None
    if executor == "thread":
        if timeout is None:
            return Place(ThreadPool(slots, name=name), True)
        return TimedThreads(slots, name, timeout)
    if executor == "process":
        return Place(_processes(slots), True) if timeout is None else TimedProcesses(timeout)
    return Place(executor, False, timeout)


def submitted(executor: Executor, fn: Callable[..., Any], *args: Any) -> "asyncio.Future[Any]":
    """Return the future of `fn(*args)` in an executor; raise ExecutorError if it takes no work."""
    try:
        return asyncio.get_running_loop().run_in_executor(executor, fn, *args)
    except BrokenExecutor:
        raise
    except Exception as error:  # it was shut down, say, or the machine gives no more threads
        raise refused(executor, error) from error


async def within(seconds: float, result: Awaitable[Any], left: float | None = None) -> Any:
    """Await a result for so many seconds, or what is `left` of them; then raise TimeoutError."""
    limit = asyncio.timeout(seconds if left is None else left)
    try:
        async with limit:
            return await result
    except TimeoutError:
        if limit.expired():
            raise _too_late(seconds) from None
        raise
    finally:
        del result  # an error's traceback holds this frame


def _too_late(seconds: float | None) -> TimeoutError:
    return TimeoutError(f"no result within {seconds:g} s")


def _as_call(fn: Callable[[Any], Any], _name: bytes, value: Any) -> Any:
    """Return `fn(value)`; the name makes it a call of its own.

    Dask takes equal calls for one: without a name, a retry would be given the error that it
    follows, and an item the cancellation of an equal one, or its random numbers.
    """
    return fn(value)


def _import(fn: Callable[[Any], Any]) -> None:
    """Do nothing: whoever can call this has imported the module of `fn`."""


def _processes(count: int) -> Executor:
    import multiprocessing  # takes 20 ms, and few need it
    from concurrent.futures import ProcessPoolExecutor

    _close_pools_at_exit()
    spawn = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(count, spawn, initializer=_end_with_parent)
    _open_pools.add(pool)
    return pool


def _end_with_parent() -> None:
    """End this worker when the process that started it is gone, killed without a last word."""
    from multiprocessing import parent_process

    parent = parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, name="end-with-parent", daemon=True).start()


@cache
def _close_pools_at_exit() -> None:
    """End what still runs when the program ends: the interpreter would wait for it."""
    before_exit(_close_pools)
    if at_fork := getattr(os, "register_at_fork", None):
        at_fork(after_in_child=_open_pools.clear)  # else a child would end its parent's


def _close_pools() -> None:
    for pool in list(_open_pools):
        close_pool(pool)


def close_pool(pool: Executor) -> None:
    """Let go of an executor at once: what has not begun is dropped, what runs is not waited for."""
    processes = processes_of(pool)
    pool.shutdown(wait=False, cancel_futures=True)
    for process in processes:  # the interpreter's exit would wait for them
        process.terminate()
