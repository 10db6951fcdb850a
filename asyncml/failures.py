"""What the failures of the caller's functions mean to a pipeline, and what is said about them.

Lesson 07 makes a pipeline fail in each of these ways.
"""

import asyncio
import contextlib
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
    add_note(mended, where)
    return mended


def add_note(error: BaseException, text: str) -> None:
    """Add a note to an error of whatever class; where it takes none, leave it as it is."""
    try:
        error.add_note(text)
    except Exception:  # of a frozen dataclass, say: what is added must not replace the error
        with contextlib.suppress(Exception):
            BaseException.__setattr__(error, "__notes__", [*getattr(error, "__notes__", ()), text])


def is_asked_to_end() -> bool:
    """Whether somebody has cancelled the task that runs."""
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


def shorten(value: Any) -> str:
    """Return the `repr` of a value, cut where it is long."""
    try:
        return _shorten.repr(value[:80] if isinstance(value, bytes) else value)
    except Exception as error:  # of an int with too many digits, of a class of the caller's
        return f"<{type(value).__name__}, whose repr raises {type(error).__name__}>"
