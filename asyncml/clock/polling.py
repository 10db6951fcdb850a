"""Detects a program that does nothing but poll, for which virtual time would stand still forever.

A task in `while not done: await asyncio.sleep(0)` is always ready to run, so the clock never jumps
to the timer that would set `done`. From outside it looks like a program that politely yields
between two pieces of work, so it is watched long and closely before it is called a deadlock.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator
from types import FunctionType, ModuleType
from typing import Any

from asyncml.clock.waiting import task_chain
from asyncml.internals import variables

# Tasks must do nothing but yield for this many turns of the loop and this many real seconds, and
# then for a tenth of the turns again, during which none of their variables may change.
TURNS, SECONDS = 1_000_000, 10.0

_PLAIN = int, float, complex, bool, str, bytes, type(None)  # compared by value
_SIZED = list, dict, set, bytearray, deque
_NO_STATE = ModuleType, FunctionType, type  # their attributes are not compared


class Polling:
    """Decides whether a loop whose tasks only yield is stuck; asked now and then."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Start again, because something has happened."""
        self._began: tuple[int, float] | None = None  # turn, and real time in seconds
        self._seen: tuple[int, list[Any]] | None = None  # turn, and the state of the tasks

    def is_certain(self, turns: int, tasks: Callable[[], set[asyncio.Task[Any]]]) -> bool:
        """Return whether nothing has changed for long enough.

        Args:
            turns: the number of consecutive turns of the loop in which tasks only yielded.
            tasks: returns the tasks of the loop.
        """
        if self._began is None or turns <= self._began[0]:  # the count has started again
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
    """Return the position of each task and everything visible in its variables."""
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
    """Yield a value and its attributes, and after each container among them its length."""
    for part in (value, *_attributes(value)):
        yield part
        if type(part) in _SIZED:
            yield len(part)


def _attributes(value: Any) -> list[Any]:
    if isinstance(value, _NO_STATE):
        return []
    try:  # bypasses the class's own attribute access
        names = object.__getattribute__(value, "__dict__")
    except Exception:
        return []
    return list(names.values()) if type(names) is dict else []


def _are_same(before: list[Any], now: list[Any]) -> bool:
    return len(before) == len(now) and all(
        one is other or (type(one) is type(other) and type(one) in _PLAIN and one == other)
        for one, other in zip(before, now, strict=True)
    )
