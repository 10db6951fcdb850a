"""What a task waits for: in a word or two, and as one of a few kinds.

The innermost coroutines of the chain in which a task is suspended (`waiting.py`) tell it. The clock
explains a deadlock with it, and the timeline every wait. Lesson 05 tells the kinds apart.
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
    "lock": "lock",  # or a semaphore, an event, a condition, a barrier
    "task": "another task",
}
BOUNDS = {"Lock.acquire", "Semaphore.acquire"}  # who waits for these is bounded already

_HOUSE = Path(__file__).parents[1]
_STORES, _PIPELINE = (str(_HOUSE / room) for room in ("stores", "pipeline"))
# how asyncio's own coroutines are called -> what a reader calls the wait
_NAMES = {
    "to_thread": "thread",
    "TaskGroup._aexit": "TaskGroup",
}
# the class or the function of asyncio's in which a task waits -> the kind of the wait
_KINDS = {
    **dict.fromkeys(("sleep",), "timer"),
    **dict.fromkeys(("Queue",), "room"),
    **dict.fromkeys(("Barrier", "Condition", "Event", "Lock", "Semaphore"), "lock"),
    **dict.fromkeys(("TaskGroup", "as_completed", "gather", "task", "wait", "wait_for"), "task"),
    "thread": "thread",
}


@lru_cache(1000)
def _word(names: tuple[str, ...]) -> str:
    """Choose the innermost public name, which is the one that readers know."""
    if any(name.endswith("_wait_for_one") for name in names):
        return "as_completed"
    public = (name for name in names if not name.rpartition(".")[2].startswith("_"))
    name = next(public, names[0].partition(".__")[0])
    return _NAMES.get(name, name)


def reason(codes: Sequence[CodeType], target: str | None) -> str:
    """Say in a word or two what a wait is for: `sleep`, `Queue.get`, `task fetch-2`, `gather`.

    Args:
        codes: the code of each coroutine in the chain of the wait, outermost first. Where the
            innermost ones are asyncio's, the wait is named after them.
        target: otherwise this, or "future".
    """
    names = tuple(code.co_qualname for code in takewhile(is_library, reversed(codes)))
    return _word(names) if names else target or "future"


def target_name(awaited: object) -> str | None:
    """Name the future that a chain ends in: `task fetch-2`, `gather`; None for a plain one."""
    if isinstance(awaited, asyncio.Task):
        return f"task {awaited.get_name()}"
    return "gather" if isinstance(awaited, GATHERING) else None


def kind(why: str, codes: Sequence[CodeType], is_woken_by_task: bool = False) -> str:
    """Return which of the `KINDS` a wait is of.

    Args:
        why: its reason.
        codes: the code of each coroutine in the chain, outermost first.
        is_woken_by_task: whether another task ended it, and not a timer, a thread or a socket.
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
    """Tell whether such a wait is for other tasks, even if a timer or a thread ends it."""
    return _kind_of(why) in ("room", "lock", "task")
