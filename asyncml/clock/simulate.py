"""Run a program in virtual time, and let it say how long its work takes.

Nothing that sleeps takes any time, so an hour of waiting runs in milliseconds, and every run of a
program gives the same times on every machine.
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
from asyncml.internals import running_loop
from asyncml.threads import ThreadPool

T = TypeVar("T")

# an interrupted program has so long, in seconds, to clean up
_PATIENCE_S = 1.0


def compute(seconds: float) -> None:
    """Hold the caller for `seconds`, as work would: it does not yield to the event loop.

    On a virtual loop it moves the clock, in a worker thread of a virtual loop it waits in virtual
    time, and in real time it spins.

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
    while time.perf_counter() < end:
        pass


def simulate(main: Coroutine[Any, Any, T], *, debug: bool = False) -> T:
    """Run a coroutine to its end in virtual time, which starts at 0 s.

    Works inside a running loop too, as in a notebook: on a loop and a thread of its own, while the
    caller is held. Exceptions pass through; an interrupt cancels the tasks first. No task, and no
    thread of asyncio's own, is left when it returns. Time stands still while a worker thread runs,
    so one that waits for the loop, as for `run_coroutine_threadsafe(...).result()`, must not wait
    for a coroutine that sleeps.

    Worker threads are those of `asyncio.to_thread` and `loop.run_in_executor`, and of a pool whose
    futures go through `asyncio.wrap_future`. A thread that the program starts in another way and
    that will wake the loop, with `call_soon_threadsafe` or as `anyio.to_thread` does, is waited for
    while it is seen to work, for 1 s of real time at first, then for less: after that time goes on.
    Before a deadlock is named it is waited for 5 s. A thread that was there before, and has not
    yet called, is not seen at all.

    Time also stands still while a task polls, as in `while not done: await asyncio.sleep(0)`. When
    tasks have done nothing else for 10 s of real time and a million turns of the loop, and no
    variable of theirs changes any more, that ends in a Deadlock, too.

    Args:
        main: a coroutine, so `simulate(main())`.
        debug: run the loop in asyncio's debug mode, and leave tracebacks as they are.

    Returns:
        What the coroutine returns.

    Raises:
        Deadlock: every task waits and nothing could wake one of them; or some only yield, for ever.
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
    """Return the program's part of a traceback, which still leads to the frames that are left out.

    Those of asyncio's hold the task, and so its error: the next collection of garbage would be the
    first to free all that the failed functions hold.
    """
    theirs = user_traceback(trace)
    while trace is not None and trace is not theirs:
        with contextlib.suppress(RuntimeError):  # it still runs
            trace.tb_frame.clear()
        trace = trace.tb_next
    return theirs


def _run(main: Coroutine[Any, Any, T], debug: bool, loops: list[VirtualLoop]) -> T:
    with asyncio.Runner(debug=debug or None, loop_factory=VirtualLoop) as runner:
        loops.append(cast(VirtualLoop, runner.get_loop()))
        return runner.run(main)


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
    """Let an interrupt raise here: asyncio.run would only note it, for the task that is held."""
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
