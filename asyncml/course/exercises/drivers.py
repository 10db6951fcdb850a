"""Judges schedulers of coroutines, as in lesson 03: a trampoline, and one with naps."""

import contextlib
import heapq
import inspect
import itertools
import random
import types
from collections.abc import Callable, Generator
from typing import Any

from asyncml.course.exercises import Wrong
from asyncml.course.exercises.scenes import Hints, check_plain, demand, play

Plan = dict[str, list[float]]
Events = list[tuple[float, str]]

NEXT: Hints = {
    "is not an iterator / '__next__'": (
        "next",
        "`next` does not work on a coroutine; `send(None)` does the same.",
    )
}
_HINTS: Hints = {
    "still running": ("endless", "Take one out in each round. One that has ended stays out."),
    "`time.sleep`": ("time-sleep", "Only `wait_until` may wait, where there is one."),
    "is not callable": ("called", "They are coroutines already: resume them with `send(None)`."),
    "StopIteration": (
        "end",
        "`send` raises it when a coroutine ends: catch it, and do not put that one back.",
        "`try: coro.send(None)`, then `except StopIteration: continue`.",
    ),
    "already awaited": ("ended", "One that has ended was resumed: do not put it back."),
    **NEXT,
    "index out of range / pop from an empty": (
        "empty",
        "Stop when nobody is left: `while ready:`, or `while timers:`.",
    ),
    "non-None value": ("sent", "Nobody asks for a value here: `send(None)`."),
    "mutated during": ("for", "The queue changes meanwhile: `while ready:`, and take one out."),
    "'<' not supported": (
        "ties",
        "Two are due at the same time, so the heap compares the next items of their tuples.",
        "Put a number between: `(when, next(order), coro)`, with `order = itertools.count()`.",
    ),
    "'now'": ("no-wait", "Call `wait_until(when)` and take `now` from it."),
}
_STARS: Hints = {
    "positional / object is not iterable": (
        "arguments",
        "It takes any number of coroutines: `*coros`, with the star.",
    )
}


@types.coroutine
def _pause(seconds: float) -> Generator[float, Any, None]:
    yield seconds


class _Stage:
    """Coroutines that pause as planned, a clock that is late once, and a record of the steps."""

    def __init__(self, plan: Plan, late_s: float = 0.0) -> None:
        self.now, self.late_s, self.is_asked = 0.0, late_s, False
        self.events: Events = []
        self.ended = 0
        self.coros = [self._speak(name, pauses) for name, pauses in plan.items()]

    async def _speak(self, name: str, pauses: list[float]) -> None:
        for seconds in pauses:
            self.events.append((self.now, name))
            await _pause(seconds)
        self.ended += 1

    def wait_until(self, when: float) -> float:
        self.is_asked = True
        if when > self.now:
            self.now, self.late_s = when + self.late_s, 0.0
        return self.now

    def close(self) -> None:
        for coro in self.coros:
            coro.close()  # otherwise those that never began would warn


def _check_driver(answer: Any) -> None:
    check_plain(answer)
    why = "Calling a function with a `yield` runs nothing of it. `send` does the yielding here."
    is_generator = inspect.isgeneratorfunction(answer)
    demand(not is_generator, "kind", f"`{answer.__name__}` has a `yield` in it.", why)


def judge_trampoline(answer: Any) -> None:
    """Raise `Wrong` unless it resumes coroutines in turn until all have ended."""
    _check_driver(answer)
    chance = random.Random(3)
    drawn = {name: chance.randint(0, 4) for name in "vwxyz"}
    for times in ({"a": 2}, {"a": 3, "b": 1, "c": 2}, drawn, {}):
        plan = {name: [0.0] * count for name, count in times.items()}
        with contextlib.closing(_Stage(plan)) as stage:
            play(answer, *stage.coros, of=answer, hints=_HINTS | _STARS)
        _judge_turns(stage, times)


def _judge_turns(stage: _Stage, times: dict[str, int]) -> None:
    seen = [name for _, name in stage.events]
    right = [name for turn in range(9) for name, count in times.items() if count > turn]
    told = ", ".join(f"{name} {count}" for name, count in times.items())
    shown = f"{told} times: expected {' '.join(right)}; seen: {' '.join(seen) or 'nothing'}."
    why = "Go on until the queue is empty: put back each one that has not ended."
    is_all = len(seen) == len(right) and stage.ended == len(times)
    demand(is_all, "unfinished", shown, why, "`while ready:`, and `continue` where one ends.")
    why = "After each step the next in the queue has its turn: one from the front, back to the end."
    more = "`coro = ready.popleft()`, one step, then `ready.append(coro)`."
    demand(seen == right, "turns", shown, why, more)


def judge_naps(answer: Any) -> None:
    """Raise `Wrong` unless coroutines that yield seconds of sleep are resumed on time."""
    _check_driver(answer)
    chance = random.Random(3)
    drawn = {name: [float(chance.randint(0, 3)) for _ in range(6)] for name in "vwxyz"}
    two: Plan = {"a": [2.0, 2.0, 0.0], "b": [1.0, 0.0]}
    plans = [{"a": [3.0, 0.0]}, two, {"a": [2.0, 2.0, 0.0], "b": [4.0, 0.0]}, drawn]
    for plan, late_s in [*((plan, 0.0) for plan in plans), (two, 1.5)]:
        found, right = (_run_naps(run, plan, late_s, answer) for run in (answer, naps))
        shown, why = "`wait_until` was never called.", "Somebody has to wait for the first alarm."
        is_asked = found.is_asked or not found.events
        demand(is_asked, "no-clock", shown, why, "`now = wait_until(when)`")
        _judge_events(found.events, right.events, late_s)


def naps(coros: list[Any], wait_until: Callable[[float], float]) -> None:
    """Resume coroutines that yield seconds of sleep, each when it is due."""
    order = itertools.count()
    timers = [(0.0, next(order), coro) for coro in coros]
    while timers:
        when, _, coro = heapq.heappop(timers)
        now = wait_until(when)
        with contextlib.suppress(StopIteration):
            heapq.heappush(timers, (now + coro.send(None), next(order), coro))


def _run_naps(run: Callable[..., Any], plan: Plan, late_s: float, answer: Any) -> _Stage:
    with contextlib.closing(_Stage(plan, late_s)) as stage:
        play(run, list(stage.coros), stage.wait_until, of=answer, hints=_HINTS)
    return stage


def _judge_events(found: Events, right: Events, late_s: float) -> None:
    if found == right:
        return
    pairs = enumerate(zip(found, right, strict=False))
    end = 1 + next((n for n, (one, other) in pairs if one != other), len(found))
    shown = f"expected {_story(right[:end])}; seen: {_story(found[:end]) or 'nothing'}."
    why = f"The clock woke you {late_s:g} s late, once: `now` is what `wait_until` returned."
    demand(not late_s, "late-clock", shown, why, "Push `now + seconds`, not `when + seconds`.")
    why = "The heap holds when alarms ring, not how long until then. Wait first, then resume."
    more = "Push `(now + seconds, next(order), coro)`; `wait_until` comes before `send`."
    for name in sorted({name for _, name in right}):
        woken, dues = ([at for at, who in events if who == name] for events in (found, right))
        for at, due in zip(woken, dues, strict=False):
            seen = f"`{name}` woke at {at:g} s and not at {due:g} s."
            demand(at >= due, "early", seen, why, more)
            late = "While one sleeps the others run: push it, then pop the one that is due first."
            demand(at <= due, "late", seen, late)
    demand(len(found) >= len(right), "unfinished", shown, "Go on until nobody is left.")
    ties = "At equal times, the one that went to sleep first wakes first."
    raise Wrong("tie-order", shown, ties, "Number them in that order: `(when, next(order), coro)`.")


def _story(events: Events) -> str:
    return ", ".join(
        ["..."] * (len(events) > 8) + [f"{name} at {at:g}" for at, name in events[-8:]]
    )
