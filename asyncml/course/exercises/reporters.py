"""Judges a task that reports in the background until it is cancelled, as in lesson 02.

Beside it stands the course's own, which the lesson goes on with where the learner's does not pass.
"""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from asyncml.clock import compute
from asyncml.course.exercises import Wrong, plain
from asyncml.course.exercises.answers import names_of
from asyncml.course.exercises.attempts import check_kind
from asyncml.course.exercises.kernels import are_near
from asyncml.course.exercises.scenes import NOT_AWAITABLE, Hints, demand, play, quietly

_NEAR_S = 1e-6
_MOST_CALLS = 5000  # of `progress`, by an answer that never pauses

_REPORT_HINTS: Hints = {
    "positional argument": (
        "signature",
        "`report` is called with `progress`, `every_s` and `reports`, and `progress` with nothing.",
    ),
    **dict.fromkeys(
        NOT_AWAITABLE,
        ("plain-progress", "`progress` is a plain function: call it without `await`."),
    ),
}


async def report(progress: Callable[[], Any], every_s: float, reports: list[Any]) -> None:
    """Append what `progress` returns, at once and after each pause, until cancelled; then once."""
    try:
        while True:
            reports.append(progress())
            await asyncio.sleep(every_s)
    except asyncio.CancelledError:
        reports.append(progress())
        raise


@dataclass
class _Reported:
    """What a reporting task had done by the time that it was cancelled, and what it did then."""

    times: list[float]  # when `progress` was called before the cancel
    reports: list[Any]
    was_done: bool
    after: list[float]  # calls of `progress` from the cancel on
    is_done: bool
    is_cancelled: bool
    took_s: float
    all_reports: list[Any]
    returned: list[Any]


@quietly
def judge_report(answer: Any) -> None:
    """Raise `Wrong` unless it reports at once, then regularly, and once more when cancelled."""
    check_kind(answer, True)
    for seed in range(1, 4):
        every_s = random.Random(seed).randrange(1, 20) / 10
        seen = _watch(answer, every_s, 2.5)
        _judge_reports(answer, seen, every_s)
        _judge_end(answer, seen, every_s)
    seen = _watch(answer, 1.0, 500.5)
    shown = f"it ended by itself, after {len(seen.times)} reports."
    demand(not seen.was_done, "ended", shown, "Which loop goes on until the task is cancelled?")
    seen = _watch(answer, 1.0, 5.9, held_s=3.0)
    shown = "the loop was held for 3 s, and the reports missed meanwhile were made up for at once."
    why = "After each report there is a pause of `every_s`, however late the report was."
    demand(are_near(seen.times, [0.0, 3.5, 4.5, 5.5]), "catches-up", shown, why)


def _watch(answer: Any, every_s: float, pauses: float, held_s: float = 0.0) -> _Reported:
    """Start it as a task, cancel it after so many pauses, and see."""

    async def scene(begin: Callable[..., Any]) -> _Reported:
        now = asyncio.get_running_loop().time
        times: list[float] = []
        returned: list[Any] = []
        reports: list[Any] = []

        def progress() -> Any:
            if len(times) >= _MOST_CALLS:
                shown = f"it called `progress` {_MOST_CALLS} times without a pause."
                why = "How long does it sleep, and is the sleep awaited?"
                raise Wrong("no-pause", shown, why, "`await asyncio.sleep(every_s)`")
            times.append(now())
            returned.append(f"step {random.Random(len(times)).randrange(10**6)}")
            return returned[-1]

        task = asyncio.create_task(begin(progress, every_s, reports), name="report")
        if held_s:
            await asyncio.sleep(every_s / 2)
            compute(held_s)
        await asyncio.sleep(pauses * every_s - now())
        before, told, was_done = list(times), list(reports), task.done()
        task.cancel()
        start_s = now()
        await asyncio.wait([task], timeout=1000)
        is_done, took_s = task.done(), now() - start_s
        if is_done and not task.cancelled() and (error := task.exception()):
            raise error
        is_cancelled = task.cancelled()
        after = times[len(before) :]
        task.cancel()
        return _Reported(
            before, told, was_done, after, is_done, is_cancelled, took_s, reports, returned
        )

    found: _Reported = play(scene, answer, of=answer, hints=_REPORT_HINTS).result
    return found


def _judge_reports(answer: Any, seen: _Reported, every_s: float) -> None:
    names, reports = names_of(answer), plain(seen.reports)
    has_started = bool({"create_task", "ensure_future", "call_later"} & names)
    if seen.was_done and has_started:
        shown = "it started something else and ended: a cancel does not reach that any more."
        raise Wrong("starts", shown, "`report` itself runs as a task: put the loop into it.")
    is_asked = bool(seen.times) or any(map(callable, reports))
    if not seen.was_done and not seen.times and not is_asked:
        shown = f"no report after {2.5 * every_s:g} s: `progress` was never called."
        why = "The first report comes at once, before any pause."
        raise Wrong("nothing", shown, why)
    shown = "`reports` holds the function `progress`, and not what it returns."
    demand(not any(map(callable, reports)), "not-called", shown, "Call it: `progress()`.")
    if seen.times and not reports:
        shown = f"`progress` was called {len(seen.times)} times, and `reports` is still empty."
        why = "A background task does not print: it appends to the list that it was given."
        if "print" not in names:
            why = "Do you append to the list that you were given, or make another one?"
        raise Wrong("lost", shown, why, "`reports.append(progress())`")
    if seen.was_done:
        shown = f"it ended by itself, after {len(reports)} report{'s' * (len(reports) != 1)}."
        raise Wrong("ended", shown, "Which loop goes on until the task is cancelled?")
    shown = f"there are {len(reports)} reports, and `progress` was called less often than that."
    is_fresh = len(seen.times) >= len(reports)
    demand(is_fresh, "stale", shown, "The progress changes: call it again for each report.")
    _judge_times(seen, every_s)
    shown = f"`reports` holds {_shown(reports)}, and `progress` returned "
    shown += f"{_shown(seen.returned[: len(seen.times)])}."
    is_right = reports == seen.returned[: len(seen.times)]
    demand(is_right, "values", shown, "Append what `progress()` returns, as it is.")


def _judge_times(seen: _Reported, every_s: float) -> None:
    right = [0.0, every_s, 2 * every_s]
    if are_near(seen.times, right):
        return
    came = ", ".join(f"{time:g}" for time in seen.times[:6])
    shown = f"with a pause of {every_s:g} s, reports came at {came} s; expected: "
    shown += ", ".join(f"{time:g}" for time in right) + " s."
    if seen.times[0] > _NEAR_S:
        raise Wrong("first", shown, "The first report comes at once: append, then sleep.")
    if len(set(seen.times)) < len(seen.times):
        why = "Which line reports a second time? (A `finally` in the loop runs in each round.)"
        raise Wrong("twice", shown, why, "Put the `try` around the whole loop.")
    raise Wrong("pause", shown, "How long is each pause?", "`await asyncio.sleep(every_s)`")


def _judge_end(answer: Any, seen: _Reported, every_s: float) -> None:
    shown = "it was cancelled, and went on reporting."
    why = "Where does your `except` stand: inside the loop, or around it?"
    more = "Put the `try` around the loop, and `raise` at the end of the `except`."
    demand(seen.is_done, "goes-on", shown, why, more)
    shown = "it was cancelled, and the last report is missing."
    why = "`cancel` raises a CancelledError at the `await`. Where do you catch it?"
    if "Exception" in names_of(answer):
        why = "CancelledError is not an `Exception`, so `except Exception` lets it pass."
    more = "`except asyncio.CancelledError:` around the loop: append once more, then `raise`."
    demand(bool(seen.after), "no-last", shown, why, more)
    shown = f"it was cancelled, and reported {len(seen.after)} times after that instead of once."
    demand(len(seen.after) == 1, "twice", shown, "One last report is enough.")
    shown = f"it was cancelled, and took another {seen.took_s:g} s to end."
    demand(seen.took_s < _NEAR_S, "late", shown, "The last report comes at once.")
    shown = "it was cancelled, and ended as if nothing had happened."
    why = "Your code caught the CancelledError and kept it. How do you let it go on?"
    more = "End the `except` with `raise`, or use `finally`, which lets the error go on."
    demand(seen.is_cancelled, "swallowed", shown, why, more)
    shown = "the last report did not reach `reports`."
    is_right = plain(seen.all_reports) == seen.returned
    demand(is_right, "values", shown, "Append what `progress()` returns to the list.")


def _shown(values: list[Any]) -> str:
    return ", ".join(map(str, values[:12])) or "nothing"
