"""How a stage calls a function of the user's: where it runs, and what its failures mean.

An `async def` runs on the event loop; a plain function runs in threads, in processes, in an
executor of the caller's, or on the loop when asked. Lesson 07 compares them.
"""

import asyncio
import inspect
import pickle
import sys
from collections.abc import AsyncIterable, Callable, Coroutine, Iterable
from concurrent.futures import BrokenExecutor, Executor
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Any, Final, Literal

from asyncml.failures import ENDINGS, PlainFunctionError, noted, ordinary, shorten
from asyncml.meters import Meter
from asyncml.order import Reorder
from asyncml.stages import PAUSED, Context, Flow, Mark, Stage, leaf

DROPPED: Final[Any] = object()
# a plain function on the loop may hold it this long before the loop's other tasks have their turn
PAUSE_S = 0.005
_BROKEN = (
    "a worker of the executor ended: by a crash, os._exit, for want of memory, "
    "or over an error that cannot be pickled"
)
# delays between attempts: doubling from the first to the last, times 0.5 to 1.5
FIRST_DELAY_S, LAST_DELAY_S = 0.05, 5.0

OnError = Literal["raise", "skip"] | Callable[[Exception, Any], Any]
Where = Literal["thread", "process", "inline"] | Executor


@dataclass(frozen=True)
class Map(Stage):
    """A stage that calls `fn` on each item; `kind` says what becomes of the result.

    `map` passes it on, `flat_map` makes it a list for the stage `Flatten`, `filter` drops the item
    where it is false, and `prefetch` calls nothing: it only runs ahead.
    """

    kind: str
    fn: Callable[..., Any]
    concurrency: int = 1
    executor: Any = "inline"
    ordered: bool = True
    lookahead: int = 1
    timeout: float | None = None
    retries: int = 0
    on_error: OnError = "raise"

    @property
    def calls(self) -> bool:  # type: ignore[override]
        """Whether it calls a function of the user's."""
        return self.kind != "prefetch"

    @property
    def is_transparent(self) -> bool:  # type: ignore[override]
        """Whether it only runs ahead."""
        return self.kind == "prefetch"

    @property
    def reorders(self) -> bool:  # type: ignore[override]
        """Whether items leave as they are ready."""
        return not self.ordered

    @property
    def label(self) -> str:
        """Name it, with all that a saved state depends on."""
        if self.kind == "prefetch":
            return f"prefetch({self.lookahead})"
        return f"{self.kind}({name_of(self.fn)}{'' if self.ordered else ', ordered=False'})"

    @property
    def name(self) -> str:
        """What its workers are called."""
        return self.kind if self.kind == "prefetch" else name_of(self.fn)

    @property
    def inline(self) -> bool:
        """Whether it runs within whoever drives it, without a task."""
        return self.executor == "inline" and not self.retries and not is_async(self.fn)

    @property
    def advice(self) -> str:
        """What to change where this stage is the bottleneck."""
        if is_async(self.fn):
            return f"raise `concurrency` above {self.concurrency}, if what it waits for can take it"
        if self.executor == "inline":
            return 'it runs on the event loop: use executor="thread"'
        if self.executor == "thread":
            more = f"raise `concurrency` above {self.concurrency} while cores are idle"
            return f'{more}; pure-Python work needs executor="process"'
        return f"raise `concurrency` above {self.concurrency} while cores are idle"

    def length(self, items: int) -> int | None:
        """None where items may be dropped."""
        return None if self.kind == "filter" or self.on_error == "skip" else items

    def split(self, mark: Mark, context: Context) -> tuple[Mark, Any]:
        """Pass the mark on, or take from the log what was in work."""
        stage = Stage if self.ordered else Reorder
        return stage.split(self, mark, context)

    def address(self, mark: Mark, above: Callable[[Mark], Any]) -> Any:
        """Pass it on, or take it out of the mark."""
        return above(mark) if self.ordered else mark[0]

    def plain_call(self) -> Callable[[Any], Any]:
        """Return a function that does the whole of the work on a value; it can be pickled."""
        return partial(_PLAIN[self.kind], self.fn)

    def async_call(self) -> Callable[[Any], Coroutine[Any, Any, Any]]:
        """Return a coroutine function that does the whole of the work on a value."""
        if self.kind in ("map", "prefetch"):
            return self.fn
        return partial(_listed if self.kind == "flat_map" else _kept, self.fn)

    def flow(self, up: Flow, context: Context) -> Flow:
        """Run on the loop, within whoever drives the chain."""
        call, meter, time = self.plain_call(), context.meter, context.time
        paused = time()
        for entry in up:
            value, mark = entry
            if mark is None:
                yield entry
                continue
            begun = time()
            try:
                result = call(value)
            except Exception as error:
                result = self.failed(error, value, mark, meter)
            now = time()
            meter.served(now - begun)
            if result is DROPPED:
                meter.items -= 1
            else:
                yield result, mark
            if now - paused > PAUSE_S:
                yield PAUSED
                paused = time()

    def failed(self, error: Exception, value: Any, mark: Mark, meter: Meter) -> Any:
        """Return what stands for an item whose last attempt failed, or raise its error."""
        meter.errors += 1
        if isinstance(error, BrokenExecutor):
            error.add_note(_BROKEN)
        elif isinstance(error, PlainFunctionError) or self.on_error == "raise":
            pass
        elif self.on_error == "skip":
            meter.skipped += 1
            return DROPPED
        else:
            try:
                return self._replaced(error, value)
            except (Exception, asyncio.CancelledError) as failure:
                error = self._blamed(failure, error)
        error.add_note(f"in stage {self.label}, item {leaf(mark)}: {shorten(value)}")
        raise error

    def _replaced(self, error: Exception, value: Any) -> Any:
        assert callable(self.on_error)
        replacement = self.on_error(error, value)
        return _list(self.on_error, replacement) if self.kind == "flat_map" else replacement

    def _blamed(self, failure: BaseException, original: Exception) -> Exception:
        """Return the error of an `on_error`, with the one that it was given behind it."""
        if failure is original:
            return original
        failure.__context__ = failure.__context__ or original
        return noted("on_error", failure, f"the `on_error` of {self.label} failed")


def delay(address: Any, attempt: int) -> float:
    """Return how long to wait before the next attempt, in seconds.

    The jitter depends on the item and the attempt alone, so a run can be repeated.
    """
    seed = address * 64 + attempt if isinstance(address, int) else f"{address} {attempt}"
    jitter = 0.5 + Random(seed).random()
    return float(min(FIRST_DELAY_S * 2**attempt, LAST_DELAY_S) * jitter)


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


def _plain(fn: Callable[[Any], Any], value: Any) -> Any:
    try:
        result = fn(value)
    except ENDINGS as error:
        raise ordinary(name_of(fn), error) from error
    if inspect.iscoroutine(result):
        result.close()
        raise PlainFunctionError(
            f"`{name_of(fn)}` is a plain function but returned a coroutine: "
            "write it as an `async def`, or pass the coroutine function itself"
        )
    return result


def _plain_list(fn: Callable[[Any], Any], value: Any) -> list[Any]:
    result = _plain(fn, value)
    try:
        return _list(fn, result)
    except ENDINGS as error:
        raise ordinary(name_of(fn), error) from error


def _list(fn: Callable[..., Any], result: Any) -> list[Any]:
    if not hasattr(type(result), "__iter__") and not hasattr(type(result), "__getitem__"):
        raise TypeError(f"`{name_of(fn)}` must return an iterable, got {type(result).__name__}")
    return list(result)


def _plain_kept(fn: Callable[[Any], Any], value: Any) -> Any:
    return value if _plain(fn, value) else DROPPED


_PLAIN = {"map": _plain, "flat_map": _plain_list, "filter": _plain_kept}


async def _listed(fn: Callable[[Any], Any], value: Any) -> list[Any]:
    result: AsyncIterable[Any] | Iterable[Any] = fn(value)
    if inspect.isawaitable(result):
        result = await result
    if isinstance(result, AsyncIterable):
        return [item async for item in result]
    return _list(fn, result)


async def _kept(fn: Callable[[Any], Any], value: Any) -> Any:
    return value if await fn(value) else DROPPED


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
