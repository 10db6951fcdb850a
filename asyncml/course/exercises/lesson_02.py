"""The exercises of lesson 02: a kernel, background tasks and how they end, running anywhere.

`kernels`, `reporters`, `stopping` and `anywhere` judge four of them.
"""

import asyncio
import random
from collections.abc import Callable
from typing import Any

from asyncml.course.exercises import anywhere, exercise, kernels, reporters, stopping
from asyncml.course.exercises.answers import ask_number, names_of
from asyncml.course.exercises.attempts import check_kind
from asyncml.course.exercises.scenes import Hints, demand, play


@exercise("02-kernel", ours=kernels.kernel)
def kernel(answer: Any) -> str:
    """Check a coroutine that runs a notebook's cells, including those with `await`."""
    kernels.judge_kernel(answer)
    return "cells with `await` are awaited, the others just run, and all share their names."


@exercise("02-report", ours=reporters.report)
def report(answer: Any) -> str:
    """Check a coroutine that reports in the background until it is cancelled."""
    reporters.judge_report(answer)
    return "it reports at once, after each pause, and once more when it is cancelled."


@exercise("02-stoppable", ours=stopping.stoppable)
def stoppable(answer: Any) -> str:
    """Check a training run that ends within a step of being stopped."""
    ran = stopping.judge_stoppable(answer)
    told = f"all steps run in turn, and a stop in the middle of the third ends it after {ran} steps"
    if ran == 4 and "sleep" in names_of(answer):
        told += ": `sleep(0)` puts the task straight back in line, ahead of the stop"
    return f"{told}."


@exercise("02-run-anywhere")
def run_anywhere(answer: Any) -> str:
    """Check a function that runs a coroutine to the end, whether or not a loop is running."""
    anywhere.judge_anywhere(answer)
    return "in scripts and notebooks alike it returns or raises, and leaves no thread behind."


_THROUGH = ("through", "Can the task run while a cell computes, without an `await`?")
ask_number(
    "02-ticks",
    6,
    "three before the cell that computes (0, 0.4, 0.8 s), three after it (3, 3.4, 3.8 s).",
    "When is each report due, and is the loop free then?",
    {
        10: _THROUGH,
        11: _THROUGH,
        7: ("last", "The report that `end` causes does not count: how many came before it?"),
        0: ("between", "Between two cells the loop is free, so the task can run."),
        3: ("for-ever", "The cell that computes holds the loop for 2 s. What happens after that?"),
        5: ("skipped", "A report that falls due while the loop is held is late. It is not lost."),
    },
)


# ---- 02-stop-task ----
_ROUNDS, _PAUSE_S = 1000, 0.3  # a background task that is never stopped ends after this many rounds
_HINTS: Hints = {
    "InvalidStateError": ("not-awaited", "The task has not ended yet: wait for it first."),
    "list of futures": ("no-list", "A list, even for one task: `asyncio.wait([task])`."),
    "positional argument": ("signature", "It is called with one argument, the task."),
    "bool can / 'bool' object can": (
        "await-cancel",
        "`cancel` is a plain method. Wait for the task itself, after it.",
    ),
    "is not callable": ("called", "You wait for a task, and do not call it: leave out its `()`."),
    "cannot be called from a running": ("run", "A loop is running here already: use `await`."),
    "still running": (
        "endless",
        "Virtual time stands still in a loop of `done()` and `sleep(0)`: wait for the task itself.",
    ),
}


@exercise("02-stop-task")
def stop_task(answer: Any) -> str:
    """Check a coroutine that ends a background task and loses neither errors nor cancellations."""
    check_kind(answer, True)
    for seed in range(1, 4):
        _judge_stop(answer, _Background(random.Random(seed).randrange(1, 50) / 10))
    _judge_failed(answer)
    _judge_own_stop(answer)
    return "the task has tidied up and ended, and no error and no stop is lost."


class _Background:
    """A task that works in the background and takes a while to tidy up."""

    is_done = was_asked = was_clean = False  # state when `stop_task` returned
    took_s = 0.0

    def __init__(self, clean_up_s: float) -> None:
        self.clean_up_s, self.is_clean = clean_up_s, False

    async def work(self) -> None:
        try:
            for _ in range(_ROUNDS):
                await asyncio.sleep(_PAUSE_S)
        finally:
            await asyncio.sleep(self.clean_up_s)
            self.is_clean = True

    async def be_stopped(self, stop: Callable[..., Any]) -> None:
        task = asyncio.create_task(self.work(), name="background")
        await asyncio.sleep(1)
        await stop(task)
        self.took_s = asyncio.get_running_loop().time() - 1
        self.is_done, self.was_asked = task.done(), task.cancelling() > 0
        self.was_clean = self.is_clean
        task.cancel()
        await asyncio.wait([task])


def _judge_stop(answer: Any, seen: _Background) -> None:
    may_raise = (asyncio.CancelledError,)
    run = play(seen.be_stopped, answer, of=answer, hints=_HINTS, may_raise=may_raise)
    why = "Awaiting a cancelled task raises. Which function waits without raising?"
    more = "`await asyncio.wait([task])` waits until the task has ended, however it ended."
    if "wait" in names_of(answer):
        why = "`result()` and `exception()` of a cancelled task raise CancelledError: "
        why = more = why + "ask `task.cancelled()` first."
    shown = "the task was stopped, but `stop_task` raised its CancelledError."
    demand(run.error is None, "escaped", shown, why, more)
    shown = "`stop_task` has returned, and the task is still running."
    why = "Which method asks a task to end?"
    demand(seen.is_done or seen.was_asked, "running", shown, why)
    shown = "the task was asked to end, but `stop_task` returned before it had tidied up."
    asks = "`cancel` only asks. Where do you wait until the task has ended?"
    more = "Add `await asyncio.wait([task])` after `task.cancel()`."
    demand(seen.is_done, "not-awaited", shown, asks, more)
    shown = f"it waited {seen.took_s:.0f} s until the task ended by itself."
    demand(seen.took_s <= _ROUNDS * _PAUSE_S / 2, "waited", shown, why)
    shown = "the task was interrupted while it tidied up."
    why = "Each `cancel` interrupts it. Ask once, then wait."
    demand(seen.was_clean, "disturbed", shown, why)
    shown = f"the task took {seen.clean_up_s:g} s to end, and `stop_task` {seen.took_s:g} s."
    is_on_time = seen.took_s <= seen.clean_up_s + 0.1
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
    seen = _Background(clean_up_s=5)

    async def scene(stop: Callable[..., Any]) -> bool:
        task = asyncio.create_task(seen.work(), name="background")
        await asyncio.sleep(1)
        stopping = asyncio.create_task(stop(task))
        await asyncio.sleep(1)
        stopping.cancel()  # as the stop button does
        await asyncio.wait([stopping])
        await asyncio.wait([task])
        return stopping.cancelled()

    was_cancelled = play(scene, answer, of=answer).result
    shown = "`stop_task` was itself cancelled while it waited, but it went on."
    why = "Whose CancelledError does your `except` catch: the task's, or that of `stop_task`?"
    more = "With `await asyncio.wait([task])` there is nothing to catch: it raises only your own."
    demand(was_cancelled, "swallowed", shown, why, more)
    shown = "`stop_task` was itself cancelled, and the task could not finish tidying up."
    why = "With `await task`, cancelling `stop_task` cancels the task again, while it tidies up."
    more = "`await asyncio.wait([task])` waits without passing a cancel on."
    demand(seen.is_clean, "disturbed", shown, why, more)
