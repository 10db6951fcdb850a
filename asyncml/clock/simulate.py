"""Run a program in virtual time, and let it say how long its work takes.

Sleeping takes no real time, so an hour of waiting runs in milliseconds, and a program gives the
same times in every run and on every machine.
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

# how long, in seconds, an interrupted program may take to clean up
_PATIENCE_S = 1.0


def compute(seconds: float) -> None:
    """Hold the caller for `seconds`, as work would: the event loop runs nothing else meanwhile.

    On a virtual loop it moves the clock; in a worker thread of a virtual loop it waits in virtual
    time; in real time it spins.

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
    if hold(seconds):
        return
    loop = running_loop()
    if isinstance(loop, VirtualLoop):
        loop.advance(seconds)
        return
    end = time.perf_counter() + seconds
    try:
        while time.perf_counter() < end:
            pass
    except KeyboardInterrupt as stop:
        hide_stop(stop)
        raise


def simulate(main: Coroutine[Any, Any, T], *, debug: bool = False) -> T:
    """Run a coroutine to its end in virtual time, which starts at 0 s.

    Works inside a running loop too, as in a notebook: the simulation gets a loop and a thread of
    its own, and the caller waits for it. Exceptions pass through; an interrupt cancels the tasks
    first. No task and none of asyncio's threads is left when it returns.

    Time stands still while a worker thread runs, so a worker thread must not wait for a coroutine
    that sleeps, as `run_coroutine_threadsafe(...).result()` might. Worker threads are those of
    `asyncio.to_thread` and `loop.run_in_executor`, and of a pool whose futures go through
    `asyncio.wrap_future`. A program may start other threads that wake the loop, by
    `call_soon_threadsafe` or as `anyio.to_thread` does. While such a thread is seen to work, time
    stands still for up to 1 s of real time, the next time for half of that, and so on; and for up
    to 5 s before a deadlock is named. A thread that is older than the simulation is noticed when it
    first wakes the loop.

    Time also stands still while a task polls, as in `while not done: await asyncio.sleep(0)`. If
    the tasks have done nothing else for 10 s of real time and a million turns of the loop, and none
    of their variables changes any more, that is a Deadlock too.

    Args:
        main: a coroutine, so `simulate(main())`.
        debug: run the loop in asyncio's debug mode, and leave tracebacks as they are.

    Returns:
        What the coroutine returns.

    Raises:
        Deadlock: every task waits, and nothing can wake any of them; or some only yield, for ever.
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
    except BaseException as error:  # the loop's own frames would bury the program's
        if not debug:
            error.with_traceback(_without_ours(error.__traceback__))
        raise


def _without_ours(trace: TracebackType | None) -> TracebackType | None:
    """Return the program's part of a traceback, and clear the frames that are left out.

    asyncio's frames hold the task, and the task holds the error: what the functions that failed had
    in their variables would stay in memory until the next collection of garbage.
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


# An interrupt (Ctrl+C, or the stop button of a notebook) needs care if `simulate` is called inside
# a running loop. Otherwise asyncio.Runner deals with it: its signal handler cancels the main task.
# Inside a loop, the simulation has a thread of its own, but Python runs signal handlers in the main
# thread alone, where this code waits, and there the handler may be that of an outer asyncio.run. It
# would cancel the outer task, which cannot notice before we return, and we would wait for ever. So
# for as long as we wait, Python's plain handler takes its place, which raises KeyboardInterrupt
# here. Then the simulation is told to cancel its tasks, and has a second to clean up. A program
# that computes without a pause may take longer; its daemon thread is left behind, since joining it
# would hold the user up, and a join that is interrupted in its turn calls a live thread dead.
def _run_in_thread(main: Coroutine[Any, Any, T], debug: bool) -> T:
    loops: list[VirtualLoop] = []
    pool = ThreadPool(1, name="simulate")
    outcome = pool.submit(contextvars.copy_context().run, _run, main, debug, loops)
    try:
        with _interruptible():
            while not outcome.done():  # waiting without a time-out cannot be interrupted on Windows
                wait([outcome], timeout=0.1)
        pool.shutdown()
    except KeyboardInterrupt:
        for loop in loops:
            with contextlib.suppress(RuntimeError):  # it has just been closed
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
