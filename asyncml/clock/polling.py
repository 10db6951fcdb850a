"""Notices a program that does nothing but poll, for which virtual time would stand still for ever.

A task in `while not done: await asyncio.sleep(0)` is always ready to run, so the clock never jumps
to the timer that would set `done`. From outside this looks like a program that is polite enough to
yield between two pieces of work, so we look long and closely before we call it a deadlock.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator
from types import FunctionType, ModuleType
from typing import Any

from asyncml.clock.waiting import task_chain
from asyncml.internals import variables

# for so many turns of the loop, and so many real seconds, tasks must have done nothing but yield;
# and then for a tenth of the turns again, in which none of their variables changes
TURNS, SECONDS = 1_000_000, 10.0

_PLAIN = int, float, complex, bool, str, bytes, type(None)  # compared by value
_SIZED = list, dict, set, bytearray, deque
_NO_STATE = ModuleType, FunctionType, type


class Polling:
    """Is asked now and then, while the tasks of a loop do nothing but yield."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Start again, since something has happened."""
        self._began: tuple[int, float] | None = None  # at which turn, and when
        self._seen: tuple[int, list[Any]] | None = None  # at which turn, and what

    def is_certain(self, turns: int, tasks: Callable[[], set[asyncio.Task[Any]]]) -> bool:
        """Tell whether nothing has changed for a long time.

        Args:
            turns: for how many turns of the loop in a row this has been so.
            tasks: returns the tasks of the loop.
        """
        if self._began is None or turns <= self._began[0]:  # the count has begun anew
            self.reset()
            self._began = turns, time.monotonic()
        since, start_s = self._began
        if turns < since + TURNS or time.monotonic() < start_s + SECONDS:
            return False
        if self._seen is None:
            self._seen = turns, _look(tasks())
        elif turns >= self._seen[0] + TURNS // 10:
            if _are_same(self._seen[1], _look(tasks())):
                return True
            self.reset()
        return False


def _look(tasks: set[asyncio.Task[Any]]) -> list[Any]:
    """Return where each task stands, and all that can be seen in its variables."""
    seen: list[Any] = []
    for task in sorted(tasks, key=id):
        seen.append(task)
        for awaitable, _, lasti in task_chain(task):
            seen.append(lasti)
            for name in ("cr_frame", "gi_frame", "ag_frame"):
                frame = getattr(awaitable, name, None)
                if frame is not None:
                    seen += [part for value in variables(frame).values() for part in _parts(value)]
    return seen


def _parts(value: Any) -> Iterator[Any]:
    """Yield a value, its attributes, and the lengths of what among them is a container."""
    for part in (value, *_attributes(value)):
        yield part
        if type(part) in _SIZED:
            yield len(part)


def _attributes(value: Any) -> list[Any]:
    if isinstance(value, _NO_STATE):
        return []
    try:  # past what a class does when it is asked
        names = object.__getattribute__(value, "__dict__")
    except Exception:
        return []
    return list(names.values()) if type(names) is dict else []


def _are_same(before: list[Any], now: list[Any]) -> bool:
    return len(before) == len(now) and all(
        one is other or (type(one) is type(other) and type(one) in _PLAIN and one == other)
        for one, other in zip(before, now, strict=True)
    )
