"""The caller's functions, as stages call them: what kind each is, and what its results mean.

An `async def` runs on the event loop. A plain function runs in threads, in processes, in the
caller's executor or, on request, on the loop. Lesson 07 compares them.
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
    """Return the name of a function, of the target of a `partial`, or of a callable's class."""
    while isinstance(fn, partial):
        fn = fn.func
    return getattr(fn, "__name__", type(fn).__name__)


def is_async(fn: Any) -> bool:
    """Return whether calling `fn` gives a coroutine or an async generator."""
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
    """The result of a plain function of `flat_map` that only the event loop can read."""

    def __init__(self, fn: Callable[[Any], Any], result: Any) -> None:
        self.fn, self.result = fn, result

    def __del__(self) -> None:
        if inspect.iscoroutine(self.result):
            self.result.close()


class Part(Unread):
    """An iterator that a plain function has returned, and the items read from it in one visit."""

    def __init__(self, fn: Callable[[Any], Any], rest: Iterator[Any]) -> None:
        super().__init__(fn, rest)
        self.items: list[Any] = []
        self.ended = False
        self.error: Exception | None = None

    def close(self) -> None:
        """Close the iterator; if a thread is running it, that happens once the thread lets go."""
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
    """Call a plain function of `flat_map`; `read` its result unless only the event loop can."""
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
    """Return the items of a function's result; raise TypeError if it is not iterable."""
    _check_iterable(fn, result)
    return list(result)


def _check_iterable(fn: Callable[..., Any], result: Any) -> None:
    if not hasattr(type(result), "__iter__") and not hasattr(type(result), "__getitem__"):
        raise TypeError(f"`{name_of(fn)}` must return an iterable, got {type(result).__name__}")


def _plain_kept(fn: Callable[[Any], Any], value: Any) -> Any:
    return value if _plain(fn, value) else DROPPED


async def kept(fn: Callable[[Any], Any], value: Any) -> Any:
    """Return the value if the `async def` of a `filter` is true for it, and DROPPED otherwise."""
    return value if await fn(value) else DROPPED


# How each kind of stage calls its plain function. THREADED is for results that stay in this
# process: the event loop can read an async iterable or an awaitable that a function of `flat_map`
# returns.
PLAIN: dict[str, Callable[..., Any]] = {
    "map": _plain,
    "flat_map": _listed,
    "filter": _plain_kept,
}
THREADED: dict[str, Callable[..., Any]] = {**PLAIN, "flat_map": partial(_called, as_list)}
begin = partial(_called, _unread)  # calls a function of `flat_map`, whose iterator is read later


async def unchanged(value: Any) -> Any:
    """Return the value: the function of a stage that only runs ahead."""
    return value


def check_function(fn: Any, name: str, executor: Any) -> None:
    """Raise TypeError if `fn` cannot be called in that executor."""
    if not callable(fn):
        raise TypeError(f"`{name}` needs a function, got {shorten(fn)}")
    if name != "flat_map" and inspect.isasyncgenfunction(fn):
        raise TypeError(f"`{name_of(fn)}` is an async generator: use flat_map instead of {name}")
    if is_async(fn):
        return
    processes = sys.modules.get("concurrent.futures.process")  # not imported: no executor is one
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
