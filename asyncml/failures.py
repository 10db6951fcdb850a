"""What the failures of the caller's functions mean to a pipeline, and what is said about them.

Lesson 07 makes a pipeline fail in each of these ways.
"""

import asyncio
import reprlib
from concurrent.futures import BrokenExecutor
from typing import Any

# they end an iteration or a task, so a function that raises them would end another's in silence
ENDINGS = StopIteration, StopAsyncIteration, asyncio.CancelledError
_shorten = reprlib.Repr()
_shorten.maxstring = _shorten.maxother = 80


class PlainFunctionError(TypeError):
    """A plain function returned a coroutine: the mistake is in the program, not in an item."""


# what no retry mends and no `on_error` may hide
FATAL = PlainFunctionError, BrokenExecutor


def ordinary(name: str, error: BaseException) -> Exception:
    """Return the error of a function; instead of one that would end the loop in silence, another.

    Args:
        name: which function raised it.
        error: an Exception, or a CancelledError that nobody asked for.
    """
    if isinstance(error, Exception) and not isinstance(error, ENDINGS):
        return error
    mended = RuntimeError(f"`{name}` raised {type(error).__name__}")
    mended.__cause__ = error
    return mended


def noted(name: str, error: BaseException, where: str) -> Exception:
    """Return the error of a function, as `ordinary` does, with a note where it happened."""
    mended = ordinary(name, error)
    mended.add_note(where)
    return mended


def is_asked_to_end() -> bool:
    """Whether somebody has cancelled the task that runs."""
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


def shorten(value: Any) -> str:
    """Return the `repr` of a value, cut where it is long."""
    return _shorten.repr(value[:80] if isinstance(value, bytes) else value)
