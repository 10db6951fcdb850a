"""Errors raised by the caller's functions: how they are classified and annotated.

Lesson 07 makes a pipeline fail in each of these ways.
"""

import asyncio
import contextlib
import inspect
import reprlib
from typing import Any

# These end an iteration or a task; raised by a user's function, they would silently end ours.
ENDINGS = StopIteration, StopAsyncIteration, asyncio.CancelledError
_BEHIND: Any = BaseException.__cause__, BaseException.__context__
_shorten = reprlib.Repr()
_shorten.maxstring = _shorten.maxother = 80


class PlainFunctionError(TypeError):
    """A plain function returned a coroutine: a mistake in the program, not in one item."""


class ExecutorError(RuntimeError):
    """An executor refused work; it would refuse every other item, too."""


def refused(executor: object, error: BaseException) -> ExecutorError:
    """Return an error that says an executor refused work, with `error` as its cause."""
    kind = type(executor).__name__
    mended = ExecutorError(f"the {kind} took no work: {type(error).__name__}: {said(error)}")
    mended.__cause__ = error
    return mended


def ordinary(name: str, error: BaseException) -> Exception:
    """Return `error`, or a RuntimeError in its place if it would silently end a loop.

    Args:
        name: the name of the function that raised it.
        error: an Exception, or a CancelledError that is not a cancellation of this task.
    """
    if isinstance(error, Exception) and not isinstance(error, ENDINGS):
        return error
    mended = RuntimeError(f"`{name}` raised {type(error).__name__}")
    mended.__cause__ = error
    return mended


def noted(name: str, error: BaseException, where: str) -> Exception:
    """Return the result of `ordinary(name, error)` with the note `where` added."""
    mended = ordinary(name, error)
    add_note(mended, where)
    return mended


def add_note(error: BaseException, text: str) -> None:
    """Add a note to an error of any class; do nothing if it cannot take one."""
    try:
        error.add_note(text)
    except Exception:  # a frozen dataclass, for example: a failed note must not replace the error
        with contextlib.suppress(Exception):
            BaseException.__setattr__(error, "__notes__", [*getattr(error, "__notes__", ()), text])


def chain(error: BaseException, before: BaseException) -> None:
    """Set `before` as the context of an error of any class, unless it already has one."""
    if error is not before and error.__context__ is None:
        BaseException.__setattr__(error, "__context__", before)


def drop_traceback(error: BaseException) -> None:
    """Remove the tracebacks of an error that will be kept, and of its causes and contexts.

    They would keep alive the local variables of every function that the error passed through.
    """
    seen, rest = set[int](), [error]
    while rest:
        one = rest.pop()
        if id(one) not in seen:
            seen.add(id(one))
            BaseException.with_traceback(one, None)
            behind = [descriptor.__get__(one) for descriptor in _BEHIND]
            rest += [each for each in behind if isinstance(each, BaseException)]
            if isinstance(one, BaseExceptionGroup):
                rest += one.exceptions


def check_plain(name: str, result: Any, mend: str) -> None:
    """Raise PlainFunctionError if `result`, from a plain function, is a coroutine; close it."""
    if inspect.iscoroutine(result):
        result.close()
        raise PlainFunctionError(f"`{name}` is a plain function but returned a coroutine: {mend}")


def is_asked_to_end() -> bool:
    """Return whether the current task is being cancelled; True if there is no current task."""
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


def is_end(error: BaseException) -> bool:
    """Return whether this is the current task's own cancellation, not one raised by a function."""
    return isinstance(error, asyncio.CancelledError) and is_asked_to_end()


def said(error: BaseException) -> str:
    """Return the message of an error of any class, even if its `str` raises."""
    try:
        return str(error)
    except Exception:
        return shorten(error)


def shorten(value: Any) -> str:
    """Return the `repr` of a value, truncated if it is long."""
    try:
        return _shorten.repr(value[:80] if isinstance(value, bytes) else value)
    except Exception as error:  # an int with too many digits, or a user's class
        return f"<{type(value).__name__}, whose repr raises {type(error).__name__}>"


def hide_stop(error: BaseException) -> None:
    """Remove the traceback of a KeyboardInterrupt or CancelledError before it is re-raised.

    It shows where this package happened to be, and the reader wants the lines of their own code. A
    bare `raise` afterwards adds no line of the function that it is in.
    """
    if isinstance(error, KeyboardInterrupt | asyncio.CancelledError):
        error.with_traceback(None)
