"""Runs a learner's function where it can do no harm: in virtual time and with a time limit.

During the run, `time.sleep` is replaced by a version that records the call, because the real one
would block the loop without advancing the virtual clock. A function that does not end is ended
from outside.
"""

import contextlib
import contextvars
import ctypes
import gc
import inspect
import logging
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from asyncml.clock import Deadlock, compute, simulate
from asyncml.clock.turns import hold
from asyncml.course.exercises import Wrong, demand, said_by
from asyncml.course.exercises.answers import check_kind as check_kind
from asyncml.course.exercises.answers import is_stub as is_stub
from asyncml.course.exercises.verdicts import keep
from asyncml.timeline.recorder import record
from asyncml.timeline.timeline import Timeline

_LIMIT_S = 3.0  # real seconds; a right answer takes a hundredth of that
_real_sleep = time.sleep


class _TimeIsUp(BaseException):
    """Raised in an answer that does not end by itself, to end it."""


@dataclass
class Attempt:
    """The outcome of running an answer once.

    Attributes:
        result: what it returned.
        error: what it raised, if the check allows that exception.
        seconds: how long it took in virtual time; 0 for a plain function.
        timeline: the recorded run; None for a plain function.
    """

    result: Any
    error: BaseException | None
    seconds: float
    timeline: Timeline[Any] | None


def attempt(
    function: Callable[..., Any],
    *args: Any,
    is_async: bool = True,
    may_raise: type[BaseException] | tuple[type[BaseException], ...] = (),
    may_block: bool = False,
) -> Attempt:
    """Run an answer once; turn its failures into verdicts that say what they usually mean.

    Args:
        function: the learner's function.
        args: its arguments.
        is_async: whether it must be an `async def`, which then runs in virtual time.
        may_raise: exceptions to return in `Attempt.error`, for the check to judge.
        may_block: whether `time.sleep` is allowed.

    Raises:
        Wrong: the answer is still a stub ("open"), is of the wrong kind ("kind"), does not end
            ("endless"), blocks the loop ("blocking"), waits for ever ("deadlock"), or raises
            another exception ("raised").
    """
    check_kind(function, is_async)
    run = _Run(function, args, is_async)
    run.go()
    keep(run.timeline)
    shown = f"it was still running after {_LIMIT_S:g} s, so it was stopped."
    why = "Which loop in it has no end, or no `await` that could let others run?"
    demand(not run.is_endless, "endless", shown, why)
    shown = f"`time.sleep` held the whole event loop for {run.slept_s:.3g} s."
    why = "Nothing else can run meanwhile: wait with `await asyncio.sleep(...)`."
    demand(may_block or not run.slept_s, "blocking", shown, why)
    if run.error is not None and not isinstance(run.error, may_raise):
        if isinstance(run.error, Deadlock):
            name, what, where = run.error.waits[0]
            shown = (
                f"`{name}` waits for {what} in {where}, and nothing is left that could end that."
            )
            raise Wrong("deadlock", shown, "Who was to wake it?")
        why = "Call it in a cell of its own to see the whole traceback."
        raise Wrong("raised", _tell(run.error, function), why)
    return Attempt(run.result, run.error, run.seconds, run.timeline)


class _Run:
    """One call of an answer, in its own thread, which can be ended."""

    def __init__(self, function: Callable[..., Any], args: tuple[Any, ...], is_async: bool) -> None:
        self.function, self.args, self.is_async = function, args, is_async
        self.result: Any = None
        self.error: BaseException | None = None
        self.timeline: Timeline[Any] | None = None
        self.seconds = self.slept_s = 0.0
        self.is_endless = False
        self.thread: threading.Thread | None = None

    def go(self) -> None:
        context = contextvars.copy_context()  # so that prints appear below their cell
        self.thread = thread = threading.Thread(
            target=context.run, args=(self._call,), name="answer", daemon=True
        )
        with self._sleep_watched():
            thread.start()
            thread.join(_LIMIT_S)
            if thread.is_alive():
                self.is_endless = True
                with _unheard():
                    self._end(thread)

    def _end(self, thread: threading.Thread) -> None:
        """End the thread; drop the unfinished tasks of the answer."""
        ident = ctypes.c_ulong(thread.ident or 0)
        # sent again because an answer may catch it, but only after time to clean up from the first
        for patience_s in (1.0, *[0.01] * 500):
            if not thread.is_alive():
                break
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ident, ctypes.py_object(_TimeIsUp))
            thread.join(patience_s)
        self.error = None  # its traceback keeps the answer's tasks alive
        gc.collect()

    def _call(self) -> None:
        try:
            if self.is_async:
                self.timeline = simulate(record(self.function(*self.args)))
                self.result = self.timeline.result
            else:
                self.result = self.function(*self.args)
        except BaseException as error:
            self.error = error
            self.timeline = getattr(error, "timeline", None)
        if self.timeline is not None:
            self.seconds = self.timeline.duration_s

    @contextlib.contextmanager
    def _sleep_watched(self) -> Iterator[None]:
        """Replace `time.sleep`, including names under which the answer's module imported it."""

        def sleep(seconds: Any) -> None:
            if threading.current_thread() is self.thread:
                self.slept_s += seconds
                if self.is_async:  # a plain function has no virtual clock to advance
                    compute(seconds)
            elif not hold(seconds):  # neither the answer's loop nor one of its worker threads
                _real_sleep(seconds)

        scope = getattr(inspect.unwrap(self.function), "__globals__", {})
        names = [name for name, value in scope.items() if value is _real_sleep]
        time.sleep = sleep
        scope.update(dict.fromkeys(names, sleep))
        try:
            yield
        finally:
            time.sleep = _real_sleep
            scope.update(dict.fromkeys(names, _real_sleep))


@contextlib.contextmanager
def _unheard() -> Iterator[None]:
    """Silence warnings about tasks and coroutines that were cut off, or ended in a `__del__`."""
    logger, tell = logging.getLogger("asyncio"), sys.unraisablehook

    def tell_others(lost: Any) -> None:
        if lost.exc_type is not _TimeIsUp:
            tell(lost)

    was_off, logger.disabled, sys.unraisablehook = logger.disabled, True, tell_others
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        logger.disabled, sys.unraisablehook = was_off, tell


def _tell(error: BaseException, function: Callable[..., Any]) -> str:
    """Return a sentence that says what was raised, and on which line of the answer."""
    code = getattr(inspect.unwrap(function), "__code__", None)  # built-ins have none
    file = code.co_filename if code else None
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == file]
    where = f" on line {lines[-1]} of its cell" if lines else ""
    return f"it raised {said_by(error)}{where}."
