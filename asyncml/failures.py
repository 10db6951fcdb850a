"""Errors of the caller's functions: what they mean, and what is added to them.

Lesson 07 makes a pipeline fail in each of these ways.
"""

import asyncio
import contextlib
import inspect
import reprlib
from typing import Any

# they end an iteration or a task, so a function that raises them would end another's in silence
ENDINGS = StopIteration, StopAsyncIteration, asyncio.CancelledError
_BEHIND: Any = BaseException.__cause__, BaseException.__context__
_shorten = reprlib.Repr()
_shorten.maxstring = _shorten.maxother = 80


class PlainFunctionError(TypeError):
    """A plain function returned a coroutine: the mistake is in the program, not in an item."""


class ExecutorError(RuntimeError):
    """An executor took no work: what is wrong is wrong for every item."""


def refused(executor: object, error: BaseException) -> ExecutorError:
    """Return the error for work that an executor did not take, with its own behind it."""
    kind = type(executor).__name__
    mended = ExecutorError(f"the {kind} took no work: {type(error).__name__}: {said(error)}")
    mended.__cause__ = error
    return mended


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


def chain(error: BaseException, before: BaseException) -> None:
    """Let an error of whatever class show the one that was being handled when it was raised."""
    if error is not before and error.__context__ is None:
        BaseException.__setattr__(error, "__context__", before)


def drop_traceback(error: BaseException) -> None:
    """Take the traceback from an error that is to be kept, and from those behind it.

    It would keep alive what the functions that it came through had in their variables.
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
    """Raise PlainFunctionError if a plain function has returned a coroutine."""
    if inspect.iscoroutine(result):
        result.close()
        raise PlainFunctionError(f"`{name}` is a plain function but returned a coroutine: {mend}")


def is_asked_to_end() -> bool:
    """Whether somebody has cancelled the task that runs."""
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


def is_end(error: BaseException) -> bool:
    """Whether it is that cancellation, and not one that a function has made or was given."""
    return isinstance(error, asyncio.CancelledError) and is_asked_to_end()


def said(error: BaseException) -> str:
    """Return the message of an error of whatever class."""
    try:
        return str(error)
    except Exception:
        return shorten(error)


def shorten(value: Any) -> str:
    """Return the `repr` of a value, cut where it is long."""
    try:
        return _shorten.repr(value[:80] if isinstance(value, bytes) else value)
    except Exception as error:  # of an int with too many digits, of a class of the caller's
        return f"<{type(value).__name__}, whose repr raises {type(error).__name__}>"


def hide_stop(error: BaseException) -> None:
    """Take the traceback off a stop, such as that of Jupyter's button, before it is raised again.

    It tells the lines where we happened to be, and the reader wants her own. A bare `raise` adds
    no line of the function that it stands in.
    """
    if isinstance(error, KeyboardInterrupt | asyncio.CancelledError):
        error.with_traceback(None)
