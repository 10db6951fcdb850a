"""What a recording holds: the steps of each task, the jobs of each thread, and what they add up to.

A task is always in one of three states: it runs, it is ready to run but another one does, or it
waits for something. The recorder notes the steps, this file makes stretches of states from them.
"""

import asyncio
import math
import re
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from types import CodeType
from typing import Any, NamedTuple

from asyncml.waiting import Place, library_reason

# here a task waits for tasks, not for the outside world, even if a callback wakes it
_FOR_TASKS = {"TaskGroup", "as_completed", "gather", "shield", "wait", "wait_for"}


# What a task waited for: the task, the tasks or the job behind it, where that is known; how many
# suspended coroutines, outermost first, the wait before it had in common with it; and the code of
# each, with the instruction where it stood. A plain tuple: making another costs as much as a step.
Awaited = tuple[Any, int, list[tuple[CodeType, int]]]


class Step(NamedTuple):
    """A stretch that a task ran without a pause, and the wait before it.

    `outside`: the wait was ended by no recorded task, but by a timer, a socket or a thread.
    `awaited`: None if the wait was short, or for its turn.
    """

    ready_s: float
    start_s: float
    end_s: float
    outside: bool
    awaited: Awaited | None


class Job:
    """What one function did in a worker thread, or in another process."""

    def __init__(self, name: str, submitted_s: float) -> None:
        self.name, self.submitted_s = name, submitted_s
        self.start_s = self.end_s = math.nan


@dataclass(eq=False, slots=True)
class Wait:
    """A stretch in which a task waited; `is_outside`: for the world, not for tasks or threads."""

    track: "Track"
    start_s: float
    end_s: float
    reason: str
    is_outside: bool
    shared: int
    places: list[Place]


class Track:
    """What one task did."""

    def __init__(self, label: str, created_s: float, parent: "Track | None", origin: Place | None):
        self.label, self.created_s, self.parent, self.origin = label, created_s, parent, origin
        self.steps: list[Any] = []  # of the fields of a Step, since making one costs as much again
        self.pauses: list[tuple[float, float]] = []  # while a task that it started eagerly ran
        self.ready_s = self.end_s = created_s
        self.outside = False
        self.awaited: Any = None  # a future
        self.last_wait: Awaited | None = None  # what a task that is still pending waits for
        self.chain: list[tuple[Any, CodeType, int]] = []
        self.task: weakref.ref[asyncio.Task[Any]] | None = None
        self.failed: asyncio.Task[Any] | None = None  # kept: did anyone ask for its exception?
        self.outcome, self.unseen = "pending", ""

    def finish(self, error: BaseException, task: asyncio.Task[Any] | None) -> None:
        """Note how the task ended: with which exception its coroutine did."""
        self.chain, self.awaited = [], None
        if task is not None:
            self.take_name(task)
        if isinstance(error, StopIteration):
            self.outcome = "finished"
        elif isinstance(error, asyncio.CancelledError | GeneratorExit):
            self.outcome = "cancelled"
        else:
            self.outcome, self.failed = "failed", task

    def release(self) -> None:
        """Let go of the program's objects; what it did not ask for by now, it will not."""
        if self.failed is not None and getattr(self.failed, "_log_traceback", False):
            # not by exception(): that would count as having asked, and asyncio would not complain
            error = getattr(self.failed, "_exception", None)
            self.unseen = f"{type(error).__name__}: {error}"
        self.chain, self.failed, self.awaited = [], None, None

    def take_name(self, task: asyncio.Task[Any]) -> None:
        """Take over a name that the program gave; the others are counted per recording."""
        name = task.get_name()  # Python 3.13.0 calls unnamed tasks "None" under a task factory
        if not re.fullmatch(rf"None|(Task|{re.escape(self.label.rpartition('-')[0])})-\d+", name):
            self.label = name

    def states(self, end_s: float) -> Iterator[tuple[str, float, float, str]]:
        """Yield (state, start, end, reason) without a gap from the task's creation to its end."""
        before = self.created_s
        for step in map(Step._make, self.steps):
            ready = step.start_s if math.isnan(step.ready_s) else max(step.ready_s, before)
            yield "waiting", before, ready, reason_of(step.awaited)
            yield "ready", ready, step.start_s, ""
            yield from self._running(step)
            before = step.end_s
        if self.outcome == "pending":
            waits = math.isnan(self.ready_s)
            yield "waiting" if waits else "ready", before, end_s, reason_of(self.last_wait)

    def _running(self, step: Step) -> Iterator[tuple[str, float, float, str]]:
        before = step.start_s
        for start, end in self.pauses:
            if step.start_s <= start and end <= step.end_s:
                yield "running", before, start, ""
                yield "ready", start, end, "while a task that it started eagerly runs"
                before = end
        yield "running", before, step.end_s, ""

    def waits(self, end_s: float) -> Iterator[Wait]:
        """Yield each wait that took any time."""
        before = self.created_s
        for step in map(Step._make, self.steps):
            end = step.start_s if math.isnan(step.ready_s) else step.ready_s
            if step.awaited is not None and end > before:
                yield self._wait(before, end, step.outside, step.awaited)
            before = step.end_s
        if self.last_wait is not None and end_s > before:
            yield self._wait(before, end_s, False, self.last_wait)

    def _wait(self, start_s: float, end_s: float, outside: bool, awaited: Awaited) -> Wait:
        reason = reason_of(awaited)
        target, shared, chain = awaited
        is_outside = outside and target is None and reason not in _FOR_TASKS
        places = [Place(code, lasti) for code, lasti in chain]
        return Wait(self, start_s, end_s, reason, is_outside, shared, places)


def reason_of(awaited: Awaited | None) -> str:
    """Say what a task waited for."""
    if awaited is None:
        return ""
    target, _, chain = awaited
    if isinstance(target, Job):
        return f"thread {target.name}"
    name = library_reason([code for code, _ in chain])
    if name is not None:
        return name
    if isinstance(target, Track):
        return f"task {target.label}"
    if isinstance(target, str):
        return f"task {target}"
    return "gather" if target is not None else "future"
