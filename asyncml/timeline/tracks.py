"""What is recorded of one task, or of one function in a thread, and the states that follow from it.

A task is always in one of three states: running, ready to run while another one does, or waiting
for something. Its steps are recorded; the other states lie between them.
"""

import asyncio
import math
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import starmap
from types import CodeType
from typing import Any, NamedTuple, Optional, Union

from asyncml.clock.reasons import is_for_tasks, kind, reason
from asyncml.clock.waiting import Site

# What a task waited for: the task or job behind the wait, or a name for it, or None if unknown; the
# number of suspended coroutines, from the outermost, that are the same objects as in the previous
# wait; the code of each coroutine, with its current instruction; the task that ended the wait, or
# None for a timer, socket or thread; and whether the wait ended with an exception, such as a
# cancellation. It is a plain tuple, because anything else would take as long to create as a step.
Target = Union["Track", "Job", str, None]
Awaited = tuple[Target, int, tuple[tuple[CodeType, int], ...], Optional["Track"], bool]
# A link in a chain of awaits: its code, its current instruction, and its coroutine. The code is
# enough for a library's coroutine.
Link = tuple[CodeType, int, weakref.ref[Any] | None]
State = tuple[str, float, float, str, str]  # state, start, end, reason, kind of wait


class Step(NamedTuple):
    """A stretch that a task ran without a pause, and the wait before it.

    `ready_s`: nan if the task was not seen to become ready.
    `awaited`: None if the wait was short (in real time), or only for the task's turn.
    `ready_at`: the number of steps of all tasks before it became ready.
    """

    ready_s: float
    start_s: float
    end_s: float
    awaited: Awaited | None
    ready_at: int


class Job:
    """What one function did in a worker thread, or in another process."""

    def __init__(self, name: str, submitted_s: float) -> None:
        self.name, self.submitted_s = name, submitted_s
        self.start_s = self.end_s = math.nan


@dataclass(eq=False, slots=True)
class Wait:
    """A stretch in which a task waited.

    `is_outside`: whether it waited for the outside world, not for other tasks or threads.
    `is_cut`: whether the wait ended with an exception.
    `shared`: how many of `sites` belong to calls that were also suspended in the previous wait.
    """

    track: "Track"
    start_s: float
    end_s: float
    reason: str
    is_outside: bool
    is_cut: bool
    shared: int
    sites: list[Site]


class Track:
    """What one task did.

    `outcome` is "pending", "finished", "failed", "cancelled" or, if the task was dropped while it
    waited, "dropped".
    """

    def __init__(self, label: str, created_s: float, parent: "Track | None", origin: Site | None):
        self.label, self.created_s, self.parent, self.origin = label, created_s, parent, origin
        # the fields of all Steps in a single list, which saves creating a tuple at each step
        self.steps: list[Any] = []
        self.pauses: list[tuple[float, float]] = []  # while tasks that it started eagerly ran
        self.ready_s, self.ended_s, self.ready_at = created_s, math.nan, 0
        self.waker: Track | None = None  # the task whose step ended the latest wait
        self.last_wait: Awaited | None = None  # of a task that did not end
        self.wait: Awaited | None = None  # the latest wait; `links` recognise its chain
        self.links: list[Link] = []
        self.sites: tuple[tuple[CodeType, int], ...] = ()
        self.task: weakref.ref[asyncio.Task[Any]] | None = None
        self.outcome, self.error = "pending", ""
        self.is_ready = False  # whether it was ready to run when the recording ended
        self.is_leaving = False  # whether it was cancelled, but had no time to end
        self.is_closed = False  # whether the recording has ended

    def finish(self, outcome: str, ended_s: float = math.nan) -> None:
        """Record how the task ended, unless the recording ended first."""
        if self.is_closed:
            return
        self.outcome, self.ended_s = outcome, ended_s
        self.forget()
        task = self.task() if self.task else None
        if task is not None:
            self.label = task.get_name()

    def note_unseen(self, error: BaseException | None) -> None:
        """Record an exception that was never retrieved."""
        name = type(error).__name__
        try:
            self.error = f"{name}: {error}"
        except Exception as another:  # formatting an error must not replace it
            self.error = f"{name}, whose str raises {type(another).__name__}"

    def forget(self) -> None:
        """Release the latest chain of awaits, which will not be compared again."""
        self.links, self.sites, self.wait = [], (), None

    def each_step(self) -> Iterator[Step]:
        """Yield the steps in order."""
        return map(Step, *[iter(self.steps)] * 5)

    def states(self, end_s: float) -> Iterator[State]:
        """Yield the states without gaps, from the task's creation to its end."""
        before = self.created_s
        pauses = iter(self.pauses)
        pause = next(pauses, None)
        for step in self.each_step():
            ready = step.start_s if math.isnan(step.ready_s) else max(step.ready_s, before)
            yield "waiting", before, ready, *_why(step.awaited)
            yield "ready", ready, step.start_s, "", ""
            before = step.start_s
            while pause is not None and pause[1] <= step.end_s:
                yield "running", before, pause[0], "", ""
                yield "ready", *pause, "while a task that it started eagerly runs", ""
                before, pause = pause[1], next(pauses, None)
            yield "running", before, step.end_s, "", ""
            before = step.end_s
        if self.outcome in ("pending", "dropped"):
            end = end_s if math.isnan(self.ended_s) else self.ended_s
            if self.is_ready:
                yield "ready", before, end, "", ""
            else:
                yield "waiting", before, end, *_why(self.last_wait)

    def waits(self, end_s: float) -> Iterator[Wait]:
        """Yield each wait that took any time."""
        before = self.created_s
        for step in self.each_step():
            end = step.start_s if math.isnan(step.ready_s) else step.ready_s
            if step.awaited is not None and end > before:
                yield self._wait(before, end, step.awaited)
            before = step.end_s
        end = end_s if math.isnan(self.ended_s) else self.ended_s
        if self.last_wait is not None and end > before:
            yield self._wait(before, end, self.last_wait)

    def _wait(self, start_s: float, end_s: float, awaited: Awaited) -> Wait:
        why, _ = _why(awaited)
        target, shared, chain, waker, is_cut = awaited
        is_outside = target is None and waker is None and not is_for_tasks(why)
        sites = list(starmap(Site, chain))
        return Wait(self, start_s, end_s, why, is_outside, is_cut, shared, sites)


def _why(awaited: Awaited | None) -> tuple[str, str]:
    """Return what a task waited for, and the kind of that wait."""
    if awaited is None:
        return "", ""
    target, _, chain, waker, _ = awaited
    if isinstance(target, Job):
        return f"thread {target.name}", "thread"
    codes = [code for code, _ in chain]
    why = reason(codes, f"task {target.label}" if isinstance(target, Track) else target)
    return why, kind(why, codes, waker is not None)
