"""Run a program in virtual time, and let it say how long its work takes.

Sleeping takes no real time, so an hour of waiting runs in milliseconds. A program has the same
times in every run and on every machine.
"""

import asyncio
import contextlib
import contextvars
import math
import signal
import threading
import time
from collections.abc import Coroutine, Iterator
from concurrent.futures import wait
from types import TracebackType
from typing import Any, TypeVar, cast

from asyncml.clock.loop import VirtualLoop
from asyncml.clock.turns import hold
from asyncml.clock.waiting import check_coroutine, user_traceback
from asyncml.failures import hide_stop
from asyncml.internals import running_loop
from asyncml.threads import ThreadPool

T = TypeVar("T")

# how long an interrupted program may take to clean up, in seconds
_PATIENCE_S = 1.0


def compute(seconds: float) -> None:
    """Occupy the caller for `seconds`, as real work would; the event loop runs nothing else.

    On a virtual loop this moves the clock. In a worker thread of a virtual loop it waits in virtual
    time. In real time it spins.

    Args:
        seconds: how long the work takes, >= 0.

    Raises:
        ValueError: `seconds` is negative, infinite or not a number.

    Example:
        >>> async def main():
        ...     compute(3600)
        ...     return asyncio.get_running_loop().time()
        >>> simulate(main())
        3600.0
    """
    if not 0 <= seconds < math.inf:
        raise ValueError(f"`seconds` must be >= 0 and finite, got {seconds}")
    try:
        if hold(seconds):
            return
        loop = running_loop()
        if isinstance(loop, VirtualLoop):
            loop.advance(seconds)
            return
        _spin(seconds)
    except KeyboardInterrupt as stop:
        hide_stop(stop)
        raise


def _spin(seconds: float) -> None:
    """Compute for `seconds`.

    A separate function, because on Python 3.13 an interrupt may arrive at a loop's jump back, which
    is not covered by a `try` in the same function.
    """
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


def simulate(main: Coroutine[Any, Any, T], *, debug: bool = False) -> T:
    """Run a coroutine to its end in virtual time, which starts at 0 s.

    This also works inside a running loop, as in a notebook: the simulation gets its own loop and
    thread, and the caller waits for it. Exceptions propagate; an interrupt cancels the tasks first.
    No task and no thread of asyncio's is left when it returns.

    Time stands still while a worker thread runs, so a worker thread must not wait for a coroutine
    that sleeps, as `run_coroutine_threadsafe(...).result()` might. Worker threads are those of
    `asyncio.to_thread` and `loop.run_in_executor`, and those of a pool whose futures go through
    `asyncio.wrap_future`. A program may start other threads that wake the loop, with
    `call_soon_threadsafe` or as `anyio.to_thread` does. While such a thread appears to be working,
    time stands still for up to 1 s of real time, the next time for half as long, and so on; before
    a deadlock is reported, for up to 5 s. A thread older than the simulation is noticed when it
    first wakes the loop.

    Time also stands still while a task polls, as in `while not done: await asyncio.sleep(0)`. If
    the tasks do nothing else for 10 s of real time and a million turns of the loop, and their
    variables stop changing, that is a Deadlock too.

    Args:
        main: a coroutine, as in `simulate(main())`.
        debug: run the loop in asyncio's debug mode, and leave tracebacks unchanged.

    Returns:
        The result of the coroutine.

    Raises:
        Deadlock: every task waits and nothing can wake any of them, or some yield forever.
        TypeError: `main` is not a coroutine.

    Example:
        >>> async def main():
        ...     await asyncio.gather(*(asyncio.sleep(3600) for _ in range(100)))
        ...     return asyncio.get_running_loop().time()
        >>> simulate(main())
        3600.0
    """
    check_coroutine("simulate", main)
    try:
        if running_loop() is None:
            return _run(main, debug, [])
        return _run_in_thread(main, debug)
    except BaseException as error:  # the loop's frames would bury those of the program
        if not debug:
            error.with_traceback(_without_ours(error.__traceback__))
        raise


def _without_ours(trace: TracebackType | None) -> TracebackType | None:
    """Return the program's part of a traceback, and clear the frames before it.

    asyncio's frames hold the task, and the task holds the error, so the local variables of the
    functions that failed would stay in memory until the next garbage collection.
    """
    theirs = user_traceback(trace)
    while trace is not None and trace is not theirs:
        with contextlib.suppress(RuntimeError):  # this frame is still running
            trace.tb_frame.clear()
        trace = trace.tb_next
    return theirs


def _run(main: Coroutine[Any, Any, T], debug: bool, loops: list[VirtualLoop]) -> T:
    with asyncio.Runner(debug=debug or None, loop_factory=VirtualLoop) as runner:
        loops.append(cast(VirtualLoop, runner.get_loop()))
        return runner.run(main)


# An interrupt (Ctrl+C, or a notebook's stop button) needs care only if `simulate` is called inside
# a running loop; otherwise the signal handler of asyncio.Runner cancels the main task. Inside a
# loop, the simulation runs in its own thread, but Python runs signal handlers in the main thread
# only. This code waits there, and the handler may be that of an outer asyncio.run, which would
# cancel the outer task. That task cannot notice before we return, so we would wait forever. While
# we wait, Python's default handler therefore takes its place and raises KeyboardInterrupt here. The
# simulation is then told to cancel its tasks and has a second to clean up. A program that computes
# without a pause may take longer. Its daemon thread is left behind: joining it would keep the user
# waiting, and a join that is itself interrupted reports a live thread as ended.
def _run_in_thread(main: Coroutine[Any, Any, T], debug: bool) -> T:
    loops: list[VirtualLoop] = []
    pool = ThreadPool(1, name="simulate")
    outcome = pool.submit(contextvars.copy_context().run, _run, main, debug, loops)
    try:
        with _interruptible():
            while not outcome.done():  # a wait without a timeout cannot be interrupted on Windows
                wait([outcome], timeout=0.1)
        pool.shutdown()
    except KeyboardInterrupt:
        for loop in loops:
            with contextlib.suppress(RuntimeError):  # it was closed in the meantime
                loop.call_soon_threadsafe(_cancel_all, loop)
        wait([outcome], timeout=_PATIENCE_S)
        pool.shutdown(wait=False)
        raise
    return outcome.result()


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Let an interrupt raise KeyboardInterrupt in the block."""
    handler = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(handler):
        yield
        return
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)


def _cancel_all(loop: VirtualLoop) -> None:
    for task in asyncio.all_tasks(loop):
        task.cancel()
