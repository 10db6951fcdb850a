"""The private names of CPython that this package uses, any of which a new Python may remove.

All were checked on Python 3.11 to 3.14. `tests/test_internals.py` tries each one, reports any that
is missing, and checks that no file uses others. Brackets mark a local variable of a function.

    asyncio.BaseEventLoop._check_callback       checks made by methods that VirtualLoop overrides
    asyncio.BaseEventLoop._check_closed         the same
    asyncio.BaseEventLoop._check_default_executor   the same
    asyncio.BaseEventLoop._check_thread         the same
    asyncio.BaseEventLoop._clock_resolution     how early a timer may fire
    asyncio.BaseEventLoop._debug                the result of get_debug(), without a call
    asyncio.BaseEventLoop._default_executor     the pool of to_thread
    asyncio.BaseEventLoop._ready                the callbacks of the next iteration
    asyncio.BaseEventLoop._scheduled            the heap of timers
    asyncio.BaseEventLoop._thread_id            the thread that runs the loop
    asyncio.BaseEventLoop._timer_handle_cancelled   called by a timer that is cancelled
    asyncio.Future._exception                   a future's error, without marking it as retrieved
    asyncio.Future._log_traceback               whether that error has not been retrieved yet
    asyncio.Handle._callback                    what runs next: a task's step or another function
    asyncio.Handle._run[self]                   the timer that fired, and so when it was due
    asyncio.Handle._source_traceback            where the handle was created, in debug mode
    asyncio.Task._coro                          the coroutine; see `coroutine_of`
    asyncio.Task._fut_waiter                    the future that the task is waiting for
    asyncio.TimerHandle._scheduled              that it is in the heap (cancelled ones are counted)
    asyncio._get_running_loop                   the running loop, or None
    asyncio.futures._set_result_unless_cancelled    the timer callback of `sleep`
    asyncio.tasks._GatheringFuture              the type that `gather` returns
    asyncio.wrap_future[future]                 the other thread's future that is awaited
    concurrent.futures.ProcessPoolExecutor._executor_manager_thread     to see that it has ended
    concurrent.futures.ProcessPoolExecutor._processes   to terminate those that do not end
    concurrent.futures.ThreadPoolExecutor._max_workers  how many threads it may start
    concurrent.futures.ThreadPoolExecutor._threads      the threads that it has started
    concurrent.futures.thread._worker[work_queue]       whether a worker thread is idle
    sys._current_frames                         the current frame of every thread
    sys._getframe                               the caller's frame
    threading.Condition._waiters                whether a waiting thread has been notified
    threading.Condition.wait[waiter]            the lock on which it waits
    threading._active                           the running threads, without taking a lock
    threading._limbo                            the threads that are just starting
    threading._register_atexit                  runs before threads and processes are joined
    warnings._warn_unawaited_coroutine          told of each coroutine that was never awaited

Names that are read at every step of a program are used directly there, because a function call
would double the cost. The others have a plain name here.
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
    """Return a task's coroutine: a recorded task's wrapper, perhaps None for a finished task.

    `get_coro` is not used: it crashes some interpreters, such as Python 3.12.1, if an eager task
    finished before its object was complete (CPython issue 122332).
    """
    return getattr(task, "_coro", None)


def awaited_by(task: Any) -> Any:
    """Return the future that a task is waiting for, or None."""
    return getattr(task, "_fut_waiter", None)


def unseen_error(task: Any) -> BaseException | None:
    """Return a task's error if it has not been retrieved, without marking it as retrieved."""
    error: BaseException | None = getattr(task, "_exception", None)
    return error if getattr(task, "_log_traceback", False) else None


def variables(frame: FrameType) -> dict[str, Any]:
    """Return the variables of a frame without leaving a second copy in the frame.

    Before Python 3.13 reading `f_locals` of a function's frame stores a copy there, which keeps the
    values alive; an error's traceback reaches many frames.
    """
    names = frame.f_locals
    found = dict(names)
    if isinstance(names, dict) and frame.f_code.co_flags & inspect.CO_OPTIMIZED:
        names.clear()
    return found


def threads_of(executor: Executor) -> Any:
    """Return the threads of a pool; an empty tuple if it has none in this process."""
    return getattr(executor, "_threads", ())


def processes_of(executor: Executor) -> list[Any]:
    """Return the processes that a pool has started so far."""
    return list((getattr(executor, "_processes", None) or {}).values())


def manager_of(executor: Executor) -> threading.Thread | None:
    """Return the thread that manages a pool's processes and releases its semaphores, or None."""
    return getattr(executor, "_executor_manager_thread", None)


def before_exit(function: Callable[[], None]) -> None:
    """Register a function to run at exit, before threads and processes are joined.

    `atexit` runs too late for that. concurrent.futures uses the same hook.
    """
    if register := getattr(threading, "_register_atexit", None):
        register(function)
