"""Judges a training loop that loads ahead: overlap, room, order, and what fails; for lesson 09."""

import asyncio
import itertools
import threading
from collections.abc import Callable
from typing import Any

from asyncml.clock import compute
from asyncml.course.exercises import Wrong
from asyncml.course.exercises.scenes import Hints, demand, play

_AFTER_S = 1.0  # looked on for so long after the end: what has been left running shows
_HINTS: Hints = {
    "positional argument": ("signature", "It is called with `load, step, count, ahead`."),
    "object is not callable": (
        "not-called",
        "A thread calls the function itself: hand over `step` and `batch`, without calling.",
    ),
}


class Uneven:
    """On paper, what training takes in virtual time with uneven loads.

    Args:
        loads_s: seconds for each load.
        train_s: seconds for each step.
    """

    def __init__(self, loads_s: list[float], train_s: float) -> None:
        self.loads_s, self.train_s = loads_s, train_s

    def seconds(self, ahead: int) -> float:
        """Return the seconds that the run takes with so many batches ahead."""
        if not ahead:
            return sum(self.loads_s) + self.train_s * len(self.loads_s)
        loaded = trained = 0.0
        taken: list[float] = []
        for index, load_s in enumerate(self.loads_s):
            room = taken[index - ahead] if index >= ahead else 0.0
            loaded = max(loaded, room) + load_s
            taken.append(max(loaded, trained))
            trained = taken[-1] + self.train_s
        return trained


class _Feeding(Uneven):
    """A run of the answer, and what it did when."""

    def __init__(
        self,
        loads_s: list[float],
        train_s: float,
        ahead: int,
        *,
        lost: int | None = None,
        broken: int | None = None,
        cancel_s: float | None = None,
    ) -> None:
        super().__init__(loads_s, train_s)
        self.ahead, self.lost, self.broken, self.cancel_s = ahead, lost, broken, cancel_s
        self.began: list[float] = []  # loads
        self.trained: list[tuple[float, Any]] = []
        self.numbers: list[Any] = []
        self.loading = self.loads_at_once = self.running = self.steps_at_once = 0
        self.ended_s = 0.0
        self.was_on_the_loop = False
        self.error: BaseException | None = None

    async def run(self, train: Callable[..., Any]) -> None:
        self.loop, self.home = asyncio.get_running_loop(), threading.get_ident()
        work = asyncio.create_task(
            train(self.load, self.step, len(self.loads_s), self.ahead), name="train_ahead"
        )
        if self.cancel_s is not None:
            self.loop.call_later(self.cancel_s, work.cancel)
        await asyncio.wait([work])
        self.ended_s = self.loop.time()
        self.error = asyncio.CancelledError() if work.cancelled() else work.exception()
        await asyncio.sleep(_AFTER_S)

    async def load(self, number: int) -> str:
        self.began.append(self.loop.time())
        self.numbers.append(number)
        self.loading += 1
        self.loads_at_once = max(self.loads_at_once, self.loading)
        try:
            known = isinstance(number, int) and 0 <= number < len(self.loads_s)
            await asyncio.sleep(self.loads_s[number] if known else 0.01)
        finally:
            self.loading -= 1
        if number == self.lost:
            raise OSError(f"shard {number} is gone")
        return f"batch {number}"

    def step(self, batch: Any) -> None:
        self.trained.append((self.loop.time(), batch))
        self.was_on_the_loop |= threading.get_ident() == self.home
        self.running += 1
        self.steps_at_once = max(self.steps_at_once, self.running)
        compute(self.train_s)
        self.running -= 1
        if len(self.trained) - 1 == self.broken:
            raise FloatingPointError("the loss is not finite")

    @property
    def most_ahead(self) -> int:
        """The most batches that were loading or loaded, and not yet trained on."""
        events = [(round(at, 9), 1) for at in self.began]
        events += [(round(at, 9), -1) for at, _ in self.trained]
        return max(itertools.accumulate(change for _, change in sorted(events)), default=0)


def judge_feeder(answer: Callable[..., Any]) -> None:
    """Raise `Wrong`, unless the answer trains ahead, in order, within its room, and cleanly."""
    uneven = [*[0.01] * 8, 0.3, 0.01, 0.09, 0.01, 0.02, 0.2, 0.01, 0.01]
    for feeding in (
        _Feeding([0.06] * 6, 0.04, 2),
        _Feeding(uneven, 0.05, 4),
        _Feeding([0.01] * 5, 0.06, 1),
        _Feeding([0.03] * 3, 0.02, 8),
    ):
        _play(feeding, answer)
        _judge_thread(feeding)
        if feeding.error is not None:  # told with the answer's lines
            play(_raise, _inner(feeding.error), of=answer, hints=_HINTS)
        _judge_steps(feeding)
        _judge_room(feeding)
        _judge_time(feeding)
    _judge_failures(answer)


def _play(feeding: _Feeding, answer: Callable[..., Any]) -> None:
    try:
        play(feeding.run, answer, of=answer, hints=_HINTS)
    except Wrong as wrong:
        if wrong.code == "deadlock" and "Semaphore.acquire" in wrong.message:
            why, more = "Who makes room again?", "`room.release()` when a batch is taken."
            raise Wrong("no-release", wrong.message, why, more) from None
        raise


async def _raise(error: BaseException) -> None:
    raise error


def _judge_thread(feeding: _Feeding) -> None:
    shown = "a step ran on the event loop's own thread: nothing else could run meanwhile."
    more = "`await asyncio.to_thread(step, batch)`, with no `()` behind `step`."
    why = "Who should compute instead?"
    demand(not feeding.was_on_the_loop, "on-the-loop", shown, why, more)


def _inner(error: BaseException) -> BaseException:
    """Return the one error inside groups, or the group if it holds several."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def _judge_steps(feeding: _Feeding) -> None:
    batches, count = [batch for _, batch in feeding.trained], len(feeding.loads_s)
    if batches and not isinstance(batches[0], str):
        kind = type(batches[0]).__name__
        shown = f"`step` was given a {kind}, and not a batch."
        raise Wrong("not-a-batch", shown, "What does `load(number)` give you before it is awaited?")
    shown = f"{feeding.steps_at_once} steps ran at once, and there is one model."
    demand(feeding.steps_at_once < 2, "at-once", shown, "Await each step before the next begins.")
    beyond = [number for number in feeding.numbers if number not in range(count)]
    if beyond:
        shown = f"the batches are 0 to {count - 1}, and `load({beyond[0]!r:.20})` was called."
        raise Wrong("beyond", shown, "Which is the last one to load?")
    twice = len(feeding.numbers) > len(set(feeding.numbers))
    demand(not twice, "twice", "a batch was loaded more than once.", "Who calls `load`?")
    shown = f"at {feeding.ended_s:.2f} s it returned, with {len(batches)} of {count} batches done."
    why = "Is everything awaited that it has begun?"
    demand(len(batches) == count, "count", shown, why)
    right = [f"batch {number}" for number in range(count)]
    shown = f"it trained on {', '.join(map(str, batches[:3]))}, ..."
    why = "In the order of their numbers, from 0."
    demand(batches == right, "order", shown, why)
    shown = f"{feeding.loads_at_once} loads ran at once."
    why = "One feeder loads, one batch after the other."
    demand(feeding.loads_at_once < 2, "many-loads", shown, why, "Await each `load` in its loop.")


def _judge_room(feeding: _Feeding) -> None:
    most, ahead = feeding.most_ahead, feeding.ahead
    if most <= ahead:
        return
    shown = f"with ahead={ahead}, {most} batches were loading or waiting at once."
    more = "`await room.acquire()` before each load; `room.release()` when a batch is taken."
    if most == ahead + 1:
        why = "While the queue is full the feeder holds one more. Who counts that one?"
        raise Wrong("one-more", shown, why, more)
    why = "What stops the feeder while there is no room?"
    if ahead == 1:
        why += " (A queue of size 0 has no limit.)"
    raise Wrong("unbounded", shown, why, more)


def _judge_time(feeding: _Feeding) -> None:
    seen, best = feeding.ended_s, feeding.seconds(feeding.ahead)
    if seen <= best + 1e-6:
        return
    count, ahead = len(feeding.loads_s), feeding.ahead
    shown = f"{count} batches, {ahead} ahead: {seen:.3f} s, and {best:.3f} s are possible."
    if abs(seen - feeding.seconds(0)) < 1e-6:
        why = "Nothing was loaded while a step ran. Who loads meanwhile?"
        more = "A task of its own, begun before the first step: the feeder."
        if ahead == 1:
            more = "Make room as soon as a batch is taken, before its step."
        raise Wrong("one-by-one", shown, why, more)
    if feeding.most_ahead == ahead - 1 > 1:
        why = "The batch that is trained on takes up room as well. When is it given back?"
        raise Wrong("late-room", shown, why, "`room.release()` before the step, not after it.")
    if feeding.most_ahead < ahead:
        shown += f" Never more than {feeding.most_ahead} were ahead."
        why = "While a load is slow, the others that were ready are used up."
        raise Wrong("too-few", shown, why, "Let the feeder go on until `ahead` are ready.")
    raise Wrong("slow", shown, "What else does it wait for?")


def _judge_failures(answer: Callable[..., Any]) -> None:
    # no step runs at these moments: an answer may wait for its thread with a `with`, which blocks
    feeding = _Feeding([0.06] * 6, 0.02, 2, lost=2)
    try:
        play(feeding.run, answer, of=answer, hints=_HINTS)
    except Wrong as wrong:
        if wrong.code != "deadlock":
            raise
        shown = "the load of batch 2 failed, and training waited for that batch for ever."
        why = "The error ended the feeder. Who is told of it?"
        more = "Start the feeder in an `asyncio.TaskGroup`: its error ends both."
        raise Wrong("load-fails", shown, why, more) from None
    shown = "the load of batch 2 failed, and nobody was told: it returned as if all were well."
    is_told = _holds(feeding.error, OSError)
    demand(is_told, "error-lost", shown, "Let the error out: it must reach whoever called you.")
    for feeding in (
        _Feeding([0.06] * 9, 0.02, 8, broken=1),
        _Feeding([0.06] * 9, 0.02, 8, cancel_s=0.15),
    ):
        play(feeding.run, answer, of=answer, hints=_HINTS)
        what = "a step failed" if feeding.broken else "it was cancelled"
        kind = FloatingPointError if feeding.broken else asyncio.CancelledError
        shown = f"{what}, and it returned as if all were well."
        demand(_holds(feeding.error, kind), "error-lost", shown, "Let the error out.")
        late = [at for at in feeding.began if at > feeding.ended_s]
        shown = f"{what}, and the feeder went on: {len(late)} more loads began after the end."
        why = "Whoever starts a task ends it. Who ends the feeder?"
        more = "Start it in an `asyncio.TaskGroup`, or cancel it in a `finally`."
        demand(not late, "left-running", shown, why, more)


def _holds(error: BaseException | None, kind: type[BaseException]) -> bool:
    if isinstance(error, BaseExceptionGroup):
        return any(_holds(part, kind) for part in error.exceptions)
    return isinstance(error, kind)
