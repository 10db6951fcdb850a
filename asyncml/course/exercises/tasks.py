"""Our own parts of an event loop, and a minimal loop to run them.

A trampoline, a Future, two Tasks and a wait for a socket: lesson 03 uses these until the learner's
own have passed their checks.
"""

import asyncio
import selectors
import socket
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from typing import Any

_MANY = 1000  # callbacks: no scene needs a tenth of this


class Loop:
    """A minimal event loop: what futures and tasks need."""

    def __init__(self) -> None:
        self.ready: deque[tuple[Callable[..., Any], tuple[Any, ...]]] = deque()

    def call_soon(self, callback: Callable[..., Any], *args: Any) -> None:
        """Queue a callback behind those already queued."""
        self.ready.append((callback, args))

    def run(self) -> None:
        """Call callbacks until none is ready, or for at most `_MANY` calls."""
        for _ in range(_MANY):
            if not self.ready:
                return
            callback, args = self.ready.popleft()
            callback(*args)


def trampoline(*coros: Coroutine[Any, Any, Any]) -> None:
    """Resume coroutines in turn until all have ended."""
    ready = deque(coros)
    while ready:
        coro = ready.popleft()
        try:
            coro.send(None)
        except StopIteration:
            continue
        ready.append(coro)


class Future:
    """A result or an error that will arrive later."""

    def __init__(self, loop: Any) -> None:
        self.loop, self.callbacks, self.is_done = loop, list[Callable[..., Any]](), False
        self.value: Any = None
        self.error: BaseException | None = None

    def done(self) -> bool:
        """Return whether there is a result or an error."""
        return self.is_done

    def result(self) -> Any:
        """Return the result, or raise the error."""
        if not self.is_done:
            raise RuntimeError("the result is not there yet")
        if self.error is not None:
            raise self.error
        return self.value

    def set_result(self, result: Any) -> None:
        """Store the result, and schedule all callbacks."""
        self.is_done, self.value = True, result
        for callback in self.callbacks:
            self.loop.call_soon(callback, self)

    def set_exception(self, error: BaseException) -> None:
        """Store the error, and schedule all callbacks."""
        self.error = error
        self.set_result(None)

    def add_done_callback(self, callback: Callable[..., Any]) -> None:
        """Schedule a callback once the future is done, or at once if it already is."""
        if self.is_done:
            self.loop.call_soon(callback, self)
        else:
            self.callbacks.append(callback)

    def __await__(self) -> Generator[Any, Any, Any]:
        """Yield the future itself if it is pending, then return its result."""
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
        """Run the coroutine up to its next future."""
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
        """Run the coroutine up to its next future, or raise an error at its current `await`."""
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
        """Schedule a CancelledError at the current `await`; return whether it was still running."""
        if self.done():
            return False
        self.loop.call_soon(self.step, None, asyncio.CancelledError())
        return True


def readable(loop: Any, sock: socket.socket) -> Future:
    """Return a future that is done when the socket is readable."""
    future = Future(loop)

    def is_ready() -> None:
        loop.selector.unregister(sock)
        future.set_result(None)

    loop.selector.register(sock, selectors.EVENT_READ, is_ready)
    return future
