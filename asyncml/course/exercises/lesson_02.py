"""The exercises of lesson 02: a kernel, tasks in the background and how they end, a run anywhere.

`kernels`, `reporters` and `stopping` judge three of them.
"""

import asyncio
import functools
import inspect
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from asyncml.clock.loop import VirtualLoop
from asyncml.course.exercises import (
    Wrong,
    exercise,
    expect,
    kernels,
    plain,
    reporters,
    said_by,
    stopping,
)
from asyncml.course.exercises.answers import names_of
from asyncml.course.exercises.attempts import Attempt, attempt, check_kind
from asyncml.course.exercises.scenes import Hints, demand, play

_GRACE_S = 0.5  # a thread that has been told to end needs a moment
_HINTS: Hints = {
    "InvalidStateError": ("not-awaited", "The task has not ended yet: wait for it first."),
    "list of futures": ("no-list", "A list, even for one task: `asyncio.wait([task])`."),
    "positional argument": ("signature", "It is called with one thing, the task."),
    "bool can": ("await-cancel", "`cancel` is a plain method. Wait for the task itself, after it."),
    "'bool' object can": ("await-cancel", "`cancel` is a plain method. Wait for the task itself."),
    "is not callable": ("called", "A task is waited for, and not called: leave out its `()`."),
    "cannot be called from a running": ("run", "A loop is running here already: use `await`."),
    "still running": (
        "endless",
        "Virtual time stands still in a loop of `done()` and `sleep(0)`: wait for the task itself.",
    ),
}
_ROUNDS, _PAUSE_S = 1000, 0.3  # a background task that nobody stops ends by itself some day


@exercise("02-kernel", ours=kernels.kernel)
def kernel(answer: Any) -> str:
    """Check a coroutine that runs the cells of a notebook, those with an `await` included."""
    kernels.judge_kernel(answer)
    return "cells with `await` are awaited, the others just run, and all share their names."


@exercise("02-report", ours=reporters.report)
def report(answer: Any) -> str:
    """Check a coroutine that reports in the background until it is cancelled."""
    reporters.judge_report(answer)
    return "it reports at once, after each pause, and once more when it is cancelled."


@exercise("02-stoppable", ours=stopping.stoppable)
def stoppable(answer: Any) -> str:
    """Check a training run that a stop ends within a step."""
    ran = stopping.judge_stoppable(answer)
    told = f"all steps run in turn, and a stop in the middle of the third ends it after {ran} steps"
    if ran == 4 and "sleep" in names_of(answer):
        told += ": `sleep(0)` puts the task straight back in line, ahead of the stop"
    return f"{told}."


@exercise("02-ticks")
def ticks(answer: Any) -> str:
    """Check the bet on how often a background task reports between and during cells."""
    through = ("through", "Can the task run while a cell computes, without an `await`?")
    wrong = {
        10: through,
        11: through,
        7: ("last", "The report that `end` brings about does not count: how many came before it?"),
        0: ("between", "Between two cells the loop is free, so the task can run."),
        3: ("for-ever", "The cell that computes holds the loop for 2 s. What happens after that?"),
        5: ("skipped", "A report that falls due while the loop is held is late. It is not lost."),
    }
    expect(answer, 6, wrong, "When is each report due, and is the loop free then?")
    return "three before the cell that computes (0, 0.4, 0.8 s), three after it (3, 3.4, 3.8 s)."


class _OwnLoop(BaseException):
    """An answer hands work to the loop that it holds, and would wait for it for ever."""


class _Job:
    """What an answer is to run: a coroutine that waits for real and notes on which loop."""

    def __init__(self, seed: int, error: Exception | None) -> None:
        self.number, self.error = random.Random(seed).randrange(10**6), error
        self.loop: asyncio.AbstractEventLoop | None = None
        self.coroutine = self._work()

    async def _work(self) -> int:
        self.loop = asyncio.get_running_loop()
        await asyncio.sleep(0.001)
        if self.error is not None:
            raise self.error
        return self.number


@exercise("02-run-anywhere")
def run_anywhere(answer: Any) -> str:
    """Check a function that runs a coroutine to its end whether or not a loop is running."""
    check_kind(answer, False)
    _refuse_as_given(answer)
    for seed, (place, call) in enumerate([("notebook", _call_on_a_loop), ("script", _call)] * 2):
        job = _Job(seed, RuntimeError("CUDA out of memory") if seed >= 2 else None)
        before = set(threading.enumerate())
        hook, threading.excepthook = threading.excepthook, lambda args: None
        try:  # the verdict tells what is lost in a thread, and not a traceback through this file
            _judge_run(answer, place, job, call(answer, job.coroutine))
        finally:
            threading.excepthook = hook
            job.coroutine.close()
        _refuse_left_over(job, before)
    return "in scripts and notebooks alike it returns or raises, and leaves no thread behind."


def _refuse_as_given(answer: Callable[..., Any]) -> None:
    names = names_of(answer)
    shown = "as it stands it raises in a notebook, where a loop runs: mend it"
    demand(names != {"asyncio", "run"}, "open", shown)
    is_nested = hasattr(asyncio, "_nest_patched") or names & {"nest_asyncio", "nest_asyncio2"}
    shown = "nest_asyncio changes asyncio for the whole process, and here that is the kernel."
    why = "Is there a place where no loop is running yet?"
    more = "Run it in a thread of its own. If nest_asyncio was applied, restart the kernel."
    demand(not is_nested, "nested", shown, why, more)


def _call(answer: Callable[..., Any], coroutine: Any) -> Attempt:
    return attempt(answer, coroutine, is_async=False, may_raise=Exception)


def _call_on_a_loop(answer: Callable[..., Any], coroutine: Any) -> Attempt:
    @functools.wraps(answer)
    async def cell() -> Any:
        loop = asyncio.get_running_loop()
        hand_over, here = loop.call_soon_threadsafe, threading.get_ident()

        def refuse(*args: Any, **kwargs: Any) -> Any:
            if threading.get_ident() == here:
                raise _OwnLoop
            return hand_over(*args, **kwargs)

        loop.call_soon_threadsafe = refuse  # type: ignore[method-assign, assignment]
        try:
            return answer(coroutine)
        finally:
            loop.call_soon_threadsafe = hand_over  # type: ignore[method-assign]

    return attempt(cell, may_raise=(Exception, _OwnLoop))


def _judge_run(answer: Any, place: str, job: _Job, run: Attempt) -> None:
    shown = "in a notebook it waits for ever: it hands the work to the loop that it is holding."
    why = "Which thread is to run the coroutine, and what is that thread doing?"
    more = "Start another thread, and call `asyncio.run` there."
    demand(not isinstance(run.error, _OwnLoop), "own-loop", shown, why, more)
    if job.error is not None and run.error is not job.error:
        _refuse_lost_error(place, job.error, run.error)
    if run.error is not job.error:
        _refuse_misused(run.error)
        shown = f"in a {place} it raised {type(run.error).__name__}: {run.error}."
        why = "In which of the two places is a loop running?"
        more = "`asyncio.get_running_loop()` raises a RuntimeError where no loop runs: call "
        more += "`asyncio.run` there, and in a thread of its own where one does."
        if "asyncio.run() cannot" in str(run.error) and "submit" in names_of(answer):
            why = "The thread of the loop has called `asyncio.run`. "
            why += "Hand it to the pool, without `()`: the pool's thread calls it."
        raise Wrong(place, shown, why, more)
    _refuse_unfinished(place, run.result)
    if job.error is None:
        shown = f"in a {place} it returned {run.result!r:.40}, "
        shown += f"but the coroutine returns {job.number}."
        why = "Is there a `return` in every branch?"
        demand(plain(run.result) == job.number, "result", shown, why)


def _refuse_misused(error: BaseException | None) -> None:
    shown = f"it raised {said_by(error)}." if error else ""
    is_called = "is not callable" in shown or ": run() missing" in shown
    why = "A pool calls the function itself. Which function, and with what argument?"
    demand(not is_called, "called", shown, why, "`pool.submit(asyncio.run, coroutine)`")
    why = "Two lines run the same coroutine. Is there a `return` in both branches?"
    demand("cannot reuse already awaited" not in shown, "result", shown, why)
    why = "It is called with one thing, the coroutine."
    demand("positional argument" not in shown, "signature", shown, why)


def _refuse_lost_error(place: str, error: Exception, got: BaseException | None) -> None:
    message = f"in a {place} the coroutine raised {error!r}, and "
    why = "Your `except RuntimeError` also catches an error of the coroutine."
    more = "Put only `asyncio.get_running_loop()` into the `try`, and run the coroutine outside it."
    if isinstance(got, RuntimeError):
        raise Wrong("mistaken", f"{message}your function raised `{got}`.", why, more)
    message += f"your function raised {type(got).__name__}." if got else "your function did not."
    why = "An error does not leave a `threading.Thread`. What does `future.result()` do with one?"
    more = "`pool.submit(...).result()` of a ThreadPoolExecutor raises what was raised in its "
    raise Wrong("lost-error", message, why, more + "thread.")


def _refuse_unfinished(place: str, result: Any) -> None:
    if inspect.iscoroutine(result):
        result.close()
    is_unfinished = (
        inspect.isawaitable(result)
        or inspect.isgenerator(result)
        or hasattr(result, "add_done_callback")
    )
    shown = f"in a {place} it returned a {type(result).__name__} instead of the result."
    why = "Your function is called by plain code, which cannot await."
    more = "Wait for the result inside it: `asyncio.run`, called in a thread of its own."
    demand(not is_unfinished, "unfinished", shown, why, more)


def _refuse_left_over(job: _Job, before: set[threading.Thread]) -> None:
    deadline = time.monotonic() + _GRACE_S
    while (left := set(threading.enumerate()) - before) and time.monotonic() < deadline:
        time.sleep(0.002)
    shown = "the result is right, but a thread is still running."
    more = "`with ThreadPoolExecutor(1) as pool:` ends its thread, and so does `thread.join()` "
    more += "after the function of the thread has returned."
    demand(not left, "left", shown, "Who ends the thread?", more)
    shown = "it ran in virtual time, in which a real download would not be waited for."
    is_virtual = isinstance(job.loop, VirtualLoop)
    demand(not is_virtual, "virtual", shown, "What runs a coroutine in real time?")
    is_closed = job.loop is None or job.loop.is_closed()
    shown = "the result is right, but its loop was not closed."
    demand(is_closed, "left", shown, "`asyncio.run` makes a loop and closes it.")


@exercise("02-stop-task")
def stop_task(answer: Any) -> str:
    """Check a coroutine that ends a background task, and lets neither errors nor stops get lost."""
    check_kind(answer, True)
    for seed in range(1, 4):
        _judge_stop(answer, random.Random(seed).randrange(1, 50) / 10)
    _judge_failed(answer)
    _judge_own_stop(answer)
    return "the task has tidied up and ended, and no error and no stop is lost."


class _Background:
    """A task that works in the background and takes a while to tidy up."""

    def __init__(self, clean_up_s: float) -> None:
        self.clean_up_s, self.is_clean = clean_up_s, False
        self.task = asyncio.create_task(self._work(), name="background")

    async def _work(self) -> None:
        try:
            for _ in range(_ROUNDS):
                await asyncio.sleep(_PAUSE_S)
        finally:
            await asyncio.sleep(self.clean_up_s)
            self.is_clean = True


@dataclass
class _Seen:
    """How things stand when `stop_task` has returned."""

    is_done: bool
    was_asked: bool
    is_clean: bool
    took_s: float


def _judge_stop(answer: Any, clean_up_s: float) -> None:
    async def scene(stop: Callable[..., Any]) -> _Seen:
        background = _Background(clean_up_s)
        task = background.task
        await asyncio.sleep(1)
        await stop(task)
        took_s = asyncio.get_running_loop().time() - 1
        seen = _Seen(task.done(), task.cancelling() > 0, background.is_clean, took_s)
        task.cancel()
        await asyncio.wait([task])
        return seen

    may_raise = (asyncio.CancelledError,)
    run = play(scene, answer, of=answer, hints=_HINTS, may_raise=may_raise)
    why = "Awaiting a cancelled task raises. Which function waits without raising?"
    more = "`await asyncio.wait([task])` waits until the task has ended, however it ended."
    if "wait" in names_of(answer):
        why = "`result()` and `exception()` of a cancelled task raise CancelledError: "
        why = more = why + "ask `task.cancelled()` first."
    shown = "the task was stopped, but `stop_task` raised its CancelledError."
    demand(run.error is None, "escaped", shown, why, more)
    _judge_state(run.result, clean_up_s)


def _judge_state(seen: _Seen, clean_up_s: float) -> None:
    shown = "`stop_task` has returned, and the task is still running."
    why = "Which method asks a task to end?"
    demand(seen.is_done or seen.was_asked, "running", shown, why)
    shown = "the task was asked to end, but `stop_task` returned before it had tidied up."
    asks = "`cancel` only asks. Where do you wait until the task has ended?"
    more = "Add `await asyncio.wait([task])` after `task.cancel()`."
    demand(seen.is_done, "not-awaited", shown, asks, more)
    shown = f"it waited {seen.took_s:.0f} s until the task ended by itself."
    demand(seen.took_s <= _ROUNDS * _PAUSE_S / 2, "waited", shown, why)
    shown = "the task ended in the middle of its tidying up."
    demand(seen.is_clean, "disturbed", shown, "Each `cancel` interrupts it. Ask once, then wait.")
    shown = f"the task took {clean_up_s:g} s to end, and `stop_task` {seen.took_s:g} s."
    is_on_time = seen.took_s <= clean_up_s + 0.1
    demand(is_on_time, "late", shown, "Wait for the task, not for a time.")


def _judge_failed(answer: Any) -> None:
    error = ZeroDivisionError("a mistake in the background")

    async def scene(stop: Callable[..., Any]) -> None:
        async def fails() -> None:
            raise error

        task = asyncio.create_task(fails(), name="background")
        await asyncio.wait([task])
        try:
            await stop(task)
        finally:
            task.exception()

    found = play(scene, answer, of=answer, may_raise=(Exception,)).error
    shown = "the task had already failed, and `stop_task` did not raise its error."
    why = "How do you get at the error of a task that has ended?"
    more = "`if not task.cancelled(): task.result()` raises what the task raised."
    demand(found is error, "lost-error", shown, why, more)


def _judge_own_stop(answer: Any) -> None:
    async def scene(stop: Callable[..., Any]) -> tuple[bool, bool]:
        background = _Background(clean_up_s=5)
        await asyncio.sleep(1)
        stopping = asyncio.create_task(stop(background.task))
        await asyncio.sleep(1)
        stopping.cancel()  # as the stop button does
        await asyncio.wait([stopping])
        await asyncio.wait([background.task])
        return stopping.cancelled(), background.is_clean

    was_cancelled, is_clean = play(scene, answer, of=answer).result
    shown = "`stop_task` was itself cancelled while it waited, but it went on."
    why = "Whose CancelledError does your `except` catch: the task's, or that of `stop_task`?"
    more = "With `await asyncio.wait([task])` there is nothing to catch: it raises only your own."
    demand(was_cancelled, "swallowed", shown, why, more)
    shown = "`stop_task` was itself cancelled, and the task could not finish tidying up."
    why = "With `await task`, a cancel of `stop_task` is passed on to the task, in its tidying up."
    more = "`await asyncio.wait([task])` waits without passing a cancel on."
    demand(is_clean, "disturbed", shown, why, more)
