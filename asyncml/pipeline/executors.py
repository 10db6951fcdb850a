"""Where the plain functions of a stage run: in threads, in processes, or in the caller's executor.

A running function cannot be cancelled, so a time-out abandons it. In a thread it runs on, keeps the
thread, and its result is ignored; in a process it ends with the process. Lesson 07 compares threads
and processes.
"""

import asyncio
import contextvars
import os
from collections.abc import Awaitable, Callable
from concurrent.futures import BrokenExecutor, Executor
from functools import partial
from typing import Any

from asyncml.failures import is_asked_to_end, refused
from asyncml.pipeline.pools import Pools, close_pool, start_processes
from asyncml.threads import ThreadPool, thread_limit


class Place:
    """The executor of one stage's plain function, for one epoch.

    Args:
        executor: runs the function.
        own: whether the executor ends with the epoch.
        timeout: seconds for one call; None for no limit.
    """

    def __init__(self, executor: Executor, own: bool, timeout: float | None = None) -> None:
        self.executor = executor
        self.timeout = timeout
        self._own = own
        self._is_here = thread_limit(executor) is not None

    async def call(self, fn: Callable[[Any], Any], value: Any) -> Any:
        """Return `fn(value)`; on cancellation or a time-out the function is abandoned."""
        if not (self._is_here or self._own):
            fn = partial(_as_call, fn, os.urandom(16))
        job = self.submit(fn, value)
        try:
            return await (job if self.timeout is None else within(self.timeout, job))
        except asyncio.CancelledError as error:
            if is_asked_to_end() or not job.cancelled():
                raise
            raise refused(self.executor, error) from error  # it was shut down with calls queued
        finally:
            del job  # an error's traceback holds this frame, which must not hold the error

    def submit(self, fn: Callable[..., Any], *args: Any) -> "asyncio.Future[Any]":
        """Submit `fn(*args)` and return its future; threads see the caller's context variables.

        Raises:
            BrokenExecutor: a worker of the executor has died.
            ExecutorError: the executor takes no work, for any other reason.
        """
        if self._is_here:
            fn = partial(contextvars.copy_context().run, fn)
        return submitted(self.executor, fn, *args)

    def close(self) -> None:
        """Close the executor if the epoch owns it; a function running in a thread is abandoned."""
        if self._own:
            close_pool(self.executor)


class Processes(Place):
    """Processes for calls without a time-out, kept for the next epoch if all calls have ended."""

    def __init__(self, pools: Pools, slots: int) -> None:
        self._kept = pools.take(slots)  # until a job has returned
        super().__init__(self._kept or start_processes(slots), True)
        self._pools: Pools | None = pools
        self._slots = slots
        self._jobs: set[asyncio.Future[Any]] = set()  # those whose end has not been recorded
        self._is_lost = False  # whether a process may still be running an abandoned job

    async def call(self, fn: Callable[[Any], Any], value: Any) -> Any:
        """Return `fn(value)`, from a new pool if a process has died since the last epoch."""
        executor = self.executor
        try:
            return await super().call(fn, value)
        except BrokenExecutor:
            if executor is not self._kept:
                raise
            if executor is self.executor:  # this is the first of the waiting calls
                close_pool(executor)
                self.executor = start_processes(self._slots)
                self._jobs, self._is_lost = set(), False
        return await super().call(fn, value)

    def submit(self, fn: Callable[..., Any], *args: Any) -> "asyncio.Future[Any]":
        """Submit `fn(*args)`, and record how it ends."""
        job = super().submit(fn, *args)
        self._jobs.add(job)
        job.add_done_callback(self._ended)
        return job

    def _ended(self, job: "asyncio.Future[Any]") -> None:
        if job not in self._jobs:
            return  # a job of the pool that has died since the last epoch
        self._jobs.remove(job)
        if not _has_returned(job):
            self._is_lost = True
        elif self.executor is self._kept:
            self._kept = None

    def close(self) -> None:
        """Keep the processes, or end them if one is still busy: nothing else stops a function."""
        pools, self._pools, self._kept = self._pools, None, None
        jobs, self._jobs = self._jobs, set()
        # a job's awaiter may resume before the job's callbacks have run, as seen on Python 3.14
        if self._is_lost or not all(job.done() and _has_returned(job) for job in jobs):
            close_pool(self.executor)
        elif pools:
            pools.put(self._slots, self.executor)


def _has_returned(job: "asyncio.Future[Any]") -> bool:
    """Return whether a job ended by itself, and not with its process."""
    return not (job.cancelled() or isinstance(job.exception(), BrokenExecutor))


class TimedThreads(Place):
    """Threads for calls with a time-out: `slots` for awaited calls, `slots` for abandoned ones.

    While `slots` abandoned calls are running, the next call to time out keeps its slot until one of
    them ends. So a function that hangs now and then slows nothing down; one that always hangs stops
    the stage.
    """

    def __init__(self, slots: int, name: str, timeout: float) -> None:
        super().__init__(ThreadPool(2 * slots, name=name), True, timeout)
        self._spare = asyncio.Semaphore(slots)
        self._abandoned: set[asyncio.Future[Any]] = set()

    async def call(self, fn: Callable[[Any], Any], value: Any) -> Any:
        """Return `fn(value)`, or raise TimeoutError once a thread is free for the next call."""
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
        """Shut the threads down; calls that still run are not waited for."""
        for job in list(self._abandoned):
            if not job.get_loop().is_closed():
                job.cancel()
        super().close()


class TimedProcesses(Place):
    """Processes for calls with a time-out, each in its own pool so that it can be ended alone.

    A process has started and has imported the function before the time of its first call begins.
    """

    def __init__(self, pools: Pools, timeout: float) -> None:
        self.timeout = timeout
        self._kept: Pools | None = pools
        self._pools: set[Executor] = set()
        self._idle: list[Executor] = []

    async def call(self, fn: Callable[[Any], Any], value: Any) -> Any:
        """Return `fn(value)`; on a time-out, end its process and raise TimeoutError."""
        pool = self._idle.pop() if self._idle else await self._start(fn)
        job = submitted(pool, fn, value)
        try:
            await asyncio.wait((job,), timeout=self.timeout)
        finally:
            if job.done() and _has_returned(job):
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
        while self._kept is not None:
            kept = self._kept.take(1)
            pool = kept or start_processes(1)
            self._pools.add(pool)
            try:
                await submitted(pool, _import, fn)
                return pool
            except BrokenExecutor:
                if pool is not kept:  # else it has died since the last epoch
                    raise
                self._pools.discard(pool)
                close_pool(pool)
        raise asyncio.CancelledError

    def close(self) -> None:
        """Keep the idle processes and end the others."""
        kept, self._kept = self._kept, None
        while self._pools:
            pool = self._pools.pop()
            if kept and pool in self._idle:
                kept.put(1, pool)
            else:
                close_pool(pool)


def place(
    executor: Any, slots: int, name: str, timeout: float | None, pools: Pools
) -> Place | None:
    """Return where a stage's plain function runs, or None for the event loop."""
    if executor == "inline":
        return None
    if executor == "thread":
        if timeout is None:
            return Place(ThreadPool(slots, name=name), True)
        return TimedThreads(slots, name, timeout)
    if executor == "process":
        return Processes(pools, slots) if timeout is None else TimedProcesses(pools, timeout)
    return Place(executor, False, timeout)


def submitted(executor: Executor, fn: Callable[..., Any], *args: Any) -> "asyncio.Future[Any]":
    """Submit `fn(*args)` and return its future; raise ExecutorError if no work is taken."""
    try:
        return asyncio.get_running_loop().run_in_executor(executor, fn, *args)
    except BrokenExecutor:
        raise
    except Exception as error:  # it was shut down, for example, or the machine is out of threads
        raise refused(executor, error) from error


async def within(seconds: float, result: Awaitable[Any], left: float | None = None) -> Any:
    """Await a result for up to `seconds`, or what is `left` of them; then raise TimeoutError."""
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
    """Return `fn(value)`; the name makes the call unique.

    Dask treats equal calls as one. Without a name, a retry would get the error of the attempt
    before it, and an item would share the cancellation of an equal item, or its random numbers.
    """
    return fn(value)


def _import(fn: Callable[[Any], Any]) -> None:
    """Do nothing: to unpickle this call, the process has imported the module of `fn`."""
