"""What stands in for the learner's parts of a loop, and what is asked of them.

A trampoline, a Future, two Tasks and a wait for a socket: lesson 03 goes on with these where hers
have not passed their check yet. The scenes drive tasks on a loop that has nothing but a queue.
"""

import asyncio
import selectors
import socket
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from typing import Any

from asyncml.course.exercises.scenes import demand

_MANY = 1000  # callbacks: no scene needs a tenth of them
_SOON = "The loop has to do it: `self.loop.call_soon(...)`."


class Loop:
    """As much of a loop as futures and tasks need."""

    def __init__(self) -> None:
        self.ready: deque[tuple[Callable[..., Any], tuple[Any, ...]]] = deque()

    def call_soon(self, callback: Callable[..., Any], *args: Any) -> None:
        """Call it in the next run, after what stands in the queue already."""
        self.ready.append((callback, args))

    def run(self) -> None:
        """Call until nothing is ready, but not for ever."""
        for _ in range(_MANY):
            if not self.ready:
                return
            callback, args = self.ready.popleft()
            callback(*args)
        shown = "it made step after step while what it waits for was not done."
        why = "`send` hands out a future. Let that future call the next step."
        demand(False, "polls", shown, why, "`awaited.add_done_callback(self.step)`")


def trampoline(*coros: Coroutine[Any, Any, Any]) -> None:
    """Resume coroutines in turns until all have ended."""
    ready = deque(coros)
    while ready:
        coro = ready.popleft()
        try:
            coro.send(None)
        except StopIteration:
            continue
        ready.append(coro)


class Future:
    """A result, or an error, that is not there yet."""

    def __init__(self, loop: Any) -> None:
        self.loop, self.callbacks, self.is_done = loop, list[Callable[..., Any]](), False
        self.value: Any = None
        self.error: BaseException | None = None

    def done(self) -> bool:
        """Tell whether there is a result or an error."""
        return self.is_done

    def result(self) -> Any:
        """Return the result, or raise the error."""
        if not self.is_done:
            raise RuntimeError("the result is not there yet")
        if self.error is not None:
            raise self.error
        return self.value

    def set_result(self, result: Any) -> None:
        """Be done, and have everybody called back soon."""
        self.is_done, self.value = True, result
        for callback in self.callbacks:
            self.loop.call_soon(callback, self)

    def set_exception(self, error: BaseException) -> None:
        """Be done with an error."""
        self.error = error
        self.set_result(None)

    def add_done_callback(self, callback: Callable[..., Any]) -> None:
        """Have it called soon after this is done."""
        if self.is_done:
            self.loop.call_soon(callback, self)
        else:
            self.callbacks.append(callback)

    def __await__(self) -> Generator[Any, Any, Any]:
        """Hand out itself while it is pending; then give the result."""
        if not self.is_done:
            yield self
        return self.result()


class Task(Future):
    """A future that drives a coroutine."""

    def __init__(self, loop: Any, coro: Coroutine[Any, Any, Any]) -> None:
        super().__init__(loop)
        self.coro = coro
        loop.call_soon(self.step)

    def step(self, woken_by: Any = None) -> None:
        """Make one step of the coroutine."""
        try:
            awaited = self.coro.send(None)
        except StopIteration as stop:
            self.set_result(stop.value)
        except BaseException as error:
            self.set_exception(error)
        else:
            awaited.add_done_callback(self.step)


class CancellableTask(Task):
    """A task that can be cancelled."""

    waits_for: Any = None

    def step(self, woken_by: Any = None, error: BaseException | None = None) -> None:
        """Make one step, or raise an error where the coroutine stands."""
        if self.done() or (error is None and woken_by is not self.waits_for):
            return
        try:
            awaited = self.coro.throw(error) if error else self.coro.send(None)
        except StopIteration as stop:
            self.set_result(stop.value)
        except BaseException as failure:
            self.set_exception(failure)
        else:
            self.waits_for = awaited
            awaited.add_done_callback(self.step)

    def cancel(self) -> bool:
        """Raise a CancelledError where it stands, soon; tell whether it was still running."""
        if self.done():
            return False
        self.loop.call_soon(self.step, None, asyncio.CancelledError())
        return True


def readable(loop: Any, sock: socket.socket) -> Future:
    """Return a future that is done when there is something to read."""
    future = Future(loop)

    def is_ready() -> None:
        loop.selector.unregister(sock)
        future.set_result(None)

    loop.selector.register(sock, selectors.EVENT_READ, is_ready)
    return future


class _Stage:
    """A loop, what happened on it, and the tasks of one scene."""

    def __init__(self, make: Any) -> None:
        self.make, self.loop, self.seen = make, Loop(), list[str]()

    def start(self, coro: Coroutine[Any, Any, Any]) -> Any:
        return self.make(self.loop, coro)

    def future(self) -> Future:
        return Future(self.loop)

    def run(self) -> None:
        """Run the loop; an error that comes out of it would have stopped everybody."""
        try:
            self.loop.run()
        except (asyncio.CancelledError, KeyError) as error:
            shown = f"a coroutine raised {type(error).__name__}, and the whole loop stopped."
            why = "An error is an outcome of the coroutine, as a result is: keep it in the task."
            more = "`except BaseException as error: self.set_exception(error)`"
            if isinstance(error, asyncio.CancelledError):
                why = (
                    "Catch it around `throw`, as around `send`. `CancelledError` is no `Exception`."
                )
            demand(False, "escapes", shown, why, more)

    async def wait(self, future: Any) -> Any:
        return await future


def _outcome(task: Any) -> Any:
    """Return what the task's result is, or the error that it raises."""
    try:
        return task.result()
    except (Exception, asyncio.CancelledError) as error:
        return error


def _raise_its_own(task: Any) -> None:
    """Raise what went wrong in `step` itself, where its own `except` has kept it."""
    if task.done() and _is_raised(task) and isinstance(error := _outcome(task), Exception):
        raise error


def see_result(make: Any, result: Any) -> None:
    """A coroutine that returns, without and with a wait, makes a task that is done."""
    stage = _Stage(make)

    async def at_once() -> Any:
        stage.seen.append("ran")
        return result

    task = stage.start(at_once())
    shown = "the coroutine ran while the task was made."
    why = "The first step is the loop's too: leave `__init__` as it is."
    demand(not stage.seen, "at-once", shown, why)
    stage.run()
    _raise_its_own(task)
    why = "The end of a coroutine is a `StopIteration`, which carries what it returned."
    more = "`except StopIteration as stop: self.set_result(stop.value)`"
    shown = f"the coroutine has returned {result!r}, and the task's `done()` is {task.done()!r}."
    demand(bool(task.done()), "not-done", shown, why, more)
    shown = f"the coroutine returned {result!r}, the task's result is {_outcome(task)!r}."
    demand(_outcome(task) == result, "result", shown, why, more)
    first, second = stage.future(), stage.future()

    async def twice() -> Any:
        return [await first, await second]

    task = stage.start(twice())
    stage.run()
    _raise_its_own(task)
    early = f"it waits for a future, and the task's `done()` is {task.done()!r}."
    demand(not task.done(), "too-soon", early, "Only `StopIteration` ends it.")
    for future in (first, second):
        future.set_result(result)
        stage.run()
        _raise_its_own(task)
    shown = "what it waited for was done, and no step followed."
    why = "What `send` returns is a future: ask it to call the next step when it is done."
    demand(bool(task.done()), "not-woken", shown, why, "`awaited.add_done_callback(self.step)`")
    shown = f"expected the result {[result, result]!r}, got {_outcome(task)!r}."
    demand(_outcome(task) == [result, result], "result", shown)


def see_error(make: Any, result: Any) -> None:
    """A coroutine that raises makes a task that raises, wherever it is awaited."""
    stage, error = _Stage(make), KeyError("image 2")
    gate = stage.future()

    async def fails() -> None:
        await gate
        raise error

    async def mends(task: Any) -> Any:
        try:
            await task
        except KeyError:
            return result

    inner = stage.start(fails())
    outer, other = stage.start(mends(inner)), stage.start(stage.wait(inner))
    stage.run()
    gate.set_result(None)
    stage.run()
    shown = "the coroutine raised a KeyError, and the task's `done()` is False."
    keep = "Keep it with `set_exception`: then `result()` and `await` raise it."
    demand(bool(inner.done()), "error-lost", shown, keep)
    got = _outcome(inner)
    shown = f"the coroutine raised {error!r}, and the task's `result()` does not raise it: {got!r}."
    is_raised = got is error and _is_raised(inner)
    demand(is_raised, "error-lost", shown, keep, "`self.set_exception(error)`")
    got = _outcome(outer)
    shown = f"a coroutine awaited the failed task inside a `try`, and its own task gave {got!r}."
    why = "The error belongs at its `await`, where it can be caught. `send(None)` is all it needs."
    demand(_outcome(outer) == result, "not-raised", shown, why)
    shown = "a coroutine that awaits a failed task, and does not catch its error, fails with it."
    demand(_outcome(other) is error, "not-raised", shown, keep)


def _is_raised(task: Any) -> bool:
    try:
        task.result()
    except BaseException:
        return True
    return False


def see_cancel(make: Any, result: Any) -> None:
    """A cancel reaches the coroutine at its `await`, soon, and ends the task if it is let out."""
    stage = _Stage(make)
    first = stage.future()

    async def careful() -> None:
        try:
            await first
        except asyncio.CancelledError:
            stage.seen.append("told")
            raise

    task = stage.start(careful())
    watcher = stage.start(stage.wait(task))
    stage.run()
    why, shown = (
        "Its caller would run the other's clean-up.",
        "`cancel` itself stepped the coroutine.",
    )
    try:
        answer = task.cancel()
    except asyncio.CancelledError:
        demand(False, "at-once", shown, why, _SOON)
    demand(not stage.seen, "at-once", shown, why, _SOON)
    shown = f"`cancel()` of a running task must return True, got {answer!r}."
    demand(answer is True, "return", shown)
    task.cancel()  # impatiently
    stage.run()
    why = "At its next step use `coro.throw(asyncio.CancelledError())` in place of `send`."
    shown = "after `cancel()` no CancelledError was raised at the `await` where it stood."
    more = (
        "`self.loop.call_soon(self.step, None, asyncio.CancelledError())`, and throw it in `step`."
    )
    demand("told" in stage.seen, "not-thrown", shown, why, more)
    shown = f"it let the CancelledError out, and the task's `done()` is {task.done()!r}."
    demand(bool(task.done()), "not-done", shown, "Then that is its outcome: `set_exception`.")
    shown = f"it was cancelled twice, and its outcome is {_outcome(task)!r}: no CancelledError."
    why = "A coroutine that has ended cannot be stepped: ask `self.done()` first."
    is_cancelled = isinstance(_outcome(task), asyncio.CancelledError)
    demand(is_cancelled, "ended", shown, why)
    shown = f"a task that awaited the cancelled one got {_outcome(watcher)!r}."
    is_told = isinstance(_outcome(watcher), asyncio.CancelledError)
    demand(is_told, "not-raised", shown, "`await` raises what `set_exception` has set.")
    first.set_result(result)
    _run_after_the_end(stage)
    is_cancelled = isinstance(_outcome(task), asyncio.CancelledError)
    shown = "what it had waited for came after the cancel, and the ended coroutine was stepped."
    demand(is_cancelled, "ended", shown, why)
    answer = task.cancel()
    demand(answer is False, "return", f"`cancel()` after the end must return False, got {answer!r}")


def _run_after_the_end(stage: _Stage) -> None:
    try:
        stage.run()
    except (RuntimeError, StopIteration) as error:
        shown = f"what it had waited for came after the cancel, and it raised {error!r}."
        why = "A coroutine that has ended cannot be stepped: ask `self.done()` first."
        demand(False, "ended", shown, why)


def see_cancel_caught(make: Any, result: Any) -> None:
    """One that catches its cancel goes on, and what it waited for before wakes it no more."""
    stage = _Stage(make)
    first, second = stage.future(), stage.future()

    async def stubborn() -> Any:
        try:
            return await first
        except asyncio.CancelledError:
            return await second

    task = stage.start(stubborn())
    stage.run()
    task.cancel()
    stage.run()
    shown = f"it caught its CancelledError to go on, and the task was done: {_outcome(task)!r}."
    is_early = task.done()
    demand(not is_early, "too-soon", shown, "It is done when the coroutine has ended.")
    first.set_result("old")
    stage.run()
    shown = "it had gone on to wait for another future, and the old one, done late, woke it."
    why = "Remember what it waits for, and ignore calls of `step` from any other future."
    more = "In `step`, unless there is an error to throw: `if woken_by is not self.waits_for: ...`"
    demand(not task.done(), "stale", shown, why, more)
    second.set_result(result)
    stage.run()
    demand(_outcome(task) == result, "result", f"got {_outcome(task)!r}, and not {result!r}.", why)


def see_cancel_at_odd_times(make: Any, result: Any) -> None:
    """A cancel before the first step, or between a wake-up and its step, is not lost."""
    for when in ("before its first step", "just when it had been woken"):
        stage = _Stage(make)
        first, never = stage.future(), stage.future()

        async def waits_twice(*futures: Future) -> None:
            for future in futures:
                await future

        task = stage.start(waits_twice(first, never))
        if when != "before its first step":
            stage.run()
            first.set_result(result)
        task.cancel()
        stage.run()
        if not first.is_done:
            first.set_result(result)
        stage.run()
        is_cancelled = task.done() and isinstance(_outcome(task), asyncio.CancelledError)
        shown = f"it was cancelled {when}, and went on as if nothing had happened."
        why = "Throw it at the `await` where it is paused by then, whichever that is."
        demand(is_cancelled, "lost", shown, why)


class _Selector(selectors.DefaultSelector):
    """Refuses to wait: nobody would ever come out of there."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        why = "Do not wait here: the loop does, and then calls your callback."
        demand(timeout is not None, "waits", "it waited in `select`, with nothing sent.", why)
        return super().select(timeout)


def see_socket(make: Callable[..., Any]) -> None:
    """A future waits for a socket, is done when there is something, and leaves it unread."""
    loop: Any = Loop()
    near, far = socket.socketpair()
    near.setblocking(False)
    with near, far, _Selector() as loop.selector:
        for message in (b"image 1", b"image 2"):
            _see_one(make, loop, near, far, message)


def _see_one(
    make: Callable[..., Any], loop: Any, near: socket.socket, far: socket.socket, message: bytes
) -> None:
    future = make(loop, near)
    shown = f"a future was expected, got {future!r:.40}."
    demand(hasattr(future, "add_done_callback"), "no-future", shown, "Is there a `return`?")
    why = "Nobody has sent anything. Set the result in the callback, not right away."
    demand(not future.done(), "too-soon", "it was done with nothing to read.", why)
    key = loop.selector.get_map().get(near)
    shown = "the selector was not asked to watch the socket."
    more = "`loop.selector.register(sock, selectors.EVENT_READ, is_ready)`"
    demand(key is not None, "not-registered", shown, "Register it with a callback.", more)
    shown = "the selector watches for something other than reading."
    demand(key.events == selectors.EVENT_READ, "events", shown, "`selectors.EVENT_READ`")
    shown = f"what was registered with the socket cannot be called: {key.data!r:.40}."
    demand(callable(key.data), "no-callback", shown, "A function without arguments.", more)
    far.send(message)
    for ready, _ in loop.selector.select(0):
        loop.call_soon(ready.data)
    loop.run()
    shown = "there is something to read, and the future is not done."
    demand(bool(future.done()), "not-done", shown, "The callback has to call `set_result`.")
    shown = "the socket is still watched: the callback would be called again and again."
    why = "Let the callback unregister it first."
    is_left = near in loop.selector.get_map()
    demand(not is_left, "still-watched", shown, why, "`loop.selector.unregister(sock)`")
    try:
        got = near.recv(100)
    except BlockingIOError:
        got = b""
    why = "It only says that there is something. Whoever awaits it reads."
    demand(got == message, "read", "what had been sent was no longer there to read.", why)
