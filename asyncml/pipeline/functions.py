"""Functions of the user's, as stages call them: what kind they are, and what their results mean.

An `async def` runs on the event loop; a plain function runs in threads, in processes, in an
executor of the caller's, or on the loop when asked. Lesson 07 compares them.
"""

import inspect
import pickle
import sys
from collections.abc import AsyncIterable, Callable, Iterator
from functools import partial
from typing import Any, Final

from asyncml.failures import ENDINGS, PlainFunctionError, check_plain, ordinary, shorten

DROPPED: Final[Any] = object()  # instead of a result: the item goes no further
_NO_MORE: Final[Any] = object()


def name_of(fn: Any) -> str:
    """Return the name of a function, of what a `partial` calls, or of a callable's class."""
    while isinstance(fn, partial):
        fn = fn.func
    return getattr(fn, "__name__", type(fn).__name__)


def is_async(fn: Any) -> bool:
    """Whether calling `fn` gives something to await, or to iterate with `async for`."""
    while isinstance(fn, partial):
        fn = fn.func
    call = getattr(fn, "__call__", None)  # noqa: B004  # of an object whose class is callable
    tests = inspect.iscoroutinefunction, inspect.isasyncgenfunction
    return any(test(it) for test in tests for it in (fn, call))


def check_result(fn: Callable[[Any], Any], result: Any) -> None:
    """Raise PlainFunctionError if a plain function has returned a coroutine."""
    check_plain(
        name_of(fn), result, "write it as an `async def`, or pass the coroutine function itself"
    )


def _plain(fn: Callable[[Any], Any], value: Any) -> Any:
    try:
        result = fn(value)
    except ENDINGS as error:
        raise ordinary(name_of(fn), error) from error
    if inspect.iscoroutine(result):
        check_result(fn, result)
    return result


class Unread:
    """What a plain function of `flat_map` returned, if only the event loop can read it."""

    def __init__(self, fn: Callable[[Any], Any], result: Any) -> None:
        self.fn, self.result = fn, result

    def __del__(self) -> None:
        if inspect.iscoroutine(self.result):
            self.result.close()


class Part(Unread):
    """An iterator that a plain function has returned, and what was read of it in one visit."""

    def __init__(self, fn: Callable[[Any], Any], rest: Iterator[Any]) -> None:
        super().__init__(fn, rest)
        self.items: list[Any] = []
        self.ended = False
        self.error: Exception | None = None

    def close(self) -> None:
        """Let the iterator clean up; where a thread is in its midst, as soon as that lets go."""
        rest, self.result = self.result, iter(())
        if hasattr(rest, "close") and not getattr(rest, "gi_running", False):
            rest.close()

    def go_on(self, most: int, is_over: Callable[[], bool]) -> None:
        """Read up to `most` more items, in a thread, and none once the visit is over."""
        self.items = items = list[Any]()
        rest = self.result
        try:
            while len(items) < most and not is_over():
                item = next(rest, _NO_MORE)
                if item is _NO_MORE:
                    self.ended = True
                    return
                items.append(item)
        except (Exception, *ENDINGS) as error:
            self.error = ordinary(name_of(self.fn), error)


def _called(
    read: Callable[[Callable[[Any], Any], Any], Any], fn: Callable[[Any], Any], value: Any
) -> "list[Any] | Unread":
    """Call a plain function of `flat_map`, and `read` what it returns, if that can be done here."""
    try:
        result = fn(value)
        if inspect.isawaitable(result) or isinstance(result, AsyncIterable):
            return Unread(fn, result)
        return read(fn, result)  # type: ignore[no-any-return]
    except ENDINGS as error:
        raise ordinary(name_of(fn), error) from error


def _unread(fn: Callable[[Any], Any], result: Any) -> list[Any] | Part:
    if isinstance(result, list | tuple):
        return list(result)
    _check_iterable(fn, result)
    return Part(fn, iter(result))


def _listed(fn: Callable[[Any], Any], value: Any) -> list[Any]:
    result = _called(as_list, fn, value)
    if isinstance(result, list):
        return result
    raise PlainFunctionError(
        f"`{name_of(fn)}` returned an async iterable or an awaitable, which only the event loop "
        'can read: write it as an `async def`, or use executor="thread"'
    )


def as_list(fn: Callable[..., Any], result: Any) -> list[Any]:
    """Return the items of what a function has returned; raise TypeError if it is no iterable."""
    _check_iterable(fn, result)
    return list(result)


def _check_iterable(fn: Callable[..., Any], result: Any) -> None:
    if not hasattr(type(result), "__iter__") and not hasattr(type(result), "__getitem__"):
        raise TypeError(f"`{name_of(fn)}` must return an iterable, got {type(result).__name__}")


def _plain_kept(fn: Callable[[Any], Any], value: Any) -> Any:
    return value if _plain(fn, value) else DROPPED


async def kept(fn: Callable[[Any], Any], value: Any) -> Any:
    """Return the value if an `async def` of `filter` is true for it, and DROPPED otherwise."""
    return value if await fn(value) else DROPPED


# how a stage of each kind calls its plain function, and how it does where the event loop can read
# what a function of `flat_map` returns
PLAIN: dict[str, Callable[..., Any]] = {
    "map": _plain,
    "flat_map": _listed,
    "filter": _plain_kept,
}
THREADED: dict[str, Callable[..., Any]] = {**PLAIN, "flat_map": partial(_called, as_list)}
begin = partial(_called, _unread)  # a function of `flat_map`, whose iterator is read later


async def unchanged(value: Any) -> Any:
    """Return the value: what a stage calls that only runs ahead."""
    return value


def check_function(fn: Any, name: str, executor: Any) -> None:
    """Raise TypeError where `fn` cannot be called in that executor."""
    if not callable(fn):
        raise TypeError(f"`{name}` needs a function, got {shorten(fn)}")
    if name != "flat_map" and inspect.isasyncgenfunction(fn):
        raise TypeError(f"`{name_of(fn)}` is an async generator: use flat_map instead of {name}")
    if is_async(fn):
        return
    processes = sys.modules.get("concurrent.futures.process")  # if it is not there, nobody has any
    if executor == "process" or (processes and isinstance(executor, processes.ProcessPoolExecutor)):
        _check_importable(fn)


def _check_importable(fn: Any) -> None:
    mend = "define it in a module (not in a notebook or a function) or use executor='thread'"
    try:
        pickle.dumps(fn)
    except Exception as error:
        raise TypeError(
            f"`{name_of(fn)}` cannot be sent to a process, since it cannot be pickled: {mend}"
        ) from error
    inner = fn
    while isinstance(inner, partial):
        inner = inner.func
    in_notebook = not hasattr(sys.modules["__main__"], "__file__")
    if in_notebook and getattr(inner, "__module__", None) == "__main__":
        raise TypeError(
            f"`{name_of(fn)}` is defined in a notebook, where no process finds it: {mend}"
        )
