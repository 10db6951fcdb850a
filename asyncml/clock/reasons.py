"""What a task waits for: in a word or two, and as one of a few kinds.

Both come from the innermost coroutines in which a task is suspended (`waiting.py`). The clock uses
them to explain a deadlock, and the timeline to explain every wait. Lesson 05 sorts waits by kind.
"""

import asyncio
from collections.abc import Sequence
from functools import lru_cache
from itertools import takewhile
from pathlib import Path
from types import CodeType

from asyncml.clock.waiting import is_library
from asyncml.internals import GATHERING

KINDS = {
    "timer": "timer",
    "outside": "store or network",
    "thread": "thread",
    "room": "queue or window",
    "lock": "lock",  # or a semaphore, event, condition or barrier
    "task": "another task",
}
BOUNDS = {"Lock.acquire", "Semaphore.acquire"}  # a task that waits for these is already bounded

_HOUSE = Path(__file__).parents[1]
_STORES, _PIPELINE = (str(_HOUSE / room) for room in ("stores", "pipeline"))
# name of an asyncio coroutine -> the name of the wait for readers
_NAMES = {
    "to_thread": "thread",
    "TaskGroup._aexit": "TaskGroup",
}
# class or function of asyncio in which a task waits -> kind of wait
_KINDS = {
    **dict.fromkeys(("sleep",), "timer"),
    **dict.fromkeys(("Queue",), "room"),
    **dict.fromkeys(("Barrier", "Condition", "Event", "Lock", "Semaphore"), "lock"),
    **dict.fromkeys(("TaskGroup", "as_completed", "gather", "task", "wait", "wait_for"), "task"),
    "thread": "thread",
}


@lru_cache(1000)
def _word(names: tuple[str, ...]) -> str:
    """Return the innermost public name, which is the one that readers know."""
    if any(name.endswith("_wait_for_one") for name in names):
        return "as_completed"
    public = (name for name in names if not name.rpartition(".")[2].startswith("_"))
    name = next(public, names[0].partition(".__")[0])
    return _NAMES.get(name, name)


def reason(codes: Sequence[CodeType], target: str | None) -> str:
    """Return the reason for a wait in a word or two: `sleep`, `Queue.get`, `gather`, ...

    Args:
        codes: the code of each coroutine in the chain, outermost first. If the innermost ones
            belong to asyncio, the wait is named after them.
        target: the reason otherwise, such as `task fetch-2`; None stands for "future".
    """
    names = tuple(code.co_qualname for code in takewhile(is_library, reversed(codes)))
    return _word(names) if names else target or "future"


def target_name(awaited: object) -> str | None:
    """Return a name for the future at the end of a chain: `task fetch-2`, `gather`, or None."""
    if isinstance(awaited, asyncio.Task):
        return f"task {awaited.get_name()}"
    return "gather" if isinstance(awaited, GATHERING) else None


def kind(why: str, codes: Sequence[CodeType], is_woken_by_task: bool = False) -> str:
    """Return the kind of a wait, a key of `KINDS`.

    Args:
        why: its reason, as returned by `reason`.
        codes: the code of each coroutine in the chain, outermost first.
        is_woken_by_task: whether another task ended it, rather than a timer, thread or socket.
    """
    known = _kind_of(why)
    if known in ("thread", "task"):
        return known
    inner = next((code.co_filename for code in reversed(codes) if not is_library(code)), "")
    if inner.startswith(_STORES):
        return "outside"
    if inner.startswith(_PIPELINE):
        return "room"
    return known or ("task" if is_woken_by_task else "outside")


def _kind_of(why: str) -> str:
    return _KINDS.get(why.partition(" ")[0].partition(".")[0], "")


def is_for_tasks(why: str) -> bool:
    """Return whether such a wait is for other tasks, even if a timer or a thread ends it."""
    return _kind_of(why) in ("room", "lock", "task")
