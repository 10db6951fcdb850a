"""Where the plain functions of a stage run: in threads, in processes, or in the caller's executor.

A function that runs cannot be called off, so a time-out abandons it. In a thread it goes on unheard
and keeps its thread; a process is ended with it. Lesson 07 compares threads and processes.
"""

import asyncio
import os
import threading
import weakref
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from asyncml.threads import ThreadPool, thread_limit

if TYPE_CHECKING:
    from asyncml.calls import Map

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
        self._elsewhere = not own and thread_limit(executor) is None

    async def call(self, fn: Callable[[Any], Any], value: Any) -> Any:
        """Return `fn(value)`; if this is cancelled or takes too long, the function is abandoned."""
        if self._elsewhere:
            fn = partial(_as_call, fn, os.urandom(16))
        job = asyncio.get_running_loop().run_in_executor(self.executor, fn, value)
        return await (job if self.timeout is None else within(self.timeout, job))

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
        job = asyncio.get_running_loop().run_in_executor(self.executor, fn, value)
        try:
            await asyncio.wait((job,), timeout=self.timeout)
        except asyncio.CancelledError:
            job.cancel()
            raise
        if not job.done():
            self._abandoned.add(job)
            job.add_done_callback(self._returned)
            await self._spare.acquire()
            raise _too_late(self.timeout)
        return job.result()

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
        job = asyncio.get_running_loop().run_in_executor(pool, fn, value)
        try:
            await asyncio.wait((job,), timeout=self.timeout)
        finally:
            if job.done():
                self._idle.append(pool)
            else:
                job.cancel()
                self._pools.discard(pool)
                close_pool(pool)
        if job.cancelled():
            raise _too_late(self.timeout)
        return job.result()

    async def _start(self, fn: Callable[[Any], Any]) -> Executor:
        pool = _processes(1)
        self._pools.add(pool)
        await asyncio.get_running_loop().run_in_executor(pool, _import, fn)
        return pool

    def close(self) -> None:
        """End all processes."""
        while self._pools:
            close_pool(self._pools.pop())


def place(stage: "Map") -> Place | None:
    """Return where the plain function of a stage runs; None if that is the event loop."""
    slots, timeout = stage.concurrency, stage.timeout
    if stage.executor == "inline":
        return None
    if stage.executor == "thread":
        if timeout is None:
            return Place(ThreadPool(slots, name=stage.name), True)
        return TimedThreads(slots, stage.name, timeout)
    if stage.executor == "process":
        return Place(_processes(slots), True) if timeout is None else TimedProcesses(timeout)
    return Place(stage.executor, False, timeout)


async def within(seconds: float, result: Awaitable[Any]) -> Any:
    """Await a result for so many seconds; then cancel it and raise TimeoutError."""
    limit = asyncio.timeout(seconds)
    try:
        async with limit:
            return await result
    except TimeoutError:
        if limit.expired():
            raise _too_late(seconds) from None
        raise


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
    pool = ProcessPoolExecutor(count, multiprocessing.get_context("spawn"))
    _open_pools.add(pool)
    return pool


@cache
def _close_pools_at_exit() -> None:
    """End what still runs when the program ends: the interpreter would wait for it.

    `atexit` is too late. This hook has no public name; concurrent.futures has just used it itself.
    """
    if register := getattr(threading, "_register_atexit", None):
        register(_close_pools)
    if at_fork := getattr(os, "register_at_fork", None):
        at_fork(after_in_child=_open_pools.clear)  # else a child would end its parent's


def _close_pools() -> None:
    for pool in list(_open_pools):
        close_pool(pool)


def close_pool(pool: Executor) -> None:
    """Let go of an executor at once: what has not begun is dropped, what runs is not waited for."""
    processes = list((getattr(pool, "_processes", None) or {}).values())
    pool.shutdown(wait=False, cancel_futures=True)
    for process in processes:  # the interpreter's exit would wait for them
        process.terminate()
