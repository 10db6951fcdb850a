"""Judges a training loop that loads ahead: overlap, bound, order and failures; for lesson 09."""

import asyncio
import itertools
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from asyncml.clock import compute
from asyncml.course.exercises import Wrong
from asyncml.course.exercises.scenes import Hints, demand, play


def called(call: str) -> Hints:
    """Return the hint for wrong arguments; `call` is how the answer is called."""
    why = f"It is called as `{call}`. Does it call other functions with the arguments they take?"
    return {"positional argument": ("signature", why)}


_BY_ROOM = "Acquire an `asyncio.Semaphore(ahead)` before each load, and release it as you take the "
_BY_ROOM += "batch, before its step."
_HINTS = called("train_ahead(load, step, count, ahead)")


def on_paper(loads_s: list[float], train_s: float, ahead: int) -> float:
    """Return the virtual seconds that training takes; 0 ahead: load and train in turn."""
    if not ahead:
        return sum(loads_s) + train_s * len(loads_s)
    loaded = trained = 0.0
    taken: list[float] = []
    for index, load_s in enumerate(loads_s):
        room = taken[index - ahead] if index >= ahead else 0.0
        loaded = max(loaded, room) + load_s
        taken.append(max(loaded, trained))
        trained = taken[-1] + train_s
    return trained


@dataclass
class _Run:
    """A run of the answer: the failures to cause in it, and a record of what it did."""

    loads_s: list[float]
    train_s: float
    ahead: int
    lost: int | None = None
    broken: int | None = None
    cancel_s: float | None = None
    loads: list[tuple[float, Any]] = field(default_factory=list)  # start and number of each
    steps: list[tuple[float, Any]] = field(default_factory=list)
    ended_s: float = 0.0
    error: BaseException | None = None
    is_on_loop: bool = False

    async def go(self, train: Callable[..., Any]) -> None:
        self.loop, self.home = asyncio.get_running_loop(), threading.get_ident()
        given = train(self.load, self.step, len(self.loads_s), self.ahead)
        work = asyncio.create_task(given, name="train_ahead")
        if self.cancel_s is not None:
            self.loop.call_later(self.cancel_s, work.cancel)
        await asyncio.wait([work])
        self.ended_s = self.loop.time()
        self.error = asyncio.CancelledError() if work.cancelled() else work.exception()
        await asyncio.sleep(1)  # anything left running shows now

    async def load(self, number: int) -> str:
        self.loads.append((self.loop.time(), number))
        await asyncio.sleep(self.loads_s[number])
        if number == self.lost:
            raise OSError(f"shard {number} is gone")
        return f"batch {number}"

    def step(self, batch: Any) -> None:
        self.steps.append((self.loop.time(), batch))
        self.is_on_loop |= threading.get_ident() == self.home
        compute(self.train_s)
        if len(self.steps) - 1 == self.broken:
            raise FloatingPointError("the loss is not finite")

    @property
    def most_ahead(self) -> int:
        """The most batches that were loading, or loaded and not yet trained on."""
        events = [(round(at, 9), 1) for at, _ in self.loads]
        events += [(round(at, 9), -1) for at, _ in self.steps]
        return max(itertools.accumulate(change for _, change in sorted(events)), default=0)


def judge_feeder(answer: Callable[..., Any]) -> None:
    """Raise `Wrong` unless the answer loads ahead, in order, within its bound, and cleans up."""
    uneven = [*[0.01] * 8, 0.3, 0.01, 0.09, 0.01, 0.02, 0.2, 0.01, 0.01]
    for run in _Run([0.06] * 6, 0.04, 2), _Run(uneven, 0.05, 4), _Run([0.01] * 5, 0.06, 1):
        _play(run, answer)
        shown = "a step ran on the event loop's own thread: nothing else could run meanwhile."
        more = "`await asyncio.to_thread(step, batch)`, with no `()` behind `step`."
        demand(not run.is_on_loop, "on-the-loop", shown, "What can compute instead?", more)
        if run.error is not None:  # reported with the answer's lines
            play(_raise, _inner(run.error), of=answer, hints=_HINTS)
        _judge_batches(run)
        _judge_room(run)
    _judge_failures(answer)


def _play(run: _Run, answer: Callable[..., Any]) -> None:
    try:
        play(run.go, answer, of=answer, hints=_HINTS)
    except Wrong as wrong:
        if wrong.code != "deadlock":
            raise
        why, code = "The error ended the feeder. How does the training loop find out?", "load-fails"
        shown = "the load of batch 2 failed, and training waited for that batch for ever."
        more = "Start the feeder in an `asyncio.TaskGroup`: its error ends both."
        if run.lost is None:
            shown, code, more = wrong.message, "no-release", _BY_ROOM
            why = "What makes room again when a batch is taken?"
        if not run.steps and run.lost is None:
            code, why = "no-batch", "No batch has reached the training loop."
            more = "Is each `put` awaited, and does the feeder run in a task of its own?"
        raise Wrong(code, shown, why, more) from None


async def _raise(error: BaseException) -> None:
    raise error


def _inner(error: BaseException) -> BaseException:
    """Return the only error inside nested groups, or the group if it holds several."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def _judge_batches(run: _Run) -> None:
    batches, count = [batch for _, batch in run.steps], len(run.loads_s)
    is_awaited = all(isinstance(batch, str) for batch in batches)
    why = "What do `load(number)` and `queue.get()` give you before they are awaited?"
    demand(is_awaited, "not-a-batch", "`step` was not given a batch.", why)
    shown = "several steps ran at once, and there is one model."
    began = [at_s for at_s, _ in run.steps]
    is_alone = all(b - a > run.train_s - 1e-6 for a, b in itertools.pairwise(began))
    demand(is_alone, "at-once", shown, "Await each step before the next begins.")
    shown = f"at {run.ended_s:.2f} s it returned, with {len(batches)} of {count} batches done."
    demand(len(batches) == count, "count", shown, "Does it await everything that it has started?")
    shown = f"it trained on {', '.join(batches[:3])}, ..."
    is_right = batches == [f"batch {number}" for number in range(count)]
    demand(is_right, "order", shown, "Load and train in the order of the numbers, from 0.")
    shown = f"`load` was called for {', '.join(str(number) for _, number in run.loads)}."
    demand(len(run.loads) == count, "beyond", shown, "Load each batch once: 0 to `count - 1`.")
    gaps = [later_s - at_s for (at_s, _), (later_s, _) in itertools.pairwise(run.loads)]
    is_single = all(gap_s > load_s - 1e-6 for gap_s, load_s in zip(gaps, run.loads_s, strict=False))
    why = "One feeder loads one batch after the other: await each `load` in its loop."
    demand(is_single, "many-loads", "several loads ran at once.", why)


def _judge_room(run: _Run) -> None:
    most, ahead, count = run.most_ahead, run.ahead, len(run.loads_s)
    shown = f"with ahead={ahead}, {most} batches were loading or waiting at once."
    why = "While the queue is full the feeder holds one more. Does that one count?"
    demand(most != ahead + 1, "one-more", shown, why, _BY_ROOM)
    why = "What stops the feeder while there is no room? (A queue of size 0 has no limit.)"
    demand(most <= ahead, "unbounded", shown, why, _BY_ROOM)
    best, slowest = (on_paper(run.loads_s, run.train_s, n) for n in (ahead, 0))
    seen = run.ended_s
    shown = f"{count} batches, {ahead} ahead: {seen:.3f} s; {best:.3f} s is possible. "
    shown += f"Never more than {most} were loading or waiting."
    why, more = "Nothing was loaded while a step ran.", "The feeder is a task of its own. "
    demand(abs(seen - slowest) > 1e-6, "one-by-one", shown, why, more + _BY_ROOM)
    why = "Does the feeder go on until `ahead` batches are loading or waiting?"
    demand(seen < best + 1e-6, "slow", shown, why, _BY_ROOM)


def _judge_failures(answer: Callable[..., Any]) -> None:
    # no step runs at these moments: an answer may wait for its thread in a `with`, which blocks
    lost = _Run([0.06] * 6, 0.02, 2, lost=2)
    broken, cancelled = (
        _Run([0.06] * 9, 0.02, 8, **how) for how in ({"broken": 1}, {"cancel_s": 0.15})
    )
    for run, what, kind in (
        (lost, "a load failed", OSError),
        (broken, "a step failed", FloatingPointError),
        (cancelled, "it was cancelled", asyncio.CancelledError),
    ):
        _play(run, answer)
        shown = f"{what}, and it returned as if all were well."
        is_told = isinstance(_inner(run.error), kind) if run.error else False
        demand(is_told, "error-lost", shown, "Let the error out: it must reach the caller.")
        late = sum(began_s > run.ended_s for began_s, _ in run.loads)
        shown = f"{what}, and the feeder went on: {late} more loads began after the end."
        why = "What ends the feeder?"
        more = "Start it in an `asyncio.TaskGroup`, or cancel it in a `finally`."
        demand(not late, "left-running", shown, why, more)
