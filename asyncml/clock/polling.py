"""Notices a loop that does nothing but yield: virtual time stands still while a task polls.

`while not done: await asyncio.sleep(0)` is ready to run at all times, so the clock never jumps, and
what was to set `done` at a later time never does. From outside it looks like a program that is so
polite as to yield between two pieces of work, so this looks long and closely before it says so.
Part of the clock (lesson 03), used by nothing else.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator
from types import FunctionType, ModuleType
from typing import Any

from asyncml.clock.waiting import task_chain
from asyncml.internals import variables

# so often the loop must have gone round, and for so many real seconds, with nothing but tasks that
# yield; and then a tenth of that again, in which no variable of theirs changes
TURNS, SECONDS = 1_000_000, 10.0

_PLAIN = int, float, complex, bool, str, bytes, type(None)  # compared by value
_SIZED = list, dict, set, bytearray, deque
_NO_STATE = ModuleType, FunctionType, type


class Polling:
    """Looks now and then at a loop in which nothing happens but that tasks yield."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Begin anew: something has happened."""
        self._began: tuple[int, float] | None = None  # at which turn, and when
        self._seen: tuple[int, list[Any]] | None = None  # at which turn, and what

    def is_certain(self, turns: int, tasks: Callable[[], set[asyncio.Task[Any]]]) -> bool:
        """Tell whether nothing has changed for a long time.

        Args:
            turns: how often in a row the loop has gone round.
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
    """Return where each task stands, with its variables and what these say of themselves."""
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
