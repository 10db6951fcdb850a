"""Judges futures, tasks and a future for a socket, as lesson 03 has them written.

The scenes drive them on a loop that has nothing but a queue.
"""

import asyncio
import contextlib
import inspect
import random
import selectors
import socket
import types
from collections.abc import Callable, Coroutine
from typing import Any

from asyncml.course.exercises.answers import demand_class
from asyncml.course.exercises.attempts import is_stub
from asyncml.course.exercises.scenes import NOT_AWAITABLE, Hints, check_plain, demand, play
from asyncml.course.exercises.tasks import Future, Loop
from asyncml.failures import shorten

_LINE = "`self.loop.call_soon(callback, self)`"
_AWAIT = "What can be awaited has a plain method `__await__` with a `yield` in it."
_FUTURE_HINTS: Hints = {
    "still running": ("endless", "A future does not wait in a loop: it hands out itself, once."),
    **dict.fromkeys((*NOT_AWAITABLE, "__await__() returned"), ("no-await", _AWAIT)),
    "__await__() must return": ("no-await", _AWAIT),  # from 3.15 on
    "object is not iterable": ("yield-from", "Hand out itself: `yield self`, without `from`."),
    "'loop'": ("loop", "Keep the loop: `self.loop = loop` in `__init__`."),
    "object is not callable": (
        "kind",
        "`done` and `result` are methods: nothing else may have their names.",
    ),
}
_ADD = "`awaited.add_done_callback(self.step)`"
_RETURNED = "`except StopIteration as stop: self.set_result(stop.value)`"
_SOON = "`self.loop.call_soon(self.step, None, asyncio.CancelledError())`"
_FIRST_STEP = ("first-step", "Nobody has woken the first step, and it waits for nothing yet.")
_ENDED = "A coroutine that has ended cannot be stepped: ask `self.done()` first."
_TASK_HINTS: Hints = {
    "still running": ("endless", "`step` must not wait: its future calls it again."),
    "cannot access local variable": (
        "no-else",
        "Where the coroutine has ended, `send` has handed out no future.",
        "Ask for the callback in the `else:` of the `try`.",
    ),
    "unexpected keyword": ("arguments", "Our `call_soon` takes no keyword arguments.", _SOON),
    "arguments but 3 were": ("arguments", "`step` is called with `woken_by`, and the error."),
    "missing 1 required": ("arguments", "The first step has no arguments: keep the `=None`."),
    "positional argument": ("arguments", "A future calls `step(self, woken_by)` with itself."),
    "'NoneType' object has no attribute 'result'": _FIRST_STEP,
    "'NoneType' object has no attribute 'set_": _FIRST_STEP,
    "has no attribute 'set_": ("future", "A task is a future itself: `class MyTask(Future)`."),
    "has no attribute 'cancel'": (
        "cancel",
        "The loop throws the error. A future has no part in it.",
    ),
    "StopIteration": ("end", "A coroutine ends with a `StopIteration`: catch it first.", _RETURNED),
    "already awaited": ("ended", _ENDED),
    "already executing": ("inside", "It was stepped while it runs: leave that to the loop."),
    "result is not there yet": ("early-step", "It was stepped before its future was done.", _ADD),
    "'NoneType' object is not callable": ("called", "Hand over the method: no `()` after `step`."),
    "is not an iterator": ("next", "`next` does not work on a coroutine; `send(None)` does."),
    "'__next__'": ("next", "A coroutine has no `__next__`; `send(None)` does the same."),
}
_READABLE_HINTS: Hints = {
    "still running": ("endless", "Do not wait here: the loop calls your callback."),
    "already registered": ("twice", "Register the socket once; it may be unregistered by then."),
    "temporarily unavailable": ("too-soon", "Nothing was sent yet, so do not read now."),
    "non-blocking": ("too-soon", "Nothing was sent yet, so do not read now."),
    "Future.__init__": ("loop", "A future needs its loop: `Future(loop)`."),
    "positional argument": ("arguments", "The callback is called without arguments."),
    "not registered": ("unregister", "Unregister it once, in the callback."),
}


def read_class(answer: Any, names: str = "") -> types.FunctionType:
    """Demand a class of plain methods that are written, and return one of them.

    Args:
        answer: the learner's.
        names: of the methods that must be written, with spaces; by default all.
    """
    demand_class(answer)
    methods = {n: one for n, one in vars(answer).items() if isinstance(one, types.FunctionType)}
    demand(bool(methods), "kind", f"`{answer.__name__}` has no methods of its own.")
    for name, method in methods.items():
        is_async = inspect.iscoroutinefunction(method) or inspect.isasyncgenfunction(method)
        why = _AWAIT if name == "__await__" else ""
        demand(not is_async, "kind", f"`{name}` must be a plain `def`.", why)
    is_open = any(is_stub(methods.get(name)) for name in names.split() or methods)
    demand(not is_open, "open", f"write the methods of `{answer.__name__}` in place of each `...`")
    return next(iter(methods.values()))


def judge_future(answer: Any) -> None:
    """Raise `Wrong` unless it is done when it has a result, calls back soon, and can be awaited."""
    _judge(answer, "", _FUTURE_HINTS, _see_states, _see_callbacks, _see_await)


def judge_task(answer: Any) -> None:
    """Raise `Wrong` unless it steps when it is woken, and keeps a result or an error."""
    _judge(answer, "step", _TASK_HINTS, _see_result, _see_error)


def judge_cancellable(answer: Any) -> None:
    """Raise `Wrong` unless it is a task, and a `cancel` reaches it wherever it stands."""
    _judge(answer, "step cancel", _TASK_HINTS, _see_result, _see_error)
    demand(hasattr(answer, "cancel"), "no-cancel", "there is no method `cancel`.")
    scenes = (_see_cancel, _see_cancel_caught, _see_cancel_at_odd_times)
    _judge(answer, "step cancel", _TASK_HINTS, *scenes)


def _judge(answer: Any, names: str, hints: Hints, *scenes: Callable[..., Any]) -> None:
    method = read_class(answer, names)
    for result in (f"batch {random.Random(3).randint(10, 99)}", None):
        for scene in scenes:
            play(scene, answer, result, of=method, hints=hints)


def _see_states(make: Any, result: Any) -> None:
    new = make(Loop())
    demand(not new.done(), "done", f"a new one's `done()` must be False, got {new.done()!r}.")
    try:
        early = f"returned {new.result()!r}"
    except RuntimeError:
        early = ""
    except Exception as error:
        early = f"raised {error!r}"
    why = "There is none yet: raise a RuntimeError, so that nobody takes None for a result."
    demand(not early, "no-result-yet", f"while it is pending, `result()` {early}.", why)
    new.set_result(result)
    shown = f"after `set_result({result!r})` its `done()` is {new.done()!r}."
    why = "None is a result like any other: keep in an attribute of its own whether it is done."
    demand(bool(new.done()), "done", shown, why)
    shown = f"after `set_result({result!r})` its `result()` is another one: {new.result()!r:.30}."
    demand(new.result() == result, "result", shown)


def _see_callbacks(make: Any, result: Any) -> None:
    loop, called = Loop(), list[tuple[Any, ...]]()
    new, other = make(loop), make(loop)
    for name, whose in (("first", new), ("second", new), ("other", other)):
        whose.add_done_callback(lambda *args, name=name: called.append((name, *args)))
    loop.run()
    demand(not called, "too-soon", "a callback was called while it was pending.", "Keep them.")
    new.set_result(result)
    why = "Its caller would have to run everybody else's code first. Let the loop do it."
    demand(not called, "at-once", "`set_result` itself called a callback.", why, _LINE)
    loop.run()
    is_shared, own = called[-1:] == [("other", new)], "Make the list in `__init__`: one for each."
    demand(not is_shared, "shared", "the callback of another future was called.", own)
    new.add_done_callback(lambda *args: called.append(("late", *args)))
    is_direct = called[-1:] == [("late", new)]
    demand(not is_direct, "at-once", "`add_done_callback` itself called it.", why, _LINE)
    loop.run()
    names = [name for name, *_ in called]
    shown = f"expected calls of first, second, late; seen: {', '.join(names) or 'none'}."
    why = "Callbacks go to `call_soon`: when it is set, or at once where it is done already."
    demand(names == ["first", "second", "late"], "callbacks", shown, why)
    with_itself = all(args == [new] for _, *args in called)
    demand(with_itself, "argument", "callbacks are called with the future, and no more.", _LINE)


def _see_await(make: Any, result: Any) -> None:
    new = make(Loop())
    handed, got = _await(new, result)
    shown = f"`await` did not wait for a result, and gave {got!r:.40}."
    why = "While it is pending, `__await__` must `yield self`; what it returns is the result."
    demand(handed != [], "no-wait", shown, why)
    shown = f"`await` handed out {handed[0]!r:.40}, and not itself."
    why = "The driver of the coroutine must learn what it waits for: `yield self`."
    demand(handed[0] is new, "yields", shown, why)
    handed += _await(new, result)[0]
    demand(len(handed) == 1, "again", "it was done, and `await` still waited.", "Ask `done()`.")
    shown = f"`await` gave {got!r:.40}, and not {result!r}."
    why = "What `__await__` returns is its value: `return self.result()`."
    demand(got == result, "no-result", shown, why)


def _await(new: Any, result: Any) -> tuple[list[Any], Any]:
    """Return what an `await` hands out, at most twice, and gives; the result is set in between."""
    coro, handed = _wait(new), list[Any]()
    try:
        while len(handed) < 2:
            handed.append(coro.send(None))
            if not new.done():
                new.set_result(result)
    except StopIteration as stop:
        return handed, stop.value
    finally:
        coro.close()
    return handed, None


async def _wait(*awaited: Any) -> Any:
    """Await one after another, and return the last result."""
    return [await one for one in awaited][-1]


async def _or_else(first: Any, otherwise: Coroutine[Any, Any, Any]) -> Any:
    """Await the first; if that raises a KeyError or a cancel comes, await the other."""
    try:
        found = await first
    except (KeyError, asyncio.CancelledError):
        return await otherwise
    otherwise.close()
    return found


def _run(loop: Loop) -> None:
    """Run the loop; an error that comes out of it would have stopped everybody."""
    try:
        loop.run()
    except (asyncio.CancelledError, KeyError) as error:
        shown = f"a coroutine raised {type(error).__name__}, and the whole loop stopped."
        why = "An error is an outcome of the coroutine, as a result is: keep it in the task."
        more = "`except BaseException as error: self.set_exception(error)`"
        if isinstance(error, asyncio.CancelledError):
            why = "Catch it around `throw`, as around `send`. `CancelledError` is no `Exception`."
        demand(False, "escapes", shown, why, more)
    shown = "it made step after step while what it waits for was not done."
    why = "`send` hands out a future. Let that future call the next step."
    demand(not loop.ready, "polls", shown, why, _ADD)


def _outcome(task: Any) -> tuple[Any, BaseException | None]:
    """Return the task's result, and the error that it raises."""
    try:
        return task.result(), None
    except (Exception, asyncio.CancelledError) as error:
        return None, error


def _step(task: Any) -> None:
    """Run its loop, and raise what went wrong in `step` itself, where `except` has kept it."""
    _run(task.loop)
    if task.done() and (error := _outcome(task)[1]):
        raise error


def _see_result(make: Any, result: Any) -> None:
    loop = Loop()
    first, second = Future(loop), Future(loop)
    second.set_result(result)
    coro = _wait(second)
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
    task = make(loop, _wait(first, third))
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
    inner = make(loop, _wait(gate))
    outer, other = make(loop, _or_else(inner, _wait(known))), make(loop, _wait(inner))
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
    shown = "a coroutine that awaits a failed task, and does not catch its error, fails with it."
    demand(_outcome(other)[1] is error, "not-raised", shown, keep)


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
    task.cancel()  # impatiently
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
    task = make(loop, _or_else(first, _wait(second)))
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
        task = make(loop, _wait(first, never))
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


class _Selector(selectors.DefaultSelector):
    """Refuses to wait: nobody would ever come out of there."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        why = "Do not wait here: the loop does, and then calls your callback."
        demand(timeout is not None, "waits", "it waited in `select`, with nothing sent.", why)
        return super().select(timeout)


def judge_readable(answer: Any) -> None:
    """Raise `Wrong` unless its future is done when there is something, which it leaves unread."""
    check_plain(answer)
    play(_see_socket, answer, of=answer, hints=_READABLE_HINTS)


def _see_socket(make: Callable[..., Any]) -> None:
    loop: Any = Loop()
    near, far = socket.socketpair()
    near.setblocking(False)
    with near, far, _Selector() as loop.selector:
        for message in (b"image 1", b"image 2"):
            _see_message(make, loop, near, far, message)


def _see_message(
    make: Callable[..., Any], loop: Any, near: socket.socket, far: socket.socket, message: bytes
) -> None:
    future = make(loop, near)
    shown = f"a future was expected, got {shorten(future)}."
    is_future = hasattr(future, "add_done_callback")
    demand(is_future, "no-future", shown, "Return the one that you have made.")
    why = "Nobody has sent anything. Set the result in the callback, not right away."
    demand(not future.done(), "too-soon", "it was done with nothing to read.", why)
    key = loop.selector.get_map().get(near)
    register = "`loop.selector.register(sock, selectors.EVENT_READ, is_ready)`"
    is_asked = key is not None and key.events == selectors.EVENT_READ and callable(key.data)
    shown = "the selector was not asked to watch the socket for reading, with a callback."
    demand(is_asked, "not-registered", shown, register)
    far.send(message)
    for ready, _ in loop.selector.select(0):
        loop.call_soon(ready.data)
    loop.run()
    shown = "there is something to read, and the future is not done."
    why = "The callback, a plain `def`, has to call `set_result`."
    demand(bool(future.done()), "not-done", shown, why)
    shown = "the socket is still watched: the callback would be called again and again."
    is_left = near in loop.selector.get_map()
    demand(not is_left, "still-watched", shown, "In the callback: `loop.selector.unregister(sock)`")
    try:
        got = near.recv(100)
    except BlockingIOError:
        got = b""
    why = "It only says that there is something. Whoever awaits it reads."
    demand(got == message, "read", "what had been sent was no longer there to read.", why)
