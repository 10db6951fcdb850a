"""A stage that calls a function on each item: its options, and what it does about failures.

`functions.py` says what its functions may be, `engine.py` how its calls run. Lesson 07 uses each
option.
"""

import asyncio
import warnings
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

from asyncml.failures import (
    ExecutorError,
    PlainFunctionError,
    add_note,
    chain,
    check_plain,
    drop_traceback,
    noted,
    shorten,
)
from asyncml.pipeline.functions import (
    DROPPED,
    PLAIN,
    THREADED,
    as_list,
    is_async,
    kept,
    name_of,
)
from asyncml.pipeline.meters import Meter
from asyncml.pipeline.order import Reorder
from asyncml.pipeline.retrying import (
    HOPELESS,
    SHARE_OF,
    SUSPICIOUS,
    Backoff,
    FailedItem,
    OnError,
    RetryOn,
    Skip,
    log_skipped,
)
from asyncml.pipeline.stages import PAUSE_S, PAUSED, Context, Flow, Mark, Stage, is_held, leaf

_BROKEN = (
    "a worker of the executor ended: by a crash, os._exit, for want of memory, "
    "or over an error that cannot be pickled"
)

Where = Literal["thread", "process", "inline"] | Executor


@dataclass(frozen=True)
class Map(Stage):
    """A stage that calls `fn` on each item; `kind` says what happens to the result.

    `map` passes it on, `flat_map` makes it a list or a stream for the stage `Flatten`, `filter`
    drops the item if it is false, and `prefetch` calls nothing: it only runs ahead.
    """

    kind: str
    fn: Callable[..., Any]
    concurrency: int = 1
    executor: Any = "inline"
    ordered: bool = True
    lookahead: int = 1
    timeout: float | None = None
    retries: int = 0
    retry_on: RetryOn | None = None
    backoff: Backoff = field(default=Backoff())
    on_error: OnError = "raise"
    max_failures: float | None = None

    @property
    def is_above_keys(self) -> bool:  # type: ignore[override]
        """Whether it calls none of the caller's functions."""
        return self.kind == "prefetch"

    @property
    def is_transparent(self) -> bool:  # type: ignore[override]
        """Whether it only runs ahead."""
        return self.kind == "prefetch"

    @property
    def reorders(self) -> bool:  # type: ignore[override]
        """Whether items leave as soon as they are ready."""
        return not self.ordered

    @property
    def label(self) -> str:
        """The stage's name, with everything that a saved state depends on."""
        if self.kind == "prefetch":
            return f"prefetch({self.lookahead})"
        return f"{self.kind}({name_of(self.fn)}{'' if self.ordered else ', ordered=False'})"

    @property
    def name(self) -> str:
        """The name of its workers."""
        return self.kind if self.kind == "prefetch" else name_of(self.fn)

    @property
    def inline(self) -> bool:
        """Whether it runs inside the driver of the chain, without a task."""
        return self.on_loop and self.ordered and not self.retries

    @property
    def visits_threads(self) -> bool:
        """Whether items go to threads in chunks, which cannot be cancelled."""
        return self.executor == "thread" and self.timeout is None and not is_async(self.fn)

    @property
    def slots(self) -> int:
        """How many calls may be in flight at once."""
        return 1 if self.on_loop else self.concurrency

    @property
    def on_loop(self) -> bool:
        """Whether it blocks the event loop while it works."""
        return bool(self.executor == "inline" and not is_async(self.fn))

    @property
    def asks_on_failure(self) -> bool:
        """Whether a failure leads to a decision that is made on the loop."""
        asks = callable(self.retry_on) and not isinstance(self.retry_on, type)
        return asks or callable(self.on_error) or self.max_failures is not None

    @property
    def advice(self) -> str:
        """What to change if this stage is the bottleneck."""
        if is_async(self.fn):
            return f"raise `concurrency` above {self.concurrency}, if what it waits for can take it"
        if self.executor == "inline":
            return 'it runs on the event loop: use executor="thread"'
        if self.executor == "thread":
            more = f"raise `concurrency` above {self.concurrency} while cores are idle"
            return f'{more}; pure-Python work needs executor="process"'
        return f"raise `concurrency` above {self.concurrency} while cores are idle"

    def length(self, items: int) -> int | None:
        """Return `items`, or None if items may be dropped."""
        return None if self.kind == "filter" or isinstance(self.on_error, Skip) else items

    def needs(self, items: int) -> int | None:
        """Return `items`, or None if items may be dropped or may leave out of order."""
        return items if self.ordered and self.length(items) == items else None

    def accepts(self, part: Any) -> bool:
        """Return whether `part` is None or, if this stage reorders, the state of one that does."""
        return part is None or (not self.ordered and is_held(part))

    def split(self, mark: Mark, context: Context) -> tuple[Mark, Any]:
        """Pass the mark on or, if unordered, read from the log what was in flight."""
        stage = Stage if self.ordered else Reorder
        return stage.split(self, mark, context)

    def address(self, mark: Mark, above: Callable[[Mark], Any]) -> Any:
        """Return the address from above or, if unordered, the one in the mark."""
        return above(mark) if self.ordered else mark[0]

    def call(self) -> Callable[[Any], Any]:
        """Return the callable that does all the work on a value, an `async def` or plain.

        One that runs in a process can be pickled.
        """
        if is_async(self.fn):
            return partial(kept, self.fn) if self.kind == "filter" else self.fn
        here = self.executor == "thread" or isinstance(self.executor, ThreadPoolExecutor)
        return partial((THREADED if here else PLAIN)[self.kind], self.fn)

    def flow(self, up: Flow, context: Context) -> Flow:
        """Run on the loop, inside the driver of the chain."""
        call = self.call()
        meter, time = context.meter, context.time
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
            meter.busy_s += now - begun
            meter.served_items += 1
            if result is not DROPPED:
                meter.items += 1
                yield result, mark
            if now - paused > PAUSE_S:
                yield PAUSED
                paused = time()

    # failures

    def is_fatal(self, error: Exception) -> bool:
        """Return whether no single item is at fault: no retry helps, no `on_error` may hide it."""
        if isinstance(error, BrokenExecutor):  # in threads, from an executor that the function uses
            return self.executor not in ("thread", "inline") and not is_async(self.fn)
        return isinstance(error, PlainFunctionError | ExecutorError)

    def tries_again(self, error: Exception, attempt: int) -> bool:
        """Return whether another attempt follows the one that raised `error`."""
        if attempt >= self.retries or self.is_fatal(error):
            return False
        if self.retry_on is None:
            return not isinstance(error, HOPELESS)
        if isinstance(self.retry_on, type | tuple):
            return isinstance(error, self.retry_on)
        try:
            answer = self.retry_on(error)
            check_plain("retry_on", answer, "it must answer at once")
            return bool(answer)
        except (Exception, asyncio.CancelledError) as failure:
            raise self._blamed("retry_on", failure, error)  # noqa: B904  # that is its context

    def failed(self, error: Exception, value: Any, mark: Mark, meter: Meter) -> Any:
        """Return what replaces an item whose last attempt failed, or raise its error."""
        meter.errors += 1
        try:
            # one error for all items in flight
            if isinstance(error, BrokenExecutor) and self.is_fatal(error):
                text = f"in stage {self.label}: {_BROKEN}"
                if text not in getattr(error, "__notes__", ()):
                    add_note(error, text)
                raise error
            if not self.is_fatal(error) and self.on_error != "raise":
                try:
                    result = self._replaced(error, value)
                except (Exception, asyncio.CancelledError) as failure:
                    error = self._blamed("on_error", failure, error)
                else:
                    if self._has_let_go(error, value, mark, meter):
                        return result
            add_note(error, f"in stage {self.label}, item {leaf(mark)}: {shorten(value)}")
            raise error
        finally:
            del error  # its traceback holds this frame

    def _replaced(self, error: Exception, value: Any) -> Any:
        if isinstance(self.on_error, Skip):
            return DROPPED
        assert callable(self.on_error)
        replacement = self.on_error(error, value)
        check_plain("on_error", replacement, "it must return the replacement itself")
        return as_list(self.on_error, replacement) if self.kind == "flat_map" else replacement

    def _has_let_go(self, error: Exception, value: Any, mark: Mark, meter: Meter) -> bool:
        """Record that an item is skipped or replaced; return False if these are now too many."""
        meter.failed_items += 1
        ended = meter.served_items + 1 - meter.retries
        if self._are_too_many(meter, max(ended, SHARE_OF)):
            add_note(error, f"with it {self._too_many(meter)}")
            return False
        failed = FailedItem(self.label, leaf(mark), value, error)
        drop_traceback(error)
        meter.failures.append(failed)
        meter.last_failure = failed
        if isinstance(self.on_error, Skip):
            meter.skipped += 1
            if self.on_error.log:
                log_skipped(failed)
            if meter.skipped == SUSPICIOUS == ended:
                self._warn(meter)
        return True

    def ended(self, meter: Meter, *, is_whole: bool) -> None:
        """Check a finished epoch, or the rest of one: raise if too many failed, warn if all did."""
        ended = meter.served_items - meter.retries
        if self._are_too_many(meter, ended):
            assert meter.last_failure is not None
            add_note(meter.last_failure.error, f"in the end {self._too_many(meter)}")
            raise meter.last_failure.error
        if is_whole and 1 < meter.skipped == ended < SUSPICIOUS:
            self._warn(meter)

    def _are_too_many(self, meter: Meter, of: int) -> bool:
        most = self.max_failures
        if most is None:
            return False
        return meter.failed_items > (most if isinstance(most, int) else most * of)

    def _too_many(self, meter: Meter) -> str:
        return (
            f"{meter.failed_items} items of {self.label} have failed, "
            f"more than max_failures={self.max_failures}"
        )

    def _warn(self, meter: Meter) -> None:
        last = meter.last_failure
        assert last is not None
        warnings.warn(
            f"{self.label} has skipped all of its first {meter.skipped} items, the last one for "
            f"{type(last.error).__name__}: {shorten(last.error)}; "
            "statistics().failures holds them",
            RuntimeWarning,
            stacklevel=2,
        )

    def _blamed(self, name: str, failure: BaseException, original: Exception) -> Exception:
        """Return the error of an option's function, chained to the error that it was given."""
        if failure is original:
            return original
        chain(failure, original)
        return noted(name, failure, f"the `{name}` of {self.label} failed")
