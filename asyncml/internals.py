"""The private names of CPython that this package uses: what a new Python may take away.

Each was checked on Python 3.11 to 3.14. `tests/test_internals.py` tries them all and says by name
what is missing, and that no file uses another. In brackets: a variable of a function.

    asyncio.BaseEventLoop._check_callback       the checks of methods that VirtualLoop replaces
    asyncio.BaseEventLoop._check_closed         the same
    asyncio.BaseEventLoop._check_default_executor   the same
    asyncio.BaseEventLoop._check_thread         the same
    asyncio.BaseEventLoop._clock_resolution     how much too early a timer may fire
    asyncio.BaseEventLoop._debug                what get_debug() returns, without a call
    asyncio.BaseEventLoop._default_executor     the pool of to_thread
    asyncio.BaseEventLoop._ready                the callbacks of the next turn
    asyncio.BaseEventLoop._scheduled            the heap of timers
    asyncio.BaseEventLoop._thread_id            which thread the loop runs in
    asyncio.BaseEventLoop._timer_handle_cancelled   what a timer calls when it is cancelled
    asyncio.Future._exception                   the error of a future, without asking for it
    asyncio.Future._log_traceback               whether nobody has asked for it
    asyncio.Handle._callback                    whose turn it is: a task's, or another function's
    asyncio.Handle._run[self]                   which timer called, for when it was due
    asyncio.Handle._source_traceback            where it was made, in debug mode
    asyncio.Task._coro                          the coroutine; see `coroutine_of`
    asyncio.Task._fut_waiter                    the future that it waits for
    asyncio.TimerHandle._scheduled              that it is in the heap: cancelling counts it
    asyncio._get_running_loop                   the running loop, or None
    asyncio.futures._set_result_unless_cancelled    what the timer of `sleep` calls
    asyncio.tasks._GatheringFuture              what `gather` returns
    asyncio.wrap_future[future]                 which future of another thread is waited for
    concurrent.futures.ProcessPoolExecutor._executor_manager_thread     to see that it has ended
    concurrent.futures.ProcessPoolExecutor._processes   to end them where they will not
    concurrent.futures.ThreadPoolExecutor._max_workers  how many threads it may have
    concurrent.futures.ThreadPoolExecutor._threads      and which it has
    concurrent.futures.thread._worker[work_queue]       whether a thread has nothing to do
    sys._current_frames                         where a thread stands
    sys._getframe                               who called
    threading.Condition._waiters                whether a thread that waits has been woken
    threading.Condition.wait[waiter]            by this lock
    threading._active                           the threads, without taking a lock
    threading._limbo                            and those that are just being started
    threading._register_atexit                  what is done before threads and processes are joined
    warnings._warn_unawaited_coroutine          which coroutine was never awaited

What is read at each step of a program is read in place, since a function would double what that
costs. The others have a plain name here.
"""

import asyncio
import inspect
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Executor
from types import FrameType
from typing import Any

GATHERING: type = asyncio.tasks._GatheringFuture  # type: ignore[attr-defined]
ENDS_SLEEP = asyncio.futures._set_result_unless_cancelled  # type: ignore[attr-defined]
frame_at, frames_of_threads = sys._getframe, sys._current_frames
running_loop = asyncio._get_running_loop


def coroutine_of(task: Any) -> Any:
    """Return a task's coroutine: of a recorded task its wrapper, of one that has ended maybe None.

    Not by `get_coro`, which kills some interpreters, as that of Python 3.12.1, if an eager task had
    ended before it was made (CPython issue 122332).
    """
    return getattr(task, "_coro", None)


def awaited_by(task: Any) -> Any:
    """Return the future that a task waits for, or None."""
    return getattr(task, "_fut_waiter", None)


def unseen_error(task: Any) -> BaseException | None:
    """Return the error of a task for which nobody has asked, and do not count as asking."""
    error: BaseException | None = getattr(task, "_exception", None)
    return error if getattr(task, "_log_traceback", False) else None


def variables(frame: FrameType) -> dict[str, Any]:
    """Return the variables of a function's frame, of which it keeps no second copy.

    Before Python 3.13 a frame that was asked for them does, and with it what they hold: an error's
    traceback leads to many frames.
    """
    names = frame.f_locals
    found = dict(names)
    if isinstance(names, dict) and frame.f_code.co_flags & inspect.CO_OPTIMIZED:
        names.clear()
    return found


def threads_of(executor: Executor) -> Any:
    """Return the threads of a pool; none of what has no threads here."""
    return getattr(executor, "_threads", ())


def processes_of(executor: Executor) -> list[Any]:
    """Return the processes of a pool, as far as they have been started."""
    return list((getattr(executor, "_processes", None) or {}).values())


def manager_of(executor: Executor) -> threading.Thread | None:
    """Return the thread that manages the processes of a pool, and lets go of its semaphores."""
    return getattr(executor, "_executor_manager_thread", None)


def before_exit(function: Callable[[], None]) -> None:
    """Have a function called when the program ends, before its threads and processes are joined.

    `atexit` is too late for that. concurrent.futures uses the same hook.
    """
    if register := getattr(threading, "_register_atexit", None):
        register(function)
