"""Judges functions that read a file within a time limit: their outcome, and the file's.

There are two kinds of file, async and blocking. Both record how they were used.
"""

import asyncio
import contextlib
import inspect
import random
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from asyncml.clock.turns import hold
from asyncml.course.exercises.scenes import UNAWAITABLE, Hints, demand, play, refuse
from asyncml.failures import shorten
from asyncml.internals import running_loop

SIGNATURE: Hints = {
    "positional argument": ("signature", "Which arguments does the text of the exercise name?")
}
SPINS: Hints = {
    "still running": (
        "endless",
        "Time stands still for a loop that never waits, and `sleep(0)` does not wait.",
    )
}
_HINTS: Hints = {
    **SIGNATURE,
    "'coroutine' object": ("no-await", "`open_file` is a coroutine function: await its call."),
    "an awaitable is required / object method can't be / 'method' object can't be awaited": (
        "no-call",
        "The call makes the coroutine: `file.read()`.",
    ),
    UNAWAITABLE: (
        "plain-file",
        "The functions of this file are plain ones: there is nothing to await.",
    ),
    "local variable": (
        "unopened",
        "If opening fails, there is no file yet. Does your `finally` close one all the same?",
        "Open it before the `try` whose `finally` closes it.",
    ),
    "in the main thread": ("thread", "In a thread there is no loop: give it a plain function."),
    "TaskGroup": ("group", "A `TaskGroup` wraps each error in a group. Is one needed here?"),
    "context manager protocol": (
        "no-with",
        "`asyncio.timeout` needs `async with`; this file has `close`, and no `async with`.",
    ),
    **SPINS,
}


LIMIT = "`async with asyncio.timeout(seconds):` around the reading."
UNKNOWN_THREAD = (
    "it ran in a thread that the event loop did not start. Virtual time ignores such threads, so "
    "this cannot be judged here."
)


@dataclass
class Case:
    """A case of reading: its times, its error and its cancellation; all times in seconds.

    Attributes:
        told: the case in words.
        read_s: the time that reading takes.
        seconds: the limit that the answer is given.
        error: the error that reading raises.
        stop_at_s: when the answer is cancelled from outside.
        open_s: the time that opening takes.
        opens: whether the file can be opened; otherwise opening raises `error`.
        close_s: the time that closing takes.
    """

    told: str
    read_s: float
    seconds: float
    error: Exception | None = None
    stop_at_s: float | None = None
    open_s: float = 0.1
    close_s: float = 0.2
    opens: bool = True


@dataclass
class Seen:
    """The state when the answer ended, and its outcome."""

    took_s: float
    was_closed: bool
    was_reading: bool
    was_cancelled: bool
    error: BaseException | None = None
    result: Any = None


class _Noting:
    """The record of a file's use."""

    close_calls = 0
    is_reading = is_closed = closes_read = False

    def __init__(self, case: Case, number: int) -> None:
        self.case, self.data = case, random.Random(number).randbytes(4)

    def _outcome(self) -> bytes:
        if self.case.error is not None:
            raise self.case.error
        return self.data


class File(_Noting):
    """A file with coroutine methods."""

    async def open(self) -> "File":
        """Open the file, after a while."""
        await asyncio.sleep(self.case.open_s)
        if not self.case.opens and self.case.error is not None:
            raise self.case.error
        return self

    async def read(self) -> bytes:
        """Return the data, after a while."""
        self.is_reading = True
        try:
            await asyncio.sleep(self.case.read_s)
        finally:
            self.is_reading = False
        return self._outcome()

    def close(self) -> Coroutine[Any, Any, None]:
        """Return a coroutine that closes the file; counts the call."""
        self.close_calls += 1
        return self._close()

    aclose = close  # the name that `contextlib.aclosing` calls

    async def _close(self) -> None:
        self.closes_read = self.closes_read or self.is_reading
        await asyncio.sleep(self.case.close_s)
        self.is_closed = True


class BlockingFile(_Noting):
    """A file with blocking methods; calling it opens it."""

    is_by_hand = False

    def __call__(self) -> "BlockingFile":
        """Open the file, at once."""
        return self

    def read(self) -> bytes:
        """Block the thread for a while, then return the data."""
        shown = "`read` was called on the event loop, which stands still meanwhile."
        why = "`asyncio.to_thread(function)` calls it in another thread; with "
        why += "`to_thread(function())` you call it yourself, first."
        demand(running_loop() is None, "blocking", shown, why)
        self.is_reading = True
        self.is_by_hand = not hold(self.case.read_s)  # False unless in a thread of a pool
        self.is_reading = False
        if self.is_closed:
            raise ValueError("I/O operation on closed file")
        return self._outcome()

    def close(self) -> None:
        """Close the file, at once."""
        self.close_calls += 1
        self.closes_read, self.is_closed = self.closes_read or self.is_reading, True

    def __enter__(self) -> "BlockingFile":
        """Return the file."""
        return self

    def __exit__(self, *error: object) -> None:
        """Close the file."""
        self.close()


def run_case(answer: Any, case: Case, file: File | BlockingFile, open_file: Any) -> Seen:
    """Let the answer read the file in virtual time; raise `Wrong` for the answer's own errors."""

    async def scene(read_within: Callable[..., Coroutine[Any, Any, Any]]) -> Seen:
        loop = asyncio.get_running_loop()
        task = asyncio.create_task(read_within(open_file, case.seconds), name="read_within")
        if case.stop_at_s is not None:
            loop.call_later(case.stop_at_s, task.cancel)
        await asyncio.wait([task])
        seen = Seen(loop.time(), file.is_closed, file.is_reading, task.cancelled())
        if isinstance(file, BlockingFile):
            await asyncio.sleep(case.read_s + 1)  # its thread has ended by then
        if task.cancelled():
            return seen
        seen.error = task.exception()
        if seen.error is None:
            seen.result = task.result()
        elif not (isinstance(seen.error, OSError) or file.closes_read):  # TimeoutError is one
            raise seen.error
        return seen

    with no_pool_awaits(file):
        seen: Seen = play(scene, answer, of=answer, hints=_HINTS).result
    return seen


@contextlib.contextmanager
def no_pool_awaits(file: Any) -> Iterator[None]:
    """Refuse a pool whose shutdown on the loop waits for its thread: in virtual time, for ever.

    Args:
        file: the object used in a thread; `is_reading` is true while it is in use.
    """
    shutdown = ThreadPoolExecutor.shutdown

    def watched(pool: ThreadPoolExecutor, wait: bool = True, **kwargs: Any) -> None:
        is_held = wait and file.is_reading and running_loop() is not None
        shutdown(pool, wait=wait and not is_held, **kwargs)
        shown = "the `with` block of the pool held the event loop until its thread had ended."
        why = "`asyncio.to_thread` uses a pool that nobody has to close."
        demand(not is_held, "holds", shown, why)

    ThreadPoolExecutor.shutdown = watched  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        ThreadPoolExecutor.shutdown = shutdown  # type: ignore[method-assign]


def demand_outcome(case: Case, seen: Seen) -> None:
    """Demand that an error, a cancellation or a time-out had the right outcome."""
    is_coroutine, is_stopped = inspect.iscoroutine(seen.result), case.stop_at_s is not None
    name = seen.result.__name__ if is_coroutine else ""
    if is_coroutine:
        seen.result.close()
    shown = f"it returned a coroutine, `{name}`, and not its result."
    why = "Where is the `await`? And `to_thread` takes plain functions, not coroutines."
    demand(not is_coroutine, "coroutine", shown, why)
    shown = "it was cancelled from outside while it read, and carried on as if time were up."
    why = "Your `except` takes every CancelledError for the time-out's. Whose was this one?"
    more = "Catch `TimeoutError`, around the block: only your own limit becomes one."
    demand(seen.was_cancelled or not is_stopped, "swallowed", shown, why, more)
    shown = f"{case.told}, and a CancelledError came out."
    why = "Whose CancelledError is it?"
    demand(is_stopped or not seen.was_cancelled, "cancelled", shown, why)
    if not is_stopped:
        _demand_error(case, seen.error)


def _demand_error(case: Case, error: BaseException | None) -> None:
    if isinstance(case.error, TimeoutError):
        shown = f"{case.told}, long before your limit, and it did not come out."
        why = "Two time-outs raise the same TimeoutError. Which of them was yours?"
        more = "`async with asyncio.timeout(seconds) as limit:`, and in the `except`: "
        more += "`if not limit.expired(): raise`."
        is_out = isinstance(error, TimeoutError) and error.args == case.error.args
        demand(is_out, "not-yours", shown, why, more)  # a thread raises a copy of it
        return
    shown = f"{case.told}, and a TimeoutError came out; None was to be returned."
    why = "Inside the block of the time-out it is still a CancelledError. Where does it change?"
    more = "`try:` around the whole `async with asyncio.timeout(...)`, then "
    more += "`except TimeoutError`, and in it None if `limit.expired()`."
    demand(not isinstance(error, TimeoutError), "escaped", shown, why, more)
    shown = f"{case.told}, and the error did not come out."
    why = "Only a time-out is answered with None. Is there a `return` in your `finally`?"
    more = "`except TimeoutError`, and not `except Exception`; and no `return` in the `finally`."
    demand(error is case.error, "lost-error", shown, why, more)


def demand_closed(case: Case, file: File | BlockingFile, seen: Seen) -> None:
    """Demand that the file was closed exactly once."""
    shown, calls = f"{case.told}, and the file was never closed.", file.close_calls
    more = "Close it in a `finally`, or use a `with`: both act however it ends."
    demand(calls > 0, "not-closed", shown, "Which lines run however it ends?", more)
    shown = f"{case.told}, and `close` was called {calls} times."
    demand(calls == 1, "twice", shown, "One `finally` is enough for all ways out.")


def demand_idle(case: Case, file: File, seen: Seen) -> None:
    """Demand that no reading continues after the file is closed or the answer has returned."""
    shown = f"{case.told}; the file was closed, or left, while it was still being read."
    why = "Some ways of waiting with a limit leave the task running when time is up. Which?"
    more = "`asyncio.timeout` and `wait_for` end it and wait; `asyncio.wait` and `shield` do not."
    demand(not (seen.was_reading or file.closes_read), "runs-on", shown, why, more)


def demand_whole(case: Case, file: File, seen: Seen) -> None:
    """Demand that closing was awaited to its end."""
    is_cut = not seen.was_closed and case.told == "reading was done just in time"
    shown = f"{case.told}, and `close` was cut off in the middle: the time was up."
    why = "What does the time-out limit: the reading, or the closing as well?"
    more = "Only `await file.read()` stands in the block of the time-out; the `try ... finally` "
    more += "with `await file.close()` stands around that block."
    demand(not is_cut, "cut-off", shown, why, more)
    shown = f"{case.told}; `close` was called, and the file was still open at the end."
    why = "`close` is a coroutine, and takes 0.2 s. Who waits for it?"
    more = "`await file.close()`, in the `finally`: an `await` is allowed there."
    demand(seen.was_closed, "not-awaited", shown, why, more)


def demand_result(case: Case, file: File | BlockingFile, seen: Seen) -> None:
    """Demand the data, or None if it came too late."""
    if case.error is not None or case.stop_at_s is not None:
        return
    got, is_late = seen.result, case.read_s > case.seconds
    is_endless = is_late and got is not None and seen.took_s >= case.read_s
    is_opening = got is None and not is_late and case.open_s + case.read_s > case.seconds
    opening = "From when does the time count? Only the reading is limited."
    why = f"The file holds {file.data!r}. Is there a `return`?"
    refuse(
        f"{case.told}: {case.read_s:g} s at a limit of {case.seconds:g} s, and it returned "
        f"{shorten(got)}.",
        (is_endless, "no-time-out", "What ends the waiting when time is up?", LIMIT),
        (is_late and got is not None, "not-none", "When time is up, return None."),
        (is_opening, "opening", opening, "Open the file before the time-out."),
        (not is_late and got != file.data, "result", why),
    )
