"""Call the model, on the event loop, in a thread or in an executor, and say whose failure it was.

An error reaches the callers as the model raised it. The frames of this package are removed from its
traceback: they would keep the batch alive, and all requests in it.
"""

import asyncio
import concurrent.futures
import copy
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor
from functools import partial
from inspect import iscoroutinefunction
from pathlib import Path
from typing import Any

from asyncml.failures import (
    ENDINGS,
    ExecutorError,
    PlainFunctionError,
    check_plain,
    is_end,
    ordinary,
    refused,
)
from asyncml.threads import ThreadPool

# errors that concern every row of a batch, so searching for a bad row is pointless
EVERYBODYS = BrokenExecutor, ExecutorError, PlainFunctionError
# these end the loop or the coroutine, and are no failure of the model
_ENDS = KeyboardInterrupt | SystemExit | GeneratorExit


class Model:
    """A function that takes a batch, and where it runs.

    Args:
        fn: a plain function or an `async def`.
        executor: where a plain function runs; None: in threads of the model's own.
        threads: how many such threads.
    """

    def __init__(self, fn: Callable[[Any], Any], executor: Executor | None, threads: int) -> None:
        self._fn, self._executor, self._threads = fn, executor, threads
        self.pool: ThreadPool | None = None  # its own threads, while it is open
        self._is_async = _is_async(fn)
        self.name = getattr(fn, "__name__", type(fn).__name__)

    def open(self) -> None:
        """Create a thread pool, if the model needs its own."""
        if self._executor is None and not self._is_async:
            self.pool = ThreadPool(self._threads, name=self.name)

    def close(self) -> None:
        """Shut the pool down; a call in progress runs to its end, and its result is ignored."""
        if self.pool:
            self.pool.shutdown(wait=False, cancel_futures=True)
            self.pool = None

    async def call_here(self, batch: Any) -> Any:
        """Run a plain function in the calling thread; return its output, raise as a call does."""
        return _plain(self._fn, self.name, batch)

    async def __call__(self, batch: Any) -> Any:
        """Return the model's output for a batch.

        Raises:
            ExecutorError: the executor takes no work.
            Exception: the model's error; a RuntimeError in place of one that would end the task.
        """
        try:
            if self._is_async:
                return await self._fn(batch)
            try:
                loop = asyncio.get_running_loop()
                job = loop.run_in_executor(self._executor, _plain, self._fn, self.name, batch)
            except Exception as error:
                raise refused(self._executor, error) from error
            return await job
        except BaseException as error:
            if is_end(error) or _is_theirs(error):
                raise
            raise ordinary(self.name, error) from error


def _is_theirs(error: BaseException) -> bool:
    return isinstance(error, Exception | _ENDS) and not isinstance(error, ENDINGS)


def _plain(fn: Callable[[Any], Any], name: str, batch: Any) -> Any:
    try:
        output = fn(batch)
    except BaseException as error:  # futures do not accept all of them
        if _is_theirs(error):
            raise
        raise ordinary(name, error) from error
    check_plain(name, output, "make it `async def`")
    return output


def _is_async(fn: Any) -> bool:
    while isinstance(fn, partial):
        fn = fn.func
    return iscoroutinefunction(fn) or iscoroutinefunction(getattr(fn, "__call__", None))  # noqa: B004


_HOUSE = Path(__file__).parents[1]
_OURS = (
    *(str(_HOUSE / name) for name in ("serving", "clock", "threads.py")),
    str(Path(concurrent.futures.__file__).parent),
)


def without_our_frames(error: Exception) -> Exception:
    """Return the error with a traceback that begins with the model's own frames."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith(_OURS):
        trace = trace.tb_next
    BaseException.with_traceback(error, trace)
    return error


def twin(error: Exception) -> Exception:
    """Return a copy of an error, or the error itself if it cannot be copied."""
    try:
        other = copy.copy(error)
        BaseException.__setattr__(other, "__cause__", error.__cause__)
    except Exception:  # its class may need other arguments
        return error
    return other if type(other) is type(error) else error
