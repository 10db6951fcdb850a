"""Judges a training run that can be stopped between two steps, as in lesson 02.

Also has our own, which the lesson uses until the learner's passes.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from asyncml.clock import compute
from asyncml.course.exercises.answers import names_of
from asyncml.course.exercises.attempts import check_kind
from asyncml.course.exercises.kernels import RUNS
from asyncml.course.exercises.scenes import UNAWAITABLE, Hints, demand, play, quietly

_STEPS, _STEP_S = 10, 0.1

_TRAIN_HINTS: Hints = {
    "cannot be called from a running event loop / loop is already running": RUNS,
    "positional argument": (
        "signature",
        "`stoppable` is called with `step` and `count`, and `step` with the number of the step.",
    ),
    "is not callable": (
        "called",
        "A thread is given the function and its argument, not what the call returns.",
        "`await asyncio.to_thread(step, number)`",
    ),
    UNAWAITABLE: (
        "plain-step",
        "`step` is a plain function: awaiting its result gives no turn. What does?",
        "`await asyncio.sleep(0)` gives the loop a turn.",
    ),
}


async def stoppable(step: Callable[[int], Any], count: int) -> None:
    """Call `step` with each number; yield to the loop after each."""
    for number in range(count):
        step(number)
        await asyncio.sleep(0)


class _Training:
    """A run of the answer: which steps ran, how many at a time, and how it ended."""

    def __init__(self, stop_s: float | None) -> None:
        self.stop_s = stop_s
        self.numbers: list[int] = []
        self.running = self.most = self.n_at_end = 0
        self.took_s, self.is_cancelled = 0.0, False

    async def run(self, train: Callable[..., Any]) -> None:
        loop = asyncio.get_running_loop()

        def step(number: int) -> None:
            self.numbers.append(number)
            self.running += 1
            self.most = max(self.most, self.running)
            compute(_STEP_S)
            self.running -= 1

        step.__qualname__ = "step"  # for messages
        task = asyncio.create_task(train(step, _STEPS), name="train")
        if self.stop_s is not None:
            loop.call_later(self.stop_s, task.cancel)
        await asyncio.wait([task])
        self.took_s, self.n_at_end = loop.time(), len(self.numbers)
        await asyncio.sleep(5)
        self.is_cancelled = task.cancelled()
        if not task.cancelled() and (error := task.exception()):
            raise error


@quietly
def judge_stoppable(answer: Any) -> int:
    """Raise `Wrong` unless all steps run in turn, and a stop takes effect within a step.

    Returns:
        The number of steps that began in a run that was stopped in the middle of the third.
    """
    check_kind(answer, True)
    seen = _train(answer, None)
    why = "A coroutine runs only when it is awaited."
    demand(bool(seen.numbers), "not-run", "no step has run.", why)
    shown = f"{seen.most} steps ran at the same time."
    demand(seen.most == 1, "at-once", shown, "Each step needs the one before: one after another.")
    shown = f"it called `step` with {', '.join(map(str, seen.numbers[:12]))}, and not with "
    shown += f"0 to {_STEPS - 1} in turn."
    demand(seen.numbers == [*range(_STEPS)], "numbers", shown, "For which numbers, in which order?")
    shown = f"it returned after {seen.n_at_end} of {_STEPS} steps."
    demand(seen.n_at_end == _STEPS, "not-awaited", shown, "What waits for the last step?")
    shown = f"{_STEPS} steps of {_STEP_S:g} s took {seen.took_s:.3g} s."
    why = "The loop needs a turn, not time: which `sleep` is the shortest?"
    demand(seen.took_s <= _STEPS * _STEP_S * 1.1, "slow", shown, why)
    ran, _ = [_judge_stop(answer, stop_s) for stop_s in (0.25, 0.53)]
    return ran


def _train(answer: Any, stop_s: float | None) -> _Training:
    seen = _Training(stop_s)
    play(seen.run, answer, of=answer, hints=_TRAIN_HINTS)
    return seen


def _judge_stop(answer: Any, stop_s: float) -> int:
    seen, names = _train(answer, stop_s), names_of(answer)
    ran = len(seen.numbers)
    is_late = ran > int(stop_s / _STEP_S) + 2
    shown = f"stop was pressed after {stop_s:g} s, and {ran} of {_STEPS} steps ran all the same."
    is_in_thread = is_late and bool({"to_thread", "run_in_executor", "submit"} & names)
    why = "The waiting stopped, and the thread worked on. How many steps was it given at once?"
    more = "Give the thread one step at a time: `await asyncio.to_thread(step, number)`."
    demand(not is_in_thread, "in-thread", shown, why, more)
    why = "When does the loop get a turn, and notice the stop?"
    more = "`await asyncio.sleep(0)` after each step gives it one."
    if "CancelledError" in names:
        why = "The stop is a CancelledError. Which of your lines catches it, and goes on?"
        more = "Let the CancelledError out of `stoppable`: it ends the cell."
    elif "create_task" in names:
        why = more = "Starting a task gives no turn. Awaiting it does."
    elif "sleep" in names and "time" not in names:
        why = "Does every step have a turn after it, and an `await` before the `sleep`?"
    demand(not is_late, "late", shown, why, more)
    shown = "the stop was found, and the training run ended as if nothing had happened."
    why = "Your `except` caught the CancelledError. Let it go on: it ends the cell."
    demand(seen.is_cancelled, "swallowed", shown, why)
    return ran
