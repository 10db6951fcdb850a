"""What is noted of one task, or of one function in a thread, and the states that follow from it.

A task is always in one of three states: it runs, it is ready to run but another one does, or it
waits for something. What is noted are its steps; the states lie between them.
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

# What a task waited for: the task or the job behind the wait, or a name for it, if one is known;
# how many of the suspended coroutines, counted from the outermost, were the same ones in the wait
# before; the code of each, with the instruction where it stood; the task that ended the wait, None
# if a timer, a socket or a thread did; and whether it ended with an exception, such as a
# cancellation. It is a plain tuple, for anything else would cost as much to make as a step.
Target = Union["Track", "Job", str, None]
Awaited = tuple[Target, int, tuple[tuple[CodeType, int], ...], Optional["Track"], bool]
# A link of a chain of awaits: its code, where it stood, and which coroutine it was; of a library's
# coroutine its code is enough
Link = tuple[CodeType, int, weakref.ref[Any] | None]
State = tuple[str, float, float, str, str]  # state, start, end, reason, kind of wait


class Step(NamedTuple):
    """A stretch that a task ran without a pause, and the wait before it.

    `ready_s`: nan if the task was not seen to become ready.
    `awaited`: None if the wait was short, in real time, or for its turn.
    `ready_at`: after how many steps of all tasks it became ready.
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

    `is_outside`: for the world, not for other tasks or threads.
    `is_cut`: it ended with an exception.
    `shared`: how many of `sites` belong to calls that the wait before had stood in, too.
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

    `outcome` is "pending", "finished", "failed", "cancelled" or, for a task that was dropped while
    it waited, "dropped".
    """

    def __init__(self, label: str, created_s: float, parent: "Track | None", origin: Site | None):
        self.label, self.created_s, self.parent, self.origin = label, created_s, parent, origin
        # the fields of all Steps in a row, so that no tuple has to be made at each step
        self.steps: list[Any] = []
        self.pauses: list[tuple[float, float]] = []  # while a task that it started eagerly ran
        self.ready_s, self.ended_s, self.ready_at = created_s, math.nan, 0
        self.waker: Track | None = None  # whose step ended the last wait
        self.last_wait: Awaited | None = None  # of a task that did not end
        self.wait: Awaited | None = None  # the latest, with what its chain is known again by
        self.links: list[Link] = []
        self.sites: tuple[tuple[CodeType, int], ...] = ()
        self.task: weakref.ref[asyncio.Task[Any]] | None = None
        self.outcome, self.error = "pending", ""
        self.is_ready = False  # it could run when the recording ended
        self.is_leaving = False  # it was cancelled, and has had no time to end
        self.is_closed = False  # the recording has ended

    def finish(self, outcome: str, ended_s: float = math.nan) -> None:
        """Note how the task ended, if it did before the recording."""
        if self.is_closed:
            return
        self.outcome, self.ended_s = outcome, ended_s
        self.forget()
        task = self.task() if self.task else None
        if task is not None:
            self.label = task.get_name()

    def note_unseen(self, error: BaseException | None) -> None:
        """Note an exception that nobody has asked for."""
        name = type(error).__name__
        try:
            self.error = f"{name}: {error}"
        except Exception as another:  # what is to be said about an error must not replace it
            self.error = f"{name}, whose str raises {type(another).__name__}"

    def forget(self) -> None:
        """Let go of the last chain of awaits, which will not be compared any more."""
        self.links, self.sites, self.wait = [], (), None

    def each_step(self) -> Iterator[Step]:
        """Yield the steps in order."""
        return map(Step, *[iter(self.steps)] * 5)

    def states(self, end_s: float) -> Iterator[State]:
        """Yield the states without a gap from the task's creation to its end."""
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
    """Say what a task waited for, and of which kind that wait was."""
    if awaited is None:
        return "", ""
    target, _, chain, waker, _ = awaited
    if isinstance(target, Job):
        return f"thread {target.name}", "thread"
    codes = [code for code, _ in chain]
    why = reason(codes, f"task {target.label}" if isinstance(target, Track) else target)
    return why, kind(why, codes, waker is not None)
