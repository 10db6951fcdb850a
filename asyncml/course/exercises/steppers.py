"""Judges the Task classes that learners write in lesson 03, with and without cancellation."""

import asyncio
import contextlib
import inspect
from collections.abc import Coroutine
from typing import Any

from asyncml.course.exercises.drivers import NEXT
from asyncml.course.exercises.futures import see_all, wait_for
from asyncml.course.exercises.scenes import Hints, demand
from asyncml.course.exercises.tasks import Future, Loop

_ADD = "`awaited.add_done_callback(self.step)`"
_RETURNED = "`except StopIteration as stop: self.set_result(stop.value)`"
_SOON = "`self.loop.call_soon(self.step, None, asyncio.CancelledError())`"
_ENDED = "A coroutine that has ended cannot be stepped: ask `self.done()` first."
_CALLED = (
    "The first step has no arguments, a future calls `step(self, woken_by)`, and a cancel adds "
)
_HINTS: Hints = {
    "still running": ("endless", "`step` must not wait: its future calls it again."),
    "cannot access local variable": (
        "no-else",
        "Where the coroutine has ended, `send` has handed out no future.",
        "Ask for the callback in the `else:` of the `try`.",
    ),
    "positional argument": ("arguments", f"{_CALLED}the error: each of them with its `=None`."),
    "has no attribute 'cancel'": (
        "cancel",
        "The loop throws the error. A future has no part in it.",
    ),
    "StopIteration": ("end", "A coroutine ends with a `StopIteration`: catch it first.", _RETURNED),
    "already awaited": ("ended", _ENDED),
    "result is not there yet": ("early-step", "It was stepped before its future was done.", _ADD),
    **NEXT,
}


def judge_task(answer: Any) -> None:
    """Raise `Wrong` unless it steps when woken, and keeps a result or an error."""
    see_all(answer, "step", _HINTS, _see_result, _see_error, _see_gives_up)


def judge_cancellable(answer: Any) -> None:
    """Raise `Wrong` unless it is a task, and `cancel` reaches it at any `await`."""
    see_all(answer, "step cancel", _HINTS, _see_result, _see_error)
    demand(hasattr(answer, "cancel"), "no-cancel", "there is no method `cancel`.")
    scenes = (_see_cancel, _see_cancel_caught, _see_cancel_at_odd_times)
    see_all(answer, "step cancel", _HINTS, *scenes)


async def _or_else(first: Any, otherwise: Coroutine[Any, Any, Any]) -> Any:
    """Await the first; on a KeyError or a cancellation, await the other."""
    try:
        found = await first
    except (KeyError, asyncio.CancelledError):
        return await otherwise
    otherwise.close()
    return found


def _run(loop: Loop) -> None:
    """Run the loop; refuse an error that comes out, because it would stop every task."""
    try:
        loop.run()
    except (asyncio.CancelledError, KeyError) as error:
        shown = f"a coroutine raised {type(error).__name__}, and the whole loop stopped."
        why = "An error is an outcome of the coroutine, as a result is: keep it in the task."
        more = "`except BaseException as error: self.set_exception(error)`"
        if isinstance(error, asyncio.CancelledError):
            why = "`CancelledError` is not an `Exception`. Catch it around `send`, and any `throw`."
        demand(False, "escapes", shown, why, more)


def _outcome(task: Any) -> tuple[Any, BaseException | None]:
    """Return the task's result or None, and its error or None."""
    try:
        return task.result(), None
    except (Exception, asyncio.CancelledError) as error:
        return None, error


def _step(task: Any) -> None:
    """Run the task's loop; raise the error that its `except` stored, if any."""
    _run(task.loop)
    if task.done() and (error := _outcome(task)[1]):
        raise error


def _see_result(make: Any, result: Any) -> None:
    loop = Loop()
    first, second = Future(loop), Future(loop)
    second.set_result(result)
    coro = wait_for(second)
    task = make(loop, coro)
    why = "The first step is the loop's too: leave `__init__` as it is."
    is_begun = inspect.getcoroutinestate(coro) != inspect.CORO_CREATED
    demand(not is_begun, "at-once", "the coroutine ran while the task was made.", why)
    _step(task)
    shown = f"the coroutine has returned {result!r}, and the task's `done()` is {task.done()!r}."
    why = "The end of a coroutine is a `StopIteration`, which carries what it returned."
    demand(bool(task.done()), "not-done", shown, why, _RETURNED)
    shown = f"the coroutine returned {result!r}, the task's result is {_outcome(task)[0]!r}."
    demand(_outcome(task)[0] == result, "result", shown, why, _RETURNED)
    third = Future(loop)
    task = make(loop, wait_for(first, third))
    for future in (first, third):
        _step(task)
        shown = f"it waits for a future, and the task's `done()` is {task.done()!r}."
        demand(not task.done(), "too-soon", shown, "Only `StopIteration` ends it.")
        future.set_result(result)
    _step(task)
    shown = "what it waited for was done, and no step followed."
    why = "What `send` returns is a future: ask it to call the next step when it is done."
    demand(bool(task.done()), "not-woken", shown, why, _ADD)


def _see_error(make: Any, result: Any) -> None:
    loop, error = Loop(), KeyError("image 2")
    gate, known = Future(loop), Future(loop)
    known.set_result(result)
    inner = make(loop, wait_for(gate))
    outer = make(loop, _or_else(inner, wait_for(known)))
    _run(loop)
    gate.set_exception(error)
    _run(loop)
    shown = "the coroutine raised a KeyError, and the task's `done()` is False."
    keep = "Keep it with `set_exception`: then `result()` and `await` raise it."
    demand(bool(inner.done()), "error-lost", shown, keep)
    got = _outcome(inner)
    shown = f"the coroutine raised {error!r}, and the task's `result()` did not: {got!r:.60}."
    demand(got[1] is error, "error-lost", shown, keep, "`self.set_exception(error)`")
    shown = f"a coroutine awaited the failed task in a `try`; its own task gave {_outcome(outer)}."
    why = "The error belongs at its `await`, where it can be caught. `send(None)` is all it needs."
    demand(_outcome(outer) == (result, None), "not-raised", shown, why)


def _see_gives_up(make: Any, result: Any) -> None:
    loop, error = Loop(), asyncio.CancelledError()

    async def gives_up() -> None:
        raise error

    task = make(loop, gives_up())
    _run(loop)
    shown = f"the coroutine raised a CancelledError, and the task's outcome is {_outcome(task)!r}."
    why = "It is an outcome like any other error: `self.set_exception(error)`."
    demand(_outcome(task)[1] is error, "error-lost", shown, why)


def _see_cancel(make: Any, result: Any) -> None:
    loop, told = Loop(), list[BaseException]()
    first = Future(loop)

    async def careful() -> None:
        try:
            await first
        except BaseException as error:
            told.append(error)
            raise

    task = make(loop, careful())
    _run(loop)
    answer: Any = None
    with contextlib.suppress(asyncio.CancelledError):
        answer = task.cancel()
    shown, why = "`cancel` itself stepped the coroutine.", "Its caller would run its clean-up."
    demand(not told, "at-once", shown, why, f"The loop has to do it: {_SOON}.")
    demand(answer is True, "return", f"`cancel()` of a running task must return True: {answer!r}.")
    task.cancel()  # a second time, before the first arrives
    _run(loop)
    shown = f"after `cancel()` {told or 'nothing'} was raised at the `await` where it stood."
    why = "At its next step use `coro.throw(asyncio.CancelledError())` in place of `send`."
    is_told = told != [] and isinstance(told[0], asyncio.CancelledError)
    demand(is_told, "not-thrown", shown, why, f"{_SOON}, and throw it in `step`.")
    shown = f"it let the CancelledError out, and the task's `done()` is {task.done()!r}."
    demand(bool(task.done()), "not-done", shown, "Then that is its outcome: `set_exception`.")
    _demand_cancelled(task, "it was cancelled twice")
    first.set_result(result)
    try:
        _run(loop)
    except (RuntimeError, StopIteration) as error:
        told.append(error)
    _demand_cancelled(task, "what it had waited for came after the cancel", *told[1:])
    answer = task.cancel()
    demand(answer is False, "return", f"`cancel()` after the end must return False: {answer!r}.")


def _demand_cancelled(task: Any, what: str, *errors: BaseException) -> None:
    _, outcome = _outcome(task)
    shown = f"{what}, and the ended coroutine was stepped: {(*errors, outcome)[0]!r}."
    is_cancelled = isinstance(outcome, asyncio.CancelledError) and not errors
    demand(is_cancelled, "ended", shown, _ENDED)


def _see_cancel_caught(make: Any, result: Any) -> None:
    loop = Loop()
    first, second = Future(loop), Future(loop)
    task = make(loop, _or_else(first, wait_for(second)))
    _run(loop)
    task.cancel()
    _run(loop)
    shown = "it caught its CancelledError to go on, and the task was done."
    demand(not task.done(), "too-soon", shown, "It is done when the coroutine has ended.")
    first.set_result("old")
    _run(loop)
    shown = "it had gone on to wait for another future, and the old one, done late, woke it."
    why = "Remember what it waits for, and ignore calls of `step` from any other future."
    more = "In `step`, unless there is an error to throw: `if woken_by is not self.waits_for: ...`"
    demand(not task.done(), "stale", shown, why, more)
    second.set_result(result)
    _run(loop)
    shown = f"got {_outcome(task)!r}, and not {result!r}."
    demand(_outcome(task) == (result, None), "result", shown, why)


def _see_cancel_at_odd_times(make: Any, result: Any) -> None:
    for is_woken in (False, True):
        loop = Loop()
        first, never = Future(loop), Future(loop)
        task = make(loop, wait_for(first, never))
        if is_woken:
            _run(loop)
            first.set_result(result)
        task.cancel()
        _run(loop)
        when = "just when it had been woken" if is_woken else "before its first step"
        shown = f"it was cancelled {when}, and went on as if nothing had happened."
        why = "Throw it at the `await` where it is paused by then, whichever that is."
        is_cancelled = isinstance(_outcome(task)[1], asyncio.CancelledError)
        demand(is_cancelled, "lost", shown, why)
