"""The exercises of lesson 09.

A loop that loads ahead, five bets on its pace, how far ahead, early stopping, stopping between two
steps, the switch interval, a snapshot, and a run that resumes after a kill.
"""

import asyncio
import inspect
import itertools
import random
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from asyncml.clock import compute
from asyncml.course.exercises import answers, exercise, ours, plain
from asyncml.course.exercises.attempts import attempt, check_kind, is_stub
from asyncml.course.exercises.endings import judge_early, judge_resume
from asyncml.course.exercises.feeders import called, judge_feeder, on_paper
from asyncml.course.exercises.scenes import (
    UNAWAITABLE,
    Hints,
    check_plain,
    demand,
    heart,
    play,
    quietly,
)
from asyncml.course.exercises.snapshots import judge_snapshot
from asyncml.failures import shorten


# ---- 09-feeder ----
@exercise("09-feeder", ours=ours.train_ahead)
@quietly
def feed_ahead(answer: Any) -> str:
    """Check a training loop that loads while it trains."""
    check_kind(answer, True)
    judge_feeder(answer)
    return "loading and training overlap, never more than `ahead` are held, and no error is lost."


# ---- 09-pace ----
_PACE = {
    "as it is": (60, "sum", "While one batch is trained on, the next is loading. Which ends last?"),
    "the trainer twice as fast": (60, "trainer", "Does a batch come any sooner than before?"),
    "eight ahead": (60, "deeper", "There is room for eight. Does the feeder fill it any faster?"),
    "two loads at once": (40, "two-loads", "A batch comes every 30 ms. How long is a step?"),
    "two loads at once, the trainer twice as fast": (
        30,
        "both",
        "The trainer could do it in 20 ms. How often does a batch come?",
    ),
}


@exercise("09-pace")
def pace(answer: Any) -> str:
    """Check five bets on the milliseconds from step to step of a pipeline."""
    answers.demand_each([answer], "a number")
    kind = "the answer is the dictionary as it was, with numbers in it."
    answers.demand_keys(answer, _PACE, kind)
    answers.demand_each(answer.values(), "a number")
    for name, (right, code, why) in _PACE.items():
        bet, shown = answer[name], f"{name}: not {shorten(answer[name])}."
        demand(answers.is_number(bet), "kind", shown, "The answer is a number of milliseconds.")
        demand(not 0 < bet < 1, "unit", shown, "In milliseconds.")
        more = f"{why} A step comes every max(load / k, train), with k loads at once."
        demand(abs(bet - right) < 1e-6, code, shown, why, more)  # NaN fails too
    return "the slower side sets the pace, and only a change of that side shows."


# ---- 09-ahead ----
_MOST, _SLACK = 64, 1.02


def _runs() -> Iterator[Callable[[Any], float]]:
    """Yield six runs: one batch ahead is enough in one, four need more, and the last needs none."""
    chance = random.Random(9)
    yield _run([0.03] * 60)
    for mean_s in (0.03, 0.036, 0.05):
        yield _run([chance.uniform(0, 2 * mean_s) for _ in range(60)])
    yield _run([0.25 if chance.random() < 0.1 else 0.01 for _ in range(80)])
    yield _run([0.0] * 60)


def _run(loads_s: list[float]) -> Callable[[Any], float]:
    def run(ahead: Any) -> float:
        if not (isinstance(ahead, int | np.integer) and 0 <= ahead <= _MOST):
            shown = shorten(ahead)
            raise ValueError(f"`ahead` must be a whole number from 0 to {_MOST}, got {shown}")
        return on_paper(loads_s, 0.04, int(ahead))

    return run


@exercise("09-ahead")
@quietly
def choose_ahead(answer: Any) -> str:
    """Check a function that finds the fewest batches ahead that are enough."""
    check_plain(answer)
    more = "Go up from 0 one by one, and return the first that takes at most 1.02 * run(64)."
    for run in _runs():
        found = plain(attempt(answer, run, is_async=False).result)
        answers.demand_returned(found)
        is_ahead = type(found) is int and 0 <= found <= _MOST
        shown = f"it returned {shorten(found)}, not a whole number from 0 to {_MOST}."
        demand(
            is_ahead, "kind", shown, "Return how far ahead; `run` tells you how long that takes."
        )
        best = next(ahead for ahead in range(_MOST + 1) if run(ahead) <= _SLACK * run(_MOST))
        shown = f"with {found} ahead {run(found):.3f} s, with {best} {run(best):.3f} s, with 64 "
        shown += f"{run(_MOST):.3f} s, so {_SLACK * run(_MOST):.3f} s is allowed."
        why = f"{best} would be enough, and take less memory."
        demand(found <= best, "bigger", shown, why, more)
        demand(found == best, "too-few", shown, "That is more than 2 % longer.", more)
    return "the fewest that are enough: in the six runs tried, between 0 and 11."


# ---- 09-early ----
@exercise("09-early", ours=ours.stop_early)
@quietly
def stop_in_time(answer: Any) -> str:
    """Check a loop that stops when its scores have not improved for some epochs."""
    check_kind(answer, True)
    judge_early(answer)
    return "one score an epoch, and it stops as soon as patience is used up, not before."


# ---- 09-stop ----
_STEP_S = 0.1
_IN_A_THREAD = "A thread can run a plain function, and you can await that."
_CALLED_HERE = ("called-here", _IN_A_THREAD, "`await asyncio.to_thread(train_step)`, without `()`.")
_STOP_HINTS: Hints = {
    f"object is not callable / {UNAWAITABLE}": _CALLED_HERE,
    "Event.wait": ("waits", "`stop.wait()` waits for the stop; `stop.is_set()` only asks."),
    **called("train_until(train_step, epochs, steps, stop)"),
}


class _Bench:
    """Training that is told to stop, with a heartbeat beside it."""

    def __init__(self, epochs: int, steps: int, stop_s: float | None) -> None:
        self.epochs, self.steps, self.stop_s = epochs, steps, stop_s
        self.began: list[float] = []
        self.lags: list[float] = []
        self.ended_s = 0.0

    async def run(self, train: Callable[..., Any]) -> Any:
        loop, stop = asyncio.get_running_loop(), asyncio.Event()
        self.now = loop.time
        if self.stop_s == 0:
            stop.set()
        elif self.stop_s is not None:
            loop.call_later(self.stop_s, stop.set)
        async with heart(self.lags, 0.03, beats=300):
            await asyncio.sleep(0)
            result = await train(self.step, self.epochs, self.steps, stop)
            self.ended_s = loop.time()
            await asyncio.sleep(0.5)  # anything left running shows now
        is_set = self.stop_s is None or stop.is_set()
        demand(is_set, "cleared", "`stop` is no longer set.", "Others may have to see it, too.")
        return result

    def step(self) -> None:
        self.began.append(self.now())
        compute(_STEP_S)


@exercise("09-stop")
@quietly
def stop_between_steps(answer: Any) -> str:
    """Check training that ends between two steps when told to stop."""
    check_kind(answer, True)
    for bench in _Bench(2, 7, None), _Bench(3, 5, 0.23), _Bench(2, 6, 0.0), _Bench(3, 7, 0.85):
        _judge_stop(bench, play(bench.run, answer, of=answer, hints=_STOP_HINTS).result)
    return "whole steps, none after the stop, and the loop was free all the time."


def _judge_stop(bench: _Bench, found: Any) -> None:
    began, total, stop_s = bench.began, bench.epochs * bench.steps, bench.stop_s
    is_alone = all(later - at > _STEP_S - 1e-6 for at, later in itertools.pairwise(began))
    why = "Await each step before the next one begins."
    demand(is_alone, "at-once", "several steps ran at once, and there is one model.", why)
    shown = f"it returned at {bench.ended_s:.2f} s, and a step was still running."
    is_over = all(at < bench.ended_s - _STEP_S + 1e-6 for at in began)
    demand(is_over, "left-running", shown, "A thread works on. `await` its step to the end.")
    late_s = max(bench.lags, default=0.0)
    shown = f"a heart beside it beat {late_s * 1000:.0f} ms late: nobody can press stop meanwhile."
    demand(late_s < 0.03, "on-the-loop", shown, "Where should the step compute?", _CALLED_HERE[2])
    possible = total if stop_s is None else int(stop_s / _STEP_S) + (stop_s > 0)
    late = len(began) - possible
    shown = f"stop at {stop_s} s; steps that began after it: {late}."
    why = "How often does it look at `stop`, and which loop does it leave then?"
    more = "In the inner loop, before each step: `if stop.is_set(): return ...`."
    demand(late <= 0, "late", shown, why, more)
    told = "before anybody set `stop`" if stop_s is None else f"until the stop at {stop_s} s"
    shown = f"{len(began)} of {possible} steps began {told}."
    why = "Is each step awaited, `stop.is_set()` written with its `()`, and nothing else awaited?"
    demand(not late, "count", shown, why)
    shown = f"it returned {shorten(found)}, and did {len(began)} steps."
    is_right = answers.is_number(found) and found == len(began)
    demand(is_right, "returned", shown, "Return how many steps were done, as a number.")


# ---- 09-interval ----
_INTERVAL_HINTS: Hints = {
    "context manager protocol / generator didn't / object is not an iterator": (
        "no-context",
        "What makes a generator function work in a `with`?",
        "`@contextlib.contextmanager` above its `def`, and one `yield`: there the block runs.",
    ),
    **called("switch_interval(seconds)"),
}


@exercise("09-interval", ours=ours.switch_interval)
@quietly
def set_interval(answer: Any) -> str:
    """Check a context manager that sets the switch interval and restores it."""
    answers.demand_given(answer, "your answer")
    shown = f"a function was expected, got {shorten(answer)}."
    demand(callable(answer), "kind", shown, "Without the `()`?")
    inner = inspect.unwrap(answer)
    demand(not is_stub(inner), "open", "write the body of `switch_interval` in place of the `...`")
    before = sys.getswitchinterval()
    try:
        play(_use_interval, answer, of=answer, hints=_INTERVAL_HINTS)
    finally:
        sys.setswitchinterval(before)
    return "set for the block, and put back, after an error as well."


def _use_interval(interval: Callable[..., Any]) -> None:
    more = "Ask `sys.getswitchinterval()` first, and set that again in a `finally`."
    for usual_s, asked_s in (0.005, 0.001), (0.007, 0.0001), (0.002, 0.02):
        for when, error in ("after the block", None), ("after an error", ZeroDivisionError()):
            sys.setswitchinterval(usual_s)
            got_out = error is None
            try:
                with interval(asked_s):
                    inside_s = sys.getswitchinterval()
                    if error is not None:
                        raise error
            except ZeroDivisionError:
                got_out = True
            after_s = sys.getswitchinterval()
            shown = f"asked for {asked_s} s; in the block it was {inside_s:g} s."
            why = "Set it to `seconds`, before the `yield`."
            demand(abs(inside_s - asked_s) < 2e-6, "not-set", shown, why)
            shown = f"it was {usual_s} s before, and {after_s:g} s {when}."
            why = "What runs after an error as well? And which interval was there before?"
            is_back = abs(after_s - usual_s) < 2e-6
            demand(is_back, "after-error" if error else "put-back", shown, why, more)
            why = "Let it out: `try` with `finally`, without `except` or `return`."
            demand(got_out, "swallows", "an error in the block was swallowed.", why)


# ---- 09-snapshot ----
@exercise("09-snapshot")
@quietly
def take_snapshot(answer: Any) -> str:
    """Check a snapshot from which a run resumes as if it had never stopped."""
    check_plain(answer)
    judge_snapshot(answer)
    return "a run that goes on from it ends with the weights of one that never stopped."


# ---- 09-resume ----
@exercise("09-resume", ours=ours.train_on)
@quietly
def go_on_after_a_kill(answer: Any) -> str:
    """Check a training run that resumes from its newest checkpoint."""
    check_kind(answer, True)
    judge_resume(answer)
    return "killed four times in two runs; each ended with the weights of one that never stopped."
