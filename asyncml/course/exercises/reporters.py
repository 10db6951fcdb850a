"""Judges a task that reports in the background until it is cancelled, as in lesson 02.

Also has our own, which the lesson uses until the learner's passes.
"""

import asyncio
import random
from collections.abc import Callable
from typing import Any

from asyncml.clock import compute
from asyncml.course.exercises import plain
from asyncml.course.exercises.answers import names_of
from asyncml.course.exercises.attempts import check_kind
from asyncml.course.exercises.kernels import are_near
from asyncml.course.exercises.scenes import UNAWAITABLE, Hints, demand, play, quietly, refuse

_NEAR_S = 1e-6
_PAUSE = "`await asyncio.sleep(every_s)`"
_MOST_CALLS = 5000  # most calls of `progress` by an answer that never pauses

_REPORT_HINTS: Hints = {
    "positional argument": (
        "signature",
        "`report` is called with `progress`, `every_s` and `reports`, and `progress` with nothing.",
    ),
    UNAWAITABLE: (
        "plain-progress",
        "`progress` is a plain function: call it without `await`.",
    ),
}
_APPEND = "Append what `progress()` returns, as it is, to the list that you were given."


async def report(progress: Callable[[], Any], every_s: float, reports: list[Any]) -> None:
    """Append `progress()` at once, after each pause, and once more when cancelled."""
    try:
        while True:
            reports.append(progress())
            await asyncio.sleep(every_s)
    except asyncio.CancelledError:
        reports.append(progress())
        raise


class _Reporting:
    """A run of the answer: its reports until it is cancelled, and what it does afterwards.

    Args:
        every_s: the pause between reports, in seconds.
        pauses: the number of pauses after which it is cancelled.
        held_s: seconds for which the loop is blocked, half a pause after the first report.
    """

    def __init__(self, every_s: float, pauses: float, held_s: float = 0.0) -> None:
        self.every_s, self.pauses, self.held_s = every_s, pauses, held_s
        self.called_at: list[float] = []  # the times at which it called `progress`
        self.returned: list[Any] = []
        self.reports: list[Any] = []

    def progress(self) -> Any:
        times = len(self.called_at)
        shown = f"it called `progress` {times} times without a pause."
        why = "How long does it sleep, and is the sleep awaited?"
        demand(times < _MOST_CALLS, "no-pause", shown, why, _PAUSE)
        self.called_at.append(self.now())
        self.returned.append(f"step {random.Random(times + 1).randrange(10**6)}")
        return self.returned[-1]

    async def run(self, begin: Callable[..., Any]) -> None:
        self.now = asyncio.get_running_loop().time
        task = asyncio.create_task(begin(self.progress, self.every_s, self.reports), name="report")
        if self.held_s:
            await asyncio.sleep(self.every_s / 2)
            compute(self.held_s)
        await asyncio.sleep(self.pauses * self.every_s - self.now())
        self.was_done, self.times, self.told = task.done(), [*self.called_at], [*self.reports]
        task.cancel()
        start_s = self.now()
        await asyncio.wait([task], timeout=1000)
        self.is_done, self.took_s = task.done(), self.now() - start_s
        self.is_cancelled = task.cancelled()
        task.cancel()
        if self.is_done and not self.is_cancelled and (error := task.exception()):
            raise error


@quietly
def judge_report(answer: Any) -> None:
    """Raise `Wrong` unless it reports at once, then regularly, and once more when cancelled."""
    check_kind(answer, True)
    for seed in range(1, 4):
        seen = _watch(answer, random.Random(seed).randrange(1, 20) / 10, 2.5)
        _judge_reports(answer, seen)
        _judge_times(seen)
        _judge_end(answer, seen)
    _demand_going_on(_watch(answer, 1.0, 500.5))
    seen = _watch(answer, 1.0, 5.9, held_s=3.0)
    shown = "the loop was held for 3 s, and then the reports that were missed all came at once."
    why = "After each report there is a pause of `every_s`, however late the report was."
    demand(are_near(seen.times, [0.0, 3.5, 4.5, 5.5]), "catches-up", shown, why)


def _watch(answer: Any, every_s: float, pauses: float, held_s: float = 0.0) -> _Reporting:
    seen = _Reporting(every_s, pauses, held_s)
    play(seen.run, answer, of=answer, hints=_REPORT_HINTS)
    return seen


def _demand_going_on(seen: _Reporting) -> None:
    shown = f"it ended by itself, after {len(seen.told)} report{'s' * (len(seen.told) != 1)}."
    why = "Which loop goes on until the task is cancelled?"
    demand(not seen.was_done, "ended", shown, why)


def _judge_reports(answer: Any, seen: _Reporting) -> None:
    reports, count = plain(seen.told), len(seen.times)
    shown = "`reports` holds the function `progress`, and not what it returns."
    demand(not any(map(callable, reports)), "not-called", shown, "Call it: `progress()`.")
    shown = f"no report after {2.5 * seen.every_s:g} s: `progress` was never called."
    why = "The first report comes at once, before any pause."
    demand(count > 0 or seen.was_done, "nothing", shown, why)
    shown = f"`progress` was called {count} times, and `reports` is still empty."
    why = "Do you append to the list that you were given, or make another one?"
    if "print" in names_of(answer):
        why = "A background task does not print: it appends to the list that it was given."
    demand(bool(reports) or not count, "lost", shown, why, "`reports.append(progress())`")
    _demand_going_on(seen)
    shown = f"there are {len(reports)} reports, and `progress` was called less often than that."
    why = "The progress changes: call it again for each report."
    demand(count >= len(reports), "stale", shown, why)


def _judge_times(seen: _Reporting) -> None:
    right = [0.0, seen.every_s, 2 * seen.every_s]
    shown = f"with a pause of {seen.every_s:g} s, reports came at {_told(seen.times)} s; expected: "
    shown += f"{_told(right)} s."
    twice = "Which line reports a second time? (A `finally` in the loop runs in each round.)"
    is_twice = len(set(seen.times)) < len(seen.times)
    refuse(
        shown,
        (seen.times[0] > _NEAR_S, "first", "The first report comes at once: append, then sleep."),
        (is_twice, "twice", twice, "Put the `try` around the whole loop."),
        (not are_near(seen.times, right), "pause", "How long is each pause?", _PAUSE),
    )
    returned = seen.returned[: len(seen.times)]
    shown = f"`reports` holds {', '.join(map(str, seen.told))}; `progress` returned "
    shown += f"{', '.join(returned)}."
    demand(plain(seen.told) == returned, "values", shown, _APPEND)


def _told(times: list[float]) -> str:
    return ", ".join(f"{time:g}" for time in times[:6])


def _judge_end(answer: Any, seen: _Reporting) -> None:
    after = len(seen.called_at) - len(seen.times)
    why = "Is your `except` inside the loop, or around it?"
    more = "Put the `try` around the loop, and `raise` at the end of the `except`."
    demand(seen.is_done, "goes-on", "it was cancelled, and went on reporting.", why, more)
    why = "`cancel` raises a CancelledError at the `await`. Where do you catch it?"
    if "Exception" in names_of(answer):
        why = "CancelledError is not an `Exception`, so `except Exception` lets it pass."
    more = "`except asyncio.CancelledError:` around the loop: append once more, then `raise`."
    demand(after > 0, "no-last", "it was cancelled, and the last report is missing.", why, more)
    shown = f"it was cancelled, and reported {after} times after that instead of once."
    demand(after == 1, "twice", shown, "One last report is enough.")
    shown = f"it was cancelled, and took another {seen.took_s:g} s to end."
    demand(seen.took_s < _NEAR_S, "late", shown, "The last report comes at once.")
    shown = "it was cancelled, and ended as if nothing had happened."
    why = "Your code caught the CancelledError and kept it. How do you let it go on?"
    more = "End the `except` with `raise`, or use `finally`, which lets the error go on."
    demand(seen.is_cancelled, "swallowed", shown, why, more)
    is_right = plain(seen.reports) == seen.returned
    demand(is_right, "values", "the last report did not reach `reports`.", _APPEND)
