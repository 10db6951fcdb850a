"""Judges a future that is done when a socket has something to read, as in lesson 03."""

import selectors
import socket
from collections.abc import Callable
from typing import Any

from asyncml.course.exercises.scenes import Hints, check_plain, demand, play
from asyncml.course.exercises.tasks import Loop
from asyncml.failures import shorten

_HINTS: Hints = {
    "still running": ("endless", "Do not wait here: the loop calls your callback."),
    "already registered": ("twice", "Register the socket once; it may be unregistered by then."),
    "temporarily unavailable / non-blocking": (
        "too-soon",
        "Nothing was sent yet, so do not read now.",
    ),
    "positional argument": ("arguments", "The callback is called without arguments."),
    "not registered": ("unregister", "Unregister it once, in the callback."),
}


class _Selector(selectors.DefaultSelector):
    """A selector that refuses to wait without a time-out, because the wait would never end."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        why = "Do not wait here: the loop does, and then calls your callback."
        demand(timeout is not None, "waits", "it waited in `select`, with nothing sent.", why)
        return super().select(timeout)


def judge_readable(answer: Any) -> None:
    """Raise `Wrong` unless its future is done when the socket is readable, and nothing is read."""
    check_plain(answer)
    play(_see_socket, answer, of=answer, hints=_HINTS)


def _see_socket(make: Callable[..., Any]) -> None:
    loop: Any = Loop()
    near, far = socket.socketpair()
    near.setblocking(False)
    with near, far, _Selector() as loop.selector:
        for message in (b"image 1", b"image 2"):
            _see_message(make, loop, near, far, message)


def _see_message(make: Any, loop: Any, near: Any, far: Any, message: bytes) -> None:
    future = make(loop, near)
    shown = f"a future was expected, got {shorten(future)}."
    is_future = hasattr(future, "add_done_callback")
    demand(is_future, "no-future", shown, "Return the future that you have made.")
    why = "Nothing has been sent yet. Set the result in the callback, not right away."
    demand(not future.done(), "too-soon", "it was done with nothing to read.", why)
    key = loop.selector.get_map().get(near)
    register = "`loop.selector.register(sock, selectors.EVENT_READ, is_ready)`"
    is_asked = key is not None and key.events == selectors.EVENT_READ and callable(key.data)
    shown = "the selector was not asked to watch the socket for reading, with a callback."
    demand(is_asked, "not-registered", shown, register)
    far.send(message)
    for ready, _ in loop.selector.select(0):
        ready.data()  # called directly: `call_soon` from here would run after the next `select`
    shown = "there is something to read, and the future is not done."
    why = "The callback, a plain `def`, has to call `set_result`."
    demand(bool(future.done()), "not-done", shown, why)
    shown = "the socket is still watched: the callback would be called again and again."
    is_left = near in loop.selector.get_map()
    demand(not is_left, "still-watched", shown, "In the callback: `loop.selector.unregister(sock)`")
    loop.run()
    try:
        got = near.recv(100)
    except BlockingIOError:
        got = b""
    why = "The future only says that there is something. Whoever awaits it reads."
    demand(got == message, "read", "what had been sent was no longer there to read.", why)
